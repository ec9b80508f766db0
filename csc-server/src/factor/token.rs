//! Hardware tokens (HOTP): imported from the maker's file, handed out by serial number, brought back into step.

use hsm_adapter::HsmError;
use totp_rs::Totp;
use zeroize::Zeroizing;

use super::{
    Algorithm, Error, Factor, Factors, Kind,
    device::{count_of, generator, place},
    record::{TABLE, Written},
};
use crate::{
    audit::{self, Event},
    holder::Holder,
    ids::FactorId,
    params,
    store::StoreError,
};

/// How far apart two consecutive codes may bring a token back into step.
const RESYNC: i64 = 100;

/// A token as its maker describes it.
pub struct NewToken {
    /// Serial number.
    pub serial: String,
    /// The seed, at least 16 octets (RFC 4226, R6).
    pub seed: Zeroizing<Vec<u8>>,
    /// The hash of its HMAC.
    pub algorithm: Algorithm,
    /// 6 or 8.
    pub digits: u32,
    /// The count of its next code.
    pub counter: i64,
}

impl Factors {
    /// Which of these serial numbers are here already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(&self, tokens: &[NewToken]) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT id FROM factor WHERE serial = $1";
        let mut known = Vec::new();
        for NewToken { serial, .. } in tokens {
            if self
                .store
                .find(SQL, params![serial.as_str()])
                .await?
                .is_some()
            {
                known.push(serial.clone());
            }
        }
        Ok(known)
    }

    /// Stores tokens that nobody has yet, all or none; `sealed` is told of each whose seed is sealed.
    ///
    /// # Errors
    /// When database or HSM fail, or another process has stored one of them meanwhile.
    pub async fn import(&self, tokens: Vec<NewToken>, sealed: impl Fn()) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(tokens.len());
        for token in tokens {
            let factor = self.sealed(token).await?;
            let mac = self.mac(&factor).await?;
            rows.push((factor, mac));
            sealed();
        }
        let now = self.clock.now();
        self.store
            .write(async move |tx| {
                for (factor, mac) in &rows {
                    let imported = Event::TokenImported {
                        factor: factor.id.to_string(),
                        serial: factor.serial().unwrap_or_default().to_owned(),
                        counter: factor.counter,
                        record: factor.insert(tx, *mac, now).await?,
                    };
                    audit::record(tx, now, "", &imported);
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    async fn sealed(&self, token: NewToken) -> Result<Factor, HsmError> {
        let id = FactorId::random();
        let written = Written {
            algorithm: Some(token.algorithm.name().to_owned()),
            seed: Some(self.vault.seal(&place(&id), &token.seed).await?),
            serial: Some(token.serial),
            ..Written::default()
        };
        Ok(Factor::new(id, Kind::Hotp, token.digits, written).counting_from(token.counter))
    }

    /// Hands a token out to a holder; false when somebody has it.
    ///
    /// # Errors
    /// [`Error::Damaged`], or when database or HSM fail.
    pub async fn assign(&self, token: Factor, holder: &Holder) -> Result<bool, Error> {
        if token.holder().is_some() {
            return Ok(false);
        }
        self.genuine_token(&token).await?;
        let token = token.given_to(holder);
        let (masters, mac) = self.mac(&token).await?;
        let (holder, person) = (holder.id.clone(), holder.pseudonym.clone());
        let now = self.clock.now();
        let assigned = self
            .store
            .write(async move |tx| {
                let assigned = tx
                    .find(
                        "UPDATE factor SET holder = $2, record_mac = $3, masters = $4, version = version + 1
                         WHERE id = $1 AND holder IS NULL AND record_mac = $5 RETURNING version",
                        params![&token.id, &holder, mac, masters, token.record_mac.clone()],
                    )
                    .await?;
                let Some(mut row) = assigned else {
                    return Ok(false);
                };
                let added = Event::FactorAdded {
                    factor: token.id.to_string(),
                    kind: token.kind.name(),
                    version: row.get(0)?,
                    record: TABLE.record(tx, &token.id).await?,
                };
                audit::record(tx, now, &person, &added);
                Ok(true)
            })
            .await?;
        Ok(assigned)
    }

    /// Brings a token back into step by two codes it made one after the other (RFC 4226, 7.4); false when they are none within
    /// reach. Does not unlock.
    ///
    /// # Errors
    /// [`Error::Damaged`], or when database or HSM fail.
    pub async fn resync(&self, token: &Factor, codes: [&str; 2]) -> Result<bool, Error> {
        self.genuine_token(token).await?;
        let device = self.open_device(token).await?;
        let Some(second) = second_of(&device, codes, token.counter) else {
            return Ok(false);
        };
        let (id, now) = (token.id.clone(), self.clock.now());
        let person = self.pseudonym(token.holder()).await?;
        let moved = self
            .store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE factor SET version = version + 1 WHERE id = $1 RETURNING version";
                let moved = super::device::take(tx, &id, second).await?;
                if moved && let Some(mut row) = tx.find(SQL, params![&id]).await? {
                    let resynced = Event::FactorResynced {
                        factor: id.to_string(),
                        counter: second + 1,
                        version: row.get(0)?,
                    };
                    audit::record(tx, now, &person, &resynced);
                }
                Ok(moved)
            })
            .await?;
        Ok(moved)
    }
}

/// The count of the second of two consecutive codes within reach.
fn second_of(device: &Totp, [first, second]: [&str; 2], from: i64) -> Option<i64> {
    // More than one count may have the first code.
    (from..from.saturating_add(RESYNC)).find_map(|count| {
        count_of(device, first, count..=count)?;
        count_of(device, second, count + 1..=count + 1)
    })
}

impl NewToken {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.serial.is_empty() || self.serial.len() > 64 {
            return Some("a serial number has 1 to 64 characters");
        }
        if !matches!(self.digits, 6 | 8) {
            return Some("a code has 6 or 8 digits");
        }
        if self.counter < 0 {
            return Some("a counter is not negative");
        }
        if generator(self.algorithm, self.digits, &self.seed).is_err() || self.seed.len() > 64 {
            return Some("a seed has 16 to 64 octets");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_consecutive_codes_within_reach_tell_where_a_token_is() {
        let token = generator(Algorithm::Sha1, 6, b"12345678901234567890").unwrap();
        let code = |count| token.generate(count).to_string();
        let second =
            |first: u64, second: u64, from| second_of(&token, [&code(first), &code(second)], from);
        assert_eq!(second(99, 100, 0), Some(100));
        assert_eq!(second(100, 101, 0), None, "out of reach");
        assert_eq!(second(50, 52, 0), None, "not consecutive");
        assert_eq!(second(51, 50, 0), None, "the wrong way round");
        assert_eq!(second(4, 5, 5), None, "used already");
    }
}
