//! A credential as a caller may see it.

use hsm_adapter::{Cost, KeyAlgorithm, SealedKey, SealedPuk};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Error, Mode};
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
        "holder", "factor", "status", "mode", "description", "multisign", "generation", "algorithm", "spki", "spki_hash",
        "pin_check", "pin_salt", "pin_cost", "puk_salt", "puk_cost", "puk_check", "certificate", "not_before", "not_after",
        "created", "length(key_blob)", "length(w_pin)", "length(w_puk)", "CASE WHEN store IS NULL THEN 0 ELSE 1 END",
    ]
);

/// Where a credential stands (sole-control states; expiry is told by the certificate's dates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has key and certificate, and waits for the application that it is made for.
    Issued,
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
            Self::Issued => "issued",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Issued, Self::Active, Self::Suspended, Self::Revoked]
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
    /// How it is authorised.
    pub mode: Mode,
    /// What people call it.
    pub description: String,
    /// Most signatures of one authorisation.
    pub multisign: u32,
    /// The sealed key.
    pub key: SealedKey,
    /// What the store keeps of the PUK, where there is one.
    pub puk: Option<SealedPuk>,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// When the certificate begins.
    pub not_before: Millis,
    /// When it ends.
    pub not_after: Millis,
    /// Whether the holder is let in.
    pub holder_active: bool,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT c.id, c.holder, h.pseudonym, c.factor, c.status, c.description, c.multisign, c.generation, c.algorithm, c.spki,
                 c.key_blob, c.w_pin, c.pin_check, c.pin_salt, c.pin_cost, c.masters, c.certificate, c.not_before, c.not_after,
                 c.record_mac, h.status, c.puk_salt, c.puk_cost, c.puk_check, c.w_puk, c.puk_masters, c.mode
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
                    .find(
                        select!("c.id = $1 AND c.holder = $2 AND c.status <> 'issued'"),
                        params![id, holder],
                    )
                    .await?
            }
            None => {
                const SQL: &str = select!(
                    "c.id = $1 AND c.status <> 'issued' AND EXISTS (SELECT 1 FROM client_holder l WHERE l.client = $2 AND l.holder = c.holder)"
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
        const SQL: &str =
            select!("c.holder = $1 AND c.status <> 'issued' AND c.id > $2 ORDER BY c.id LIMIT $3");
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

    /// Every credential in one of these states.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ids_in(store: &Store, states: &[Status]) -> Result<Vec<CredentialId>, StoreError> {
        let mut ids = Vec::new();
        for status in states {
            let sql = "SELECT id FROM credential WHERE status = $1";
            for mut row in store.query(sql, params![status.name()]).await? {
                ids.push(CredentialId::new(row.get::<String>(0)?));
            }
        }
        Ok(ids)
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

    /// What the record MAC covers: identity, key, what judges PIN and PUK, certificate with its validity, and status. Counters change
    /// in SQL and are witnessed by the audit log instead; what rests encrypted opens in its place only.
    pub fn record(&self) -> Vec<u8> {
        let (key, of_puk) = (
            &self.key,
            self.puk.as_ref().map(|puk| Judging {
                salt: hex::encode(&puk.salt),
                cost: puk.cost,
                check: hex::encode(&puk.check),
            }),
        );
        let record = Record {
            version: 1,
            credential: self.id.as_str(),
            holder: self.holder.as_str(),
            factor: self.factor.as_str(),
            status: self.status.name(),
            mode: self.mode.name(),
            description: &self.description,
            multisign: self.multisign,
            generation: key.generation,
            algorithm: key.algorithm,
            spki: hex::encode(Sha256::digest(&key.spki)),
            pin: Judging {
                salt: hex::encode(&key.salt),
                cost: key.cost,
                check: hex::encode(&key.pin_check),
            },
            puk: of_puk,
            certificate: self.certificate_hash(),
            not_before: self.not_before,
            not_after: self.not_after,
        };
        // Strings and integers always serialise.
        serde_json::to_vec(&record).unwrap_or_default()
    }

    /// SHA-256 of the certificate, hexadecimal.
    pub fn certificate_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }
}

#[derive(Serialize)]
struct Record<'a> {
    version: u8,
    credential: &'a str,
    holder: &'a str,
    factor: &'a str,
    status: &'a str,
    mode: &'a str,
    description: &'a str,
    multisign: u32,
    generation: u32,
    algorithm: KeyAlgorithm,
    spki: String,
    pin: Judging,
    puk: Option<Judging>,
    certificate: String,
    not_before: Millis,
    not_after: Millis,
}

/// What judges a PIN or a PUK.
#[derive(Serialize)]
struct Judging {
    salt: String,
    cost: Cost,
    check: String,
}

fn read(mut row: Row) -> Result<Credential, StoreError> {
    let id = CredentialId::new(row.get::<String>(0)?);
    let status = Status::parse(&row.get::<String>(4)?)
        .ok_or(StoreError::Corrupt("the status of a credential"))?;
    let puk = match row.optional(23)? {
        Some(check) => Some(SealedPuk {
            salt: row.get(21)?,
            cost: cost(&row.get::<String>(22)?)?,
            check,
            w_puk: row.optional(24)?,
            masters: row.get(25)?,
        }),
        None => None,
    };
    let key = SealedKey {
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
        cost: cost(&row.get::<String>(14)?)?,
        masters: row.get(15)?,
        record: Vec::new(),
        record_mac: row.get(19)?,
    };
    let mut credential = Credential {
        id,
        holder: HolderId::new(row.get::<String>(1)?),
        pseudonym: row.get(2)?,
        factor: FactorId::new(row.get::<String>(3)?),
        status,
        mode: row
            .get::<String>(26)?
            .parse()
            .map_err(|_| StoreError::Corrupt("the mode of a credential"))?,
        description: row.get(5)?,
        multisign: row.get(6)?,
        key,
        puk,
        certificate: row.get(16)?,
        not_before: row.get(17)?,
        not_after: row.get(18)?,
        holder_active: row.get::<String>(20)? == "active",
    };
    // The record is rebuilt from what the row says now: the vault compares it with the MAC of what was written.
    credential.key.record = credential.record();
    Ok(credential)
}

fn cost(text: &str) -> Result<Cost, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("the cost of a PIN or PUK"))
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
