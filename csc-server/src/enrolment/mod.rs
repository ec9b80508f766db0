//! Enrolment: a key in the HSM, a certificate from the embedded CA, a credential that signs.

mod by_holder;
mod pin;

use std::time::Duration;

use hsm_adapter::{Cost, HsmError, KeyAlgorithm, NewKey, Puk, Vault, VaultError};
use sha2::{Digest, Sha256};

pub use by_holder::ByHolder;
pub use pin::{NewPin, PinError};

use crate::{
    audit::{self, Event},
    ca::{self, Ca},
    clock::{Clock, Millis},
    config::{Algorithms, PukPolicy},
    credential::{self, Credential, Mode, Status},
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
    /// Its time is over.
    #[error("{0} makes no new keys any more: algorithm.{0}.create_until is past")]
    AlgorithmEnded(&'static str),
    /// The HSM does not make keys at random.
    #[error(
        "the HSM made a key that was there before; do not use it until its random numbers are examined"
    )]
    KnownKey,
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

/// What the audit log vouches for of the public keys that ever were.
pub const PUBLIC_KEYS: audit::Table =
    audit::table!("public_key", key ["spki_hash"], told ["created"], recorded []);

/// What kind of credential.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is called by; nobody has that name yet.
    pub id: CredentialId,
    /// Where it stands at first: in use, or waiting for the application that it is made for.
    pub status: Status,
    /// Key type.
    pub algorithm: KeyAlgorithm,
    /// How it is authorised.
    pub mode: Mode,
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
    /// What the holder accepts with it, where the provider has published terms.
    pub terms: Option<Terms>,
}

/// A version of the provider's terms.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its name.
    pub version: String,
    /// SHA-256 of the document, hexadecimal.
    pub hash: String,
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
    /// Until when key types are good.
    pub algorithms: Algorithms,
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
        let now = self.clock.now();
        if !self.algorithms.may_create(request.algorithm, now) {
            return Err(Error::AlgorithmEnded(request.algorithm.name()));
        }
        let mut profile = self.profile.clone();
        if request.mode != Mode::Automatic {
            profile.notice = None;
        }
        if let Some(end) = self.algorithms.ends(request.algorithm).sign {
            // No certificate outlives its algorithm.
            let left = Duration::from_millis(u64::try_from(end - now).unwrap_or_default());
            profile.validity = profile.validity.min(left);
        }
        let id = request.id.clone();
        let subject = ca::Subject {
            common_name: format!("{} {}", holder.given_name, holder.surname),
            given_name: holder.given_name.clone(),
            surname: holder.surname.clone(),
            serial_number: None,
            country: request.country.clone(),
            dn_qualifier: id.to_string(),
        };
        let NewKey {
            key,
            request: proof,
            device,
        } = self
            .vault
            .generate(
                id.as_str(),
                1,
                request.algorithm,
                pin.pin(),
                &subject.der()?,
            )
            .await?;
        let spki_hash: [u8; 32] = Sha256::digest(&key.spki).into();
        self.never_before(spki_hash).await?;
        let (puk, sealed_puk) = match request.puk {
            PukPolicy::Strict => (None, None),
            policy => {
                let resets = policy == PukPolicy::Reset;
                let (puk, sealed) = self.vault.make_puk(&key, pin.pin(), resets).await?;
                (Some(puk), Some(sealed))
            }
        };
        let certificate = self
            .ca
            .issue(
                &profile,
                &subject,
                &key.spki,
                &proof,
                &ca::random_serial(),
                now,
            )
            .await?;
        let validity = ca::validity_of(&certificate)?;
        let terms = request.terms;
        let mut made = Credential {
            id: id.clone(),
            holder: holder.id.clone(),
            pseudonym: holder.pseudonym.clone(),
            factor: request.factor,
            status: request.status,
            mode: request.mode,
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
        let generated = Event::KeyGenerated {
            credential: id.to_string(),
            algorithm: made.key.algorithm.name(),
            spki_hash: hex::encode(spki_hash),
            request_hash: hex::encode(Sha256::digest(&proof)),
            device,
        };
        self.store
            .write(async move |tx| {
                insert(tx, &made, now).await?;
                let person = made.pseudonym.as_str();
                audit::record(tx, now, person, &generated);
                let issued = Event::CertIssued {
                    credential: made.id.to_string(),
                    certificate_hash: made.certificate_hash(),
                };
                audit::record(tx, now, person, &issued);
                if let Some(Terms { version, hash }) = terms.clone() {
                    let credential = made.id.to_string();
                    let accepted = Event::TermsAccepted {
                        credential,
                        version,
                        hash,
                    };
                    audit::record(tx, now, person, &accepted);
                }
                let credential = made.id.to_string();
                let record = credential::TABLE.record(tx, &made.id).await?;
                let there = match made.status {
                    Status::Issued => Event::CertPrepared { credential, record },
                    _ => Event::CertActivated { credential, record },
                };
                audit::record(tx, now, person, &there);
                Ok(())
            })
            .await?;
        Ok((id, puk))
    }

    /// Takes a public key into the list of all that ever were, before it is certified: no key has two certificates or two holders, and one
    /// that was destroyed does not come back.
    async fn never_before(&self, spki_hash: [u8; 32]) -> Result<(), Error> {
        let now = self.clock.now();
        let inserted = self
            .store
            .write(async move |tx| {
                let sql = "INSERT INTO public_key (spki_hash, created) VALUES ($1, $2) ON CONFLICT (spki_hash) DO NOTHING";
                let inserted = tx.execute(sql, params![spki_hash, now]).await?;
                if inserted == 1 {
                    let spki_hash = hex::encode(spki_hash);
                    audit::record(tx, now, "", &Event::KeyTaken { spki_hash });
                }
                Ok(inserted)
            })
            .await?;
        if inserted == 1 {
            Ok(())
        } else {
            Err(Error::KnownKey)
        }
    }
}

async fn insert(tx: &mut Tx, made: &Credential, now: Millis) -> Result<(), StoreError> {
    let Credential { key, puk, .. } = made;
    let json = |cost: &Cost| serde_json::to_string(cost).unwrap_or_default();
    let w_puk = puk.as_ref().and_then(|puk| puk.w_puk.clone());
    tx.execute(
        "INSERT INTO credential (id, version, holder, factor, status, description, multisign, generation, algorithm, spki,
             spki_hash, key_blob, w_pin, pin_check, pin_salt, pin_cost, masters, pin_failures, certificate,
             not_before, not_after, record_mac, created, puk_salt, puk_cost, puk_check, puk_masters, w_puk,
             store, puk_failures, unblocks, mode)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, $17, $18, $19, $20, $21,
             $22, $23, $24, $25, $26, $27, 0, 0, $28)",
        params![
            &made.id,
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
            made.certificate.clone(),
            made.not_before,
            made.not_after,
            key.record_mac.clone(),
            now,
            puk.as_ref().map(|puk| puk.salt.clone()),
            puk.as_ref().map(|puk| json(&puk.cost)),
            puk.as_ref().map(|puk| puk.check.clone()),
            puk.as_ref().map(|puk| puk.masters),
            w_puk.clone(),
            credential::oldest(&key.key_blob, &key.w_pin, w_puk.as_deref()),
            made.mode.name()
        ],
    )
    .await
    .map(drop)
}
