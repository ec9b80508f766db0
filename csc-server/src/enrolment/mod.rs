//! Enrolment from the terminal: a key in the HSM, a certificate from the embedded CA, a credential that signs.

mod pin;

use hsm_adapter::{Cost, HsmError, KeyAlgorithm, Puk, Vault, VaultError};
use sha2::{Digest, Sha256};

pub use pin::{NewPin, PinError};

use crate::{
    audit::{self, Event},
    ca::{self, Ca},
    clock::{Clock, Millis},
    config::PukPolicy,
    credential::{self, Credential, Status},
    holder::Holder,
    ids::{CredentialId, FactorId},
    params,
    store::{Store, StoreError, Tx},
};

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// RSA-2048 is for measurements only.
    #[error("{0} is not allowed for new certificates; use rsa-3072, rsa-4096, p256, p384 or p521")]
    Algorithm(&'static str),
    /// The CA.
    #[error(transparent)]
    Ca(#[from] ca::Error),
    /// The key.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of credential.
#[derive(Clone, Debug)]
pub struct Request {
    /// Key type.
    pub algorithm: KeyAlgorithm,
    /// The OTP factor that goes with it.
    pub factor: FactorId,
    /// What people call it.
    pub description: String,
    /// Most signatures of one authorisation.
    pub multisign: u32,
    /// Country of the subject, ISO 3166-1 alpha-2.
    pub country: String,
    /// What a PUK may do.
    pub puk: PukPolicy,
}

/// Makes credentials.
pub struct Enrolment {
    /// Where they go.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Where the keys are born.
    pub vault: Vault,
    /// Who certifies them.
    pub ca: Ca,
    /// What the certificates say.
    pub profile: ca::Profile,
}

impl Enrolment {
    /// Generates a key under the holder's PIN, certifies it, and stores the credential, active at once. The PUK, where there is one, exists
    /// in what is returned and nowhere else.
    ///
    /// # Errors
    /// A key type that is not allowed, or a failure of HSM, CA or database. Nothing is stored then.
    pub async fn credential(
        &self,
        holder: &Holder,
        pin: &NewPin,
        request: Request,
    ) -> Result<(CredentialId, Option<Puk>), Error> {
        if request.algorithm == KeyAlgorithm::Rsa2048 {
            return Err(Error::Algorithm(request.algorithm.name()));
        }
        let id = CredentialId::random();
        let key = self
            .vault
            .generate(id.as_str(), 1, request.algorithm, pin.pin())
            .await?;
        let (puk, sealed_puk) = match request.puk {
            PukPolicy::Strict => (None, None),
            policy => {
                let resets = policy == PukPolicy::Reset;
                let (puk, sealed) = self.vault.make_puk(&key, pin.pin(), resets).await?;
                (Some(puk), Some(sealed))
            }
        };
        let now = self.clock.now();
        let subject = ca::Subject {
            common_name: format!("{} {}", holder.given_name, holder.surname),
            given_name: holder.given_name.clone(),
            surname: holder.surname.clone(),
            serial_number: None,
            country: request.country.clone(),
            dn_qualifier: id.to_string(),
        };
        let certificate = self
            .ca
            .issue(
                &self.profile,
                &subject,
                &key.spki,
                &ca::random_serial(),
                now,
            )
            .await?;
        let validity = ca::validity_of(&certificate)?;
        let mut made = Credential {
            id: id.clone(),
            holder: holder.id.clone(),
            pseudonym: holder.pseudonym.clone(),
            factor: request.factor,
            status: Status::Active,
            description: request.description,
            multisign: request.multisign,
            key,
            puk: sealed_puk,
            certificate,
            not_before: validity.0,
            not_after: validity.1,
            holder_active: true,
        };
        let record = made.record();
        let mac = self.vault.record_mac(made.key.masters, &record).await?;
        made.key.record_mac = mac.to_vec();
        self.store
            .write(async move |tx| insert(tx, &made, now).await)
            .await?;
        Ok((id, puk))
    }
}

async fn insert(tx: &mut Tx, made: &Credential, now: Millis) -> Result<(), StoreError> {
    let Credential {
        id,
        key,
        puk,
        certificate,
        pseudonym,
        ..
    } = made;
    let json = |cost: &Cost| serde_json::to_string(cost).unwrap_or_default();
    tx.execute(
        "INSERT INTO credential (id, version, holder, factor, status, description, multisign, generation, algorithm, spki,
             spki_hash, key_blob, w_pin, pin_check, pin_salt, pin_cost, masters, pin_failures, certificate,
             not_before, not_after, record_mac, created, puk_salt, puk_cost, puk_check, puk_masters, w_puk,
             puk_failures, unblocks)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, $17, $18, $19, $20, $21,
             $22, $23, $24, $25, $26, 0, 0)",
        params![
            id,
            &made.holder,
            &made.factor,
            made.status.name(),
            made.description.as_str(),
            made.multisign,
            key.generation,
            key.algorithm.name(),
            key.spki.clone(),
            <[u8; 32]>::from(Sha256::digest(&key.spki)),
            key.key_blob.clone(),
            key.w_pin.clone(),
            key.pin_check.clone(),
            key.salt.clone(),
            json(&key.cost),
            key.masters,
            certificate.clone(),
            made.not_before,
            made.not_after,
            key.record_mac.clone(),
            now,
            puk.as_ref().map(|puk| puk.salt.clone()),
            puk.as_ref().map(|puk| json(&puk.cost)),
            puk.as_ref().map(|puk| puk.check.clone()),
            puk.as_ref().map(|puk| puk.masters),
            puk.as_ref().and_then(|puk| puk.w_puk.clone())
        ],
    )
    .await?;
    let generated = Event::KeyGenerated {
        credential: id.to_string(),
        algorithm: key.algorithm.name(),
        spki_hash: hex::encode(Sha256::digest(&key.spki)),
    };
    audit::record(tx, now, pseudonym, &generated);
    let issued = Event::CertIssued {
        credential: id.to_string(),
        certificate_hash: made.certificate_hash(),
    };
    audit::record(tx, now, pseudonym, &issued);
    let activated = Event::CertActivated {
        credential: id.to_string(),
        record: credential::TABLE.record(tx, id).await?,
    };
    audit::record(tx, now, pseudonym, &activated);
    Ok(())
}
