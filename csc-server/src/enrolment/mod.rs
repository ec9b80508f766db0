//! Enrolment from the terminal: a key in the HSM, a certificate from the embedded CA, a credential that signs.

mod pin;

use std::time::Duration;

use hsm_adapter::{HsmError, KeyAlgorithm, NewKey, Puk, Vault, VaultError};
use sha2::{Digest, Sha256};

pub use pin::{NewPin, PinError};

use crate::{
    audit::{self, Event},
    ca::{self, Ca},
    clock::Clock,
    config::{Algorithms, PukPolicy},
    credential::{self, Status},
    holder::Holder,
    ids::{CredentialId, FactorId},
    params,
    store::{Store, StoreError},
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
        if let Some(end) = self.algorithms.ends(request.algorithm).sign {
            // No certificate outlives its algorithm.
            let left = Duration::from_millis(u64::try_from(end - now).unwrap_or_default());
            profile.validity = profile.validity.min(left);
        }
        let id = CredentialId::random();
        let subject = ca::Subject {
            common_name: format!("{} {}", holder.given_name, holder.surname),
            given_name: holder.given_name.clone(),
            surname: holder.surname.clone(),
            serial_number: None,
            country: request.country.clone(),
            dn_qualifier: id.to_string(),
        };
        let NewKey {
            mut key,
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
        let record = credential::record(
            &id,
            &holder.id,
            &request.factor,
            Status::Active,
            &key,
            &certificate,
            validity,
        );
        key.record_mac = self.vault.record_mac(key.masters, &record).await?.to_vec();

        let (credential, holder_id, person) =
            (id.clone(), holder.id.clone(), holder.pseudonym.clone());
        let cost = serde_json::to_string(&key.cost).unwrap_or_default();
        let puk_cost = sealed_puk
            .as_ref()
            .map(|puk| serde_json::to_string(&puk.cost).unwrap_or_default());
        let w_puk = sealed_puk.as_ref().and_then(|puk| puk.w_puk.clone());
        self.store
            .write(async move |tx| {
                tx.execute(
                    "INSERT INTO credential (id, version, holder, factor, status, description, multisign, generation, algorithm, spki,
                         spki_hash, key_blob, w_pin, pin_check, pin_salt, pin_cost, masters, pin_failures, certificate,
                         not_before, not_after, record_mac, created, puk_salt, puk_cost, puk_check, puk_masters, w_puk,
                         store, puk_failures, unblocks)
                     VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, $17, $18, $19, $20, $21,
                         $22, $23, $24, $25, $26, $27, 0, 0)",
                    params![
                        &credential,
                        &holder_id,
                        &request.factor,
                        Status::Active.name(),
                        request.description.as_str(),
                        request.multisign,
                        key.generation,
                        key.algorithm.name(),
                        key.spki.clone(),
                        spki_hash,
                        key.key_blob.clone(),
                        key.w_pin.clone(),
                        key.pin_check.clone(),
                        key.salt.clone(),
                        cost.as_str(),
                        key.masters,
                        certificate.clone(),
                        validity.0,
                        validity.1,
                        key.record_mac.clone(),
                        now,
                        sealed_puk.as_ref().map(|puk| puk.salt.clone()),
                        puk_cost.clone(),
                        sealed_puk.as_ref().map(|puk| puk.check.clone()),
                        sealed_puk.as_ref().map(|puk| puk.masters),
                        w_puk.clone(),
                        credential::oldest(&key.key_blob, &key.w_pin, w_puk.as_deref())
                    ],
                )
                .await?;
                let generated = Event::KeyGenerated {
                    credential: credential.to_string(),
                    algorithm: key.algorithm.name(),
                    spki_hash: hex::encode(spki_hash),
                    request_hash: hex::encode(Sha256::digest(&proof)),
                    device: device.clone(),
                };
                audit::record(tx, now, &person, &generated);
                let issued = Event::CertIssued {
                    credential: credential.to_string(),
                    certificate_hash: hex::encode(Sha256::digest(&certificate)),
                };
                audit::record(tx, now, &person, &issued);
                if let Some(Terms { version, hash }) = request.terms.clone() {
                    let credential = credential.to_string();
                    let accepted = Event::TermsAccepted { credential, version, hash };
                    audit::record(tx, now, &person, &accepted);
                }
                let activated = Event::CertActivated {
                    credential: credential.to_string(),
                    record: credential::TABLE.record(tx, &credential).await?,
                };
                audit::record(tx, now, &person, &activated);
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
                tx.execute(sql, params![spki_hash, now]).await
            })
            .await?;
        if inserted == 1 {
            Ok(())
        } else {
            Err(Error::KnownKey)
        }
    }
}
