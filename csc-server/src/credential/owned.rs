//! A credential as a caller may see it.

use hsm_adapter::{KeyAlgorithm, SealedKey};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Error;
use crate::{
    audit,
    clock::Millis,
    ids::{CredentialId, FactorId, HolderId},
    oauth::ServiceAccess,
    params,
    store::{Row, Store, StoreError},
};

/// What the audit log vouches for. Of what rests encrypted it is only whether it is there.
pub const TABLE: audit::Table = audit::table!(
    "credential",
    key ["id"],
    told ["version", "pin_failures", "puk_failures", "unblocks"],
    recorded [
        "holder", "factor", "status", "description", "multisign", "generation", "algorithm", "spki", "spki_hash",
        "pin_check", "pin_salt", "pin_cost", "puk_salt", "puk_cost", "puk_check", "certificate", "not_before", "not_after",
        "created", "length(key_blob)", "length(w_pin)", "length(w_puk)",
    ]
);

/// Where a credential stands (sole-control states; expiry is told by the certificate's dates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It signs.
    Active,
    /// On hold.
    Suspended,
    /// For ever.
    Revoked,
}

impl Status {
    /// The name in the database and in the record that is MAC'd.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Revoked]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// A credential: one key, one certificate, one holder.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Identifier.
    pub id: CredentialId,
    /// Whose.
    pub holder: HolderId,
    /// How the audit log calls him.
    pub pseudonym: String,
    /// What he proves possession with.
    pub factor: FactorId,
    /// State.
    pub status: Status,
    /// What people call it.
    pub description: String,
    /// Most signatures of one authorisation.
    pub multisign: u32,
    /// The sealed key.
    pub key: SealedKey,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// When the certificate begins.
    pub not_before: Millis,
    /// When it ends.
    pub not_after: Millis,
    holder_active: bool,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT c.id, c.holder, h.pseudonym, c.factor, c.status, c.description, c.multisign, c.generation, c.algorithm, c.spki,
                 c.key_blob, c.w_pin, c.pin_check, c.pin_salt, c.pin_cost, c.masters, c.certificate, c.not_before, c.not_after,
                 c.record_mac, h.status
             FROM credential c JOIN holder h ON h.id = c.holder WHERE ",
            $where
        )
    };
}

impl Credential {
    /// The credential, if the caller may see it: a log-in its own, a client those of holders linked to it.
    ///
    /// # Errors
    /// [`Error::Unknown`] whether it does not exist or is somebody else's.
    pub async fn owned_by(
        store: &Store,
        access: &ServiceAccess,
        id: &CredentialId,
    ) -> Result<Self, Error> {
        let row = match &access.holder {
            Some(holder) => {
                store
                    .find(select!("c.id = $1 AND c.holder = $2"), params![id, holder])
                    .await?
            }
            None => {
                const SQL: &str = select!(
                    "c.id = $1 AND EXISTS (SELECT 1 FROM client_holder l WHERE l.client = $2 AND l.holder = c.holder)"
                );
                store.find(SQL, params![id, &access.client]).await?
            }
        };
        Ok(read(row.ok_or(Error::Unknown)?)?)
    }

    /// The credentials of a holder after `after` in the order of their identifiers, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_holder(
        store: &Store,
        holder: &HolderId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Self>, StoreError> {
        const SQL: &str = select!("c.holder = $1 AND c.id > $2 ORDER BY c.id LIMIT $3");
        store
            .query(SQL, params![holder, after, limit])
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Any credential, for commands of the terminal.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_id(store: &Store, id: &CredentialId) -> Result<Option<Self>, StoreError> {
        store
            .find(select!("c.id = $1"), params![id])
            .await?
            .map(read)
            .transpose()
    }

    /// Whether it may sign at this time.
    ///
    /// # Errors
    /// [`Error::Disabled`], [`Error::CertificateExpired`].
    pub fn usable(&self, now: Millis) -> Result<(), Error> {
        if self.status != Status::Active || !self.holder_active || now < self.not_before {
            return Err(Error::Disabled);
        }
        if now >= self.not_after {
            let (organization, common_name) = subject(&self.certificate);
            return Err(Error::CertificateExpired {
                organization,
                common_name,
            });
        }
        Ok(())
    }

    /// SHA-256 of the certificate, hexadecimal.
    pub fn certificate_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }
}

/// What the record MAC covers: identity, key, certificate with its validity, and status. Counters change in SQL and are
/// witnessed by the audit log instead.
pub fn record(
    id: &CredentialId,
    holder: &HolderId,
    factor: &FactorId,
    status: Status,
    key: &SealedKey,
    certificate: &[u8],
    (not_before, not_after): (Millis, Millis),
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Record<'a> {
        version: u8,
        credential: &'a str,
        holder: &'a str,
        factor: &'a str,
        status: &'a str,
        generation: u32,
        algorithm: KeyAlgorithm,
        spki: String,
        certificate: String,
        not_before: Millis,
        not_after: Millis,
    }
    let record = Record {
        version: 1,
        credential: id.as_str(),
        holder: holder.as_str(),
        factor: factor.as_str(),
        status: status.name(),
        generation: key.generation,
        algorithm: key.algorithm,
        spki: hex::encode(Sha256::digest(&key.spki)),
        certificate: hex::encode(Sha256::digest(certificate)),
        not_before,
        not_after,
    };
    serde_json::to_vec(&record).unwrap_or_default()
}

fn read(mut row: Row) -> Result<Credential, StoreError> {
    let id = CredentialId::new(row.get::<String>(0)?);
    let holder = HolderId::new(row.get::<String>(1)?);
    let factor = FactorId::new(row.get::<String>(3)?);
    let status = Status::parse(&row.get::<String>(4)?)
        .ok_or(StoreError::Corrupt("the status of a credential"))?;
    let certificate: Vec<u8> = row.get(16)?;
    let validity = (row.get(17)?, row.get(18)?);
    let mut key = SealedKey {
        credential: id.to_string(),
        generation: row.get(7)?,
        algorithm: row
            .get::<String>(8)?
            .parse()
            .map_err(|_| StoreError::Corrupt("the key type of a credential"))?,
        spki: row.get(9)?,
        key_blob: row.get(10)?,
        w_pin: row.get(11)?,
        pin_check: row.get(12)?,
        salt: row.get(13)?,
        cost: serde_json::from_str(&row.get::<String>(14)?)
            .map_err(|_| StoreError::Corrupt("the cost of a PIN"))?,
        masters: row.get(15)?,
        record: Vec::new(),
        record_mac: row.get(19)?,
    };
    // The record is rebuilt from what the row says now: the vault compares it with the MAC of what was written.
    key.record = record(&id, &holder, &factor, status, &key, &certificate, validity);
    Ok(Credential {
        id,
        holder,
        pseudonym: row.get(2)?,
        factor,
        status,
        description: row.get(5)?,
        multisign: row.get(6)?,
        key,
        certificate,
        not_before: validity.0,
        not_after: validity.1,
        holder_active: row.get::<String>(20)? == "active",
    })
}

/// Organisation and common name of a certificate's subject, for the error text of CSC v1.
fn subject(certificate: &[u8]) -> (String, String) {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Default::default();
    };
    let first = |mut values: Box<
        dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_,
    >| {
        values
            .next()
            .and_then(|value| value.as_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let subject = certificate.subject();
    (
        first(Box::new(subject.iter_organization())),
        first(Box::new(subject.iter_common_name())),
    )
}
