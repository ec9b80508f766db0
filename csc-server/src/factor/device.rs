//! Devices that make codes from a seed: TOTP (RFC 6238) in steps of 30 s, HOTP (RFC 4226) by a count. One is the other with
//! another moving factor, so one generator serves both.
//!
//! The seed rests sealed by the HSM and is open in this process for the moment of one check: tokens bound the length of HMAC keys from
//! below (SoftHSM2: 20 octets for SHA-1, 32 for SHA-256), and seeds of 16 octets are allowed.

use std::str::FromStr;

use hsm_adapter::Place;
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use super::{Error, Factor, Factors, Kind, Otp, claim::Proof, record::Written};
use crate::{
    holder::Holder,
    ids::FactorId,
    params,
    store::{StoreError, Tx},
};

/// What the authenticator app shows as the name of the service.
const ISSUER: &str = "Remote signing";
/// A time step, seconds (OWASP ASVS 6.5.5: at most 30).
const STEP: u64 = 30;
/// How many codes of a token may have been made and not used (RFC 4226, 7.4).
const LOOK_AHEAD: i64 = 10;

/// The hash of a device's HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What every device can do.
    Sha1,
    /// What some can.
    Sha256,
}

impl Algorithm {
    /// The name on the command line and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    fn of_totp(self) -> totp_rs::Algorithm {
        match self {
            Self::Sha1 => totp_rs::Algorithm::SHA1,
            Self::Sha256 => totp_rs::Algorithm::SHA256,
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "use sha1 or sha256".to_owned())
    }
}

impl Factors {
    /// Gives a holder a new seed: the factor and the `otpauth` URI for his app, shown once.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn enrol_totp(
        &self,
        holder: &Holder,
        algorithm: Algorithm,
        digits: u32,
    ) -> Result<(FactorId, Zeroizing<String>), Error> {
        // RFC 6238, 5.1: a seed as long as the HMAC.
        let random = self.vault.random::<32>().await?;
        let length = match algorithm {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        };
        let seed = random.get(..length).unwrap_or(random.as_slice());
        let uri = builder(algorithm, digits, seed)
            .with_step_duration(STEP)
            .with_issuer(Some(ISSUER))
            .with_account_name(holder.user_name.as_str())
            .build()
            .and_then(|app| app.to_url());
        let uri = uri.map_err(|_| StoreError::Corrupt("a user name that fits no otpauth URI"))?;

        let id = FactorId::random();
        let written = Written {
            holder: Some(holder.id.clone()),
            algorithm: Some(algorithm.name().to_owned()),
            seed: Some(self.vault.seal(&place(&id), seed).await?),
            ..Written::default()
        };
        let id = self
            .add(Factor::new(id, Kind::Totp, digits, written), holder)
            .await?;
        Ok((id, Zeroizing::new(uri)))
    }

    pub(super) async fn judge_device(&self, factor: &Factor, otp: &Otp) -> Result<Proof, Error> {
        let device = self.open_device(factor).await?;
        let counter = match factor.kind {
            Kind::Hotp => {
                let from = factor.counter;
                count_of(&device, &otp.0, from..=from.saturating_add(LOOK_AHEAD))
            }
            _ => {
                let now = self.clock.now() / 1000 / STEP.cast_signed();
                let drift = i64::from(self.policy.drift);
                count_of(&device, &otp.0, now - drift..=now + drift)
            }
        };
        Ok(counter.map_or(Proof::Wrong, Proof::Counter))
    }

    /// The generator of a device, its seed in memory until it is dropped.
    pub(super) async fn open_device(&self, factor: &Factor) -> Result<Totp, Error> {
        let (algorithm, sealed) = factor.device()?;
        let seed = self.vault.unseal(&place(&factor.id), sealed).await?;
        Ok(generator(algorithm, factor.digits, &seed)?)
    }
}

/// The codes of a seed by their count: a HOTP generator is a TOTP one whose step is one and whose time is the count.
pub(super) fn generator(
    algorithm: Algorithm,
    digits: u32,
    seed: &[u8],
) -> Result<Totp, StoreError> {
    builder(algorithm, digits, seed)
        .with_step_duration(1)
        .with_skew(0)
        .build()
        .map_err(|_| StoreError::Corrupt("the seed of a device"))
}

fn builder(algorithm: Algorithm, digits: u32, seed: &[u8]) -> Builder {
    Builder::new()
        .with_algorithm(algorithm.of_totp())
        // What is no number of digits is refused when building.
        .with_digits(u8::try_from(digits).unwrap_or_default())
        .with_secret(seed.to_vec())
}

/// The first of these counts that has this code.
pub(super) fn count_of(
    device: &Totp,
    code: &str,
    mut counts: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    counts
        .find(|count| u64::try_from(*count).is_ok_and(|count| device.check(code, count).is_some()))
}

/// Takes a time step or count that is later than every one taken before.
pub(super) async fn take(tx: &mut Tx, factor: &FactorId, counter: i64) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE factor SET counter = $2 + 1 WHERE id = $1 AND counter <= $2",
            params![factor, counter],
        )
        .await?;
    Ok(taken == 1)
}

pub(super) fn place(id: &FactorId) -> Place<'_> {
    Place {
        table: "factor",
        row: id.as_str(),
        field: "seed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";

    fn code(device: &Totp, count: u64) -> String {
        device.generate(count).to_string()
    }

    #[test]
    fn a_token_counts_as_rfc_4226_says() {
        let token = generator(Algorithm::Sha1, 6, SEED).unwrap();
        // RFC 4226, appendix D.
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (count, expected) in (0..).zip(expected) {
            assert_eq!(code(&token, count), expected);
        }
    }

    #[test]
    fn an_app_steps_as_rfc_6238_says() {
        // RFC 6238, appendix B: 1111111109 s and 20000000000 s.
        let long = b"12345678901234567890123456789012";
        let sha1 = generator(Algorithm::Sha1, 8, SEED).unwrap();
        let sha256 = generator(Algorithm::Sha256, 8, long).unwrap();
        for (seconds, of_sha1, of_sha256) in [
            (1_111_111_109, "07081804", "68084774"),
            (20_000_000_000, "65353130", "77737706"),
        ] {
            assert_eq!(code(&sha1, seconds / STEP), of_sha1);
            assert_eq!(code(&sha256, seconds / STEP), of_sha256);
        }
    }

    #[test]
    fn a_code_is_found_within_its_window_and_not_beyond() {
        let token = generator(Algorithm::Sha1, 6, SEED).unwrap();
        assert_eq!(count_of(&token, "520489", 0..=9), Some(9));
        assert_eq!(count_of(&token, "520489", 0..=8), None);
        assert_eq!(count_of(&token, "755224", 1..=9), None);
        assert_eq!(count_of(&token, "84755224", 0..=9), None, "eight digits");
        assert_eq!(count_of(&token, "755224", -3..=9), Some(0));
    }

    #[test]
    fn a_seed_below_128_bits_makes_no_codes() {
        assert!(generator(Algorithm::Sha1, 6, &SEED[..15]).is_err());
        assert!(generator(Algorithm::Sha1, 6, &SEED[..16]).is_ok());
        assert!(generator(Algorithm::Sha1, 5, SEED).is_err());
    }
}
