//! A factor as it rests: a row under a MAC.

use hsm_adapter::{HsmError, version_of};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Algorithm, Error, Factors};
use crate::{
    audit::{self, Event},
    clock::Millis,
    credential::Credential,
    holder::Holder,
    ids::{FactorId, HolderId},
    params,
    store::{Row, StoreError, Tx},
};

/// What the audit log vouches for. An address is under the MAC alone: its hash could be searched.
pub const TABLE: audit::Table = audit::table!(
    "factor",
    key ["id"],
    told ["version", "counter", "failures", "locked_until"],
    recorded ["holder", "kind", "digits", "algorithm", "serial", "created"]
);

/// Which kind of factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 6238, in an app of the holder.
    Totp,
    /// RFC 4226, in a token.
    Hotp,
    /// A code the service sends by mail.
    Mail,
    /// A code the service sends by SMS.
    Sms,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Totp, Self::Hotp, Self::Mail, Self::Sms];

    /// The name in commands, the database and the audit log, and to clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Hotp => "hotp",
            Self::Mail => "mail",
            Self::Sms => "sms",
        }
    }

    /// Whether the service sends the codes; otherwise a device makes them.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Mail | Self::Sms)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A factor as the row says it is; whether that is what the service wrote is checked when it is used.
#[derive(Clone, Debug)]
pub struct Factor {
    /// Identifier; `OTP/ID` of the CSC API.
    pub id: FactorId,
    /// Which kind.
    pub kind: Kind,
    /// Digits of a code: 6 or 8.
    pub digits: u32,
    /// Until when no code is looked at.
    pub locked_until: Millis,
    pub(super) counter: i64,
    pub(super) written: Written,
    pub(super) record_mac: Vec<u8>,
    /// Version of the master keys that made the MAC.
    pub(super) masters: u32,
}

/// The rest of what is under the MAC.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) holder: Option<HolderId>,
    pub(super) algorithm: Option<String>,
    pub(super) seed: Option<Vec<u8>>,
    pub(super) serial: Option<String>,
    pub(super) address: Option<String>,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, kind, digits, holder, algorithm, seed, serial, address, record_mac, counter, locked_until,
                 masters
             FROM factor WHERE ",
            $where
        )
    };
}
pub(super) use select;

impl Factor {
    pub(super) fn new(id: FactorId, kind: Kind, digits: u32, written: Written) -> Self {
        Self {
            id,
            kind,
            digits,
            locked_until: 0,
            counter: 0,
            written,
            record_mac: Vec::new(),
            masters: 0,
        }
    }

    /// Whether it is this holder's.
    pub fn belongs_to(&self, holder: &Holder) -> bool {
        self.holder() == Some(&holder.id)
    }

    /// Serial number of a token.
    pub fn serial(&self) -> Option<&str> {
        self.written.serial.as_deref()
    }

    /// Where codes are sent.
    pub fn address(&self) -> Option<&str> {
        self.written.address.as_deref()
    }

    pub(super) fn holder(&self) -> Option<&HolderId> {
        self.written.holder.as_ref()
    }

    /// The hash of the device's HMAC, and its sealed seed.
    pub(super) fn device(&self) -> Result<(Algorithm, &[u8]), StoreError> {
        let algorithm = self.written.algorithm.as_deref().and_then(Algorithm::parse);
        algorithm
            .zip(self.written.seed.as_deref())
            .ok_or(StoreError::Corrupt("a device without its seed"))
    }

    /// The same token in the hands of a holder, for which it has no MAC yet.
    pub(super) fn given_to(self, holder: &Holder) -> Self {
        let written = Written {
            holder: Some(holder.id.clone()),
            ..self.written
        };
        Self { written, ..self }
    }

    /// What the MAC covers: everything but the counters, which change in SQL and are witnessed by the audit log.
    pub(super) fn record(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Record<'a> {
            version: u8,
            factor: &'a str,
            kind: &'a str,
            digits: u32,
            holder: Option<&'a str>,
            algorithm: Option<&'a str>,
            seed: Option<String>,
            serial: Option<&'a str>,
            address: Option<&'a str>,
        }
        let written = &self.written;
        let record = Record {
            version: 1,
            factor: self.id.as_str(),
            kind: self.kind.name(),
            digits: self.digits,
            holder: written.holder.as_ref().map(HolderId::as_str),
            algorithm: written.algorithm.as_deref(),
            seed: written
                .seed
                .as_ref()
                .map(|seed| hex::encode(Sha256::digest(seed))),
            serial: written.serial.as_deref(),
            address: written.address.as_deref(),
        };
        // Strings and integers always serialise.
        serde_json::to_vec(&record).unwrap_or_default()
    }

    /// Stores it; gives its record.
    pub(super) async fn insert(
        &self,
        tx: &mut Tx,
        (masters, mac): (u32, [u8; 32]),
        now: Millis,
    ) -> Result<String, StoreError> {
        let Written {
            holder,
            algorithm,
            seed,
            serial,
            address,
        } = self.written.clone();
        tx.execute(
            "INSERT INTO factor (id, version, kind, digits, holder, algorithm, seed, serial, address, record_mac, counter, failures,
                 locked_until, created, masters, store)
             VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $12, $13)",
            params![
                &self.id,
                self.kind.name(),
                self.digits,
                holder.map(|holder| holder.to_string()),
                algorithm,
                seed.clone(),
                serial,
                address,
                mac,
                self.counter,
                now,
                masters,
                version_of(seed.as_deref())
            ],
        )
        .await?;
        TABLE.record(tx, &self.id).await
    }

    pub(super) fn counting_from(self, counter: i64) -> Self {
        Self { counter, ..self }
    }
}

impl Factors {
    /// The factor with this identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &FactorId) -> Result<Option<Factor>, StoreError> {
        let row = self.store.find(select!("id = $1"), params![id]).await?;
        row.map(read).transpose()
    }

    /// The token with this serial number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_serial(&self, serial: &str) -> Result<Option<Factor>, StoreError> {
        let row = self
            .store
            .find(select!("serial = $1"), params![serial])
            .await?;
        row.map(read).transpose()
    }

    /// The factors of a holder, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_holder(&self, holder: &Holder) -> Result<Vec<Factor>, StoreError> {
        const SQL: &str = select!("holder = $1 ORDER BY created, id");
        let rows = self.store.query(SQL, params![&holder.id]).await?;
        rows.into_iter().map(read).collect()
    }

    /// A new MAC of the record, and the version of the master keys that made it.
    pub(super) async fn mac(&self, factor: &Factor) -> Result<(u32, [u8; 32]), HsmError> {
        self.vault.mac_record(&factor.record()).await
    }

    /// Stores a new factor of a holder.
    pub(super) async fn add(&self, factor: Factor, holder: &Holder) -> Result<FactorId, Error> {
        let (id, mac) = (factor.id.clone(), self.mac(&factor).await?);
        let (person, now) = (holder.pseudonym.clone(), self.clock.now());
        self.store
            .write(async move |tx| {
                let added = Event::FactorAdded {
                    factor: factor.id.to_string(),
                    kind: factor.kind.name(),
                    version: 1,
                    record: factor.insert(tx, mac, now).await?,
                };
                audit::record(tx, now, &person, &added);
                Ok(())
            })
            .await?;
        Ok(id)
    }

    /// Whether the row is what the service wrote, for the holder of this credential; alarms when not.
    pub(super) async fn genuine(
        &self,
        factor: &Factor,
        credential: &Credential,
    ) -> Result<(), Error> {
        let holders = factor.holder() == Some(&credential.holder);
        self.unchanged(factor, holders, &credential.pseudonym).await
    }

    /// Whether the row of a token is what the service wrote; alarms when not.
    pub(super) async fn genuine_token(&self, factor: &Factor) -> Result<(), Error> {
        let person = self.pseudonym(factor.holder()).await?;
        self.unchanged(factor, true, &person).await
    }

    async fn unchanged(&self, factor: &Factor, holders: bool, person: &str) -> Result<(), Error> {
        let record = factor.record();
        let mac = self.vault.record_mac(factor.masters, &record).await;
        let as_recorded = match mac {
            Ok(mac) => bool::from(mac.ct_eq(&factor.record_mac)),
            // Of master keys that there are not.
            Err(HsmError::Refused(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if holders && as_recorded {
            return Ok(());
        }
        tracing::error!(factor = %factor.id, "a factor fails its integrity check");
        let event = Event::FactorIntegrityFail {
            factor: factor.id.to_string(),
        };
        audit::note(&self.store, self.clock.now(), person, event).await?;
        Err(Error::Damaged)
    }

    /// How the audit log calls the holder; empty when there is none.
    pub(super) async fn pseudonym(&self, holder: Option<&HolderId>) -> Result<String, StoreError> {
        const SQL: &str = "SELECT pseudonym FROM holder WHERE id = $1";
        let Some(holder) = holder else {
            return Ok(String::new());
        };
        let row = self.store.find(SQL, params![holder]).await?;
        row.map_or(Ok(String::new()), |mut row| row.get(0))
    }
}

pub(super) fn read(mut row: Row) -> Result<Factor, StoreError> {
    Ok(Factor {
        id: FactorId::new(row.get::<String>(0)?),
        kind: Kind::parse(&row.get::<String>(1)?)
            .ok_or(StoreError::Corrupt("the kind of a factor"))?,
        digits: row.get(2)?,
        written: Written {
            holder: row.optional::<String>(3)?.map(HolderId::new),
            algorithm: row.optional(4)?,
            seed: row.optional(5)?,
            serial: row.optional(6)?,
            address: row.optional(7)?,
        },
        record_mac: row.get(8)?,
        counter: row.get(9)?,
        locked_until: row.get(10)?,
        masters: row.get(11)?,
    })
}
