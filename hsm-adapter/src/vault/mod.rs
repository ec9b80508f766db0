//! Keys that only their holder opens: `KEK(PIN) → DEK → private key`, and for minutes `KEK(SAD) → DEK`.
//!
//! ```text
//! stretch(p)   = Argon2id(p, salt, cost)                                            32 octets
//! U(purpose,p) = SHA-256(len|purpose ‖ len|credential ‖ len|generation ‖ len|stretch(p))
//! KEK(x)       = CKM_AES_CBC_ENCRYPT_DATA(seal-derive/vN, iv = 0, data = x)         in the HSM
//! key_blob     = AES-KWP(DEK, private key)      w_pin = AES-KWP(KEK(U("pin", PIN)), DEK)
//! w_sad        = vN ‖ AES-KWP(KEK(SHA-256("sad" ‖ secret ‖ content)), DEK)
//! w_mandate    = vN ‖ AES-KWP(KEK(SHA-256("mandate" ‖ secret ‖ terms)), DEK)
//! pin_check    = HMAC(pin-check/vN, len|U("pin", PIN))
//! record_mac   = HMAC(record-mac/vN, len|record)
//! at rest      = vN ‖ AES-256-GCM(store/vN, aad = len|table ‖ len|row ‖ len|field ‖ len|vN, blob)    key_blob and w_pin
//! ```
//!
//! The DEK between: a change of PIN, an activation or a mandate re-wraps 32 octets; the key blob never changes.
//! A PIN is judged by `pin_check` before anything is unwrapped, so a broken HSM never counts as a wrong PIN.
//!
//! vN: master keys rotate ([`MasterSet`]). What is new goes under the highest version on the token; what rests says which
//! it needs, in its first octets or in `masters`, and opens as long as that is there.

mod approved;
mod formula;
mod master;
mod opened;
mod puk;
mod rotation;
mod scratch;
mod seal;
mod sign;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::{
    master::MasterSet,
    puk::{Puk, SealedPuk},
    rotation::{Blobs, version_of},
};
use self::{
    master::{FIRST, MasterKey, Masters},
    opened::OpenKeys,
};
use crate::{
    Cost, HsmError, KeyAlgorithm, Pool, PoolState, Secret, Stretcher,
    pool::{Session, Speed},
};

/// A signature PIN: exactly eight digits. Prints nothing, is wiped when dropped.
pub struct Pin(Zeroizing<String>);

/// A private key as it rests: ciphertext that the HSM and the holder's PIN together open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// Identifier of the credential.
    pub credential: String,
    /// Which key of the credential, from 1.
    pub generation: u32,
    /// Key type.
    pub algorithm: KeyAlgorithm,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// AES-KWP(DEK, private key), sealed for the store.
    pub key_blob: Vec<u8>,
    /// AES-KWP(KEK(PIN), DEK), sealed for the store.
    pub w_pin: Vec<u8>,
    /// Tells a wrong PIN from a broken HSM.
    pub pin_check: Vec<u8>,
    /// Argon2id salt, 16 octets.
    pub salt: Vec<u8>,
    /// Argon2id cost.
    pub cost: Cost,
    /// Version N of the master keys it was sealed under.
    pub masters: u32,
    /// Identity, what judges PIN and PUK, certificate and status in canonical form, as the service stores them.
    pub record: Vec<u8>,
    /// HMAC(record-mac/vN, record), checked whenever the key is opened.
    pub record_mac: Vec<u8>,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// As it rests.
    pub key: SealedKey,
    /// Its certification request (PKCS #10, DER), signed when it was tried.
    pub request: Vec<u8>,
    /// Serial number of the device that made it.
    pub device: String,
}

/// What opens a key for a while: content and wrapped DEK from the store, the secret from the other side.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Canonical octets of a [`Content`](crate::Content) or of [`Terms`](crate::Terms), as stored.
    pub content: Vec<u8>,
    /// vN ‖ AES-KWP(KEK(secret, content), DEK), as stored.
    pub wrapped: Vec<u8>,
    /// What the client presented.
    pub secret: Secret,
}

/// HMAC keys for whatever the service says is theirs, one a purpose. They do not rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacKey {
    /// Codes the service sends.
    Otp,
    /// Passwords: the keyed step after Argon2id.
    Pepper,
    /// Pseudonyms of persons in the audit log.
    Pseudonym,
    /// Accounts, sessions and requests of operators.
    Operator,
    /// Seeds of the operators' authenticator apps.
    OperatorCode,
    /// Registrations of applications.
    Client,
}

impl MacKey {
    /// Its label on the token.
    pub fn label(self) -> String {
        MasterKey::Mac(self).label(FIRST)
    }
}

/// Where a sealed value rests: the additional authenticated data of its encryption, so that it opens nowhere else.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Table.
    pub table: &'a str,
    /// Key of the row.
    pub row: &'a str,
    /// Column.
    pub field: &'a str,
}

/// A master key of the holder slot, as `slot init` and `slot rotate` report it.
#[derive(Clone, Debug)]
pub struct Master {
    /// Label on the token, such as `seal-derive/v1`.
    pub label: String,
    /// Whether this call made it.
    pub created: bool,
}

impl Pin {
    /// `None` unless it is exactly eight ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 8 && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// The sealed keys of one slot.
#[derive(Clone)]
pub struct Vault {
    pool: Pool,
    stretcher: Stretcher,
    masters: Masters,
    opened: Arc<OpenKeys>,
}

impl Vault {
    /// `open_keys`: how many opened keys may stay in the HSM at once (least recently used goes first).
    pub fn new(pool: Pool, stretcher: Stretcher, open_keys: usize) -> Self {
        Self {
            opened: Arc::new(OpenKeys::new(pool.living(), open_keys)),
            pool,
            stretcher,
            masters: Masters::default(),
        }
    }

    /// HMAC over length-prefixed parts.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn mac(&self, key: MacKey, parts: &[&[u8]]) -> Result<[u8; 32], HsmError> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Zeroizing::new(part.to_vec()))
            .collect();
        let masters = self.masters.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
                masters.mac(hsm, MasterKey::Mac(key), FIRST, &parts)
            })
            .await
    }

    /// The MAC of a record under this version of the master keys: what it is kept with.
    ///
    /// # Errors
    /// [`HsmError::Refused`] when that version is not there, or the HSM does not answer.
    pub async fn record_mac(&self, masters: u32, record: &[u8]) -> Result<[u8; 32], HsmError> {
        let (record, keys) = (record.to_vec(), self.masters.clone());
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                keys.mac(hsm, MasterKey::Record, masters, &[&record])
            })
            .await
    }

    /// The MAC of a new record under the version of the master keys in use, and that version, to be kept with it.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn mac_record(&self, record: &[u8]) -> Result<(u32, [u8; 32]), HsmError> {
        let (record, keys) = (record.to_vec(), self.masters.clone());
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                let version = keys.current(hsm, MasterSet::Sealing)?;
                let mac = keys.mac(hsm, MasterKey::Record, version, &[&record])?;
                Ok((version, mac))
            })
            .await
    }

    /// Seals a value for its place in the store.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (place, plain) = (OwnedPlace::from(place), Zeroizing::new(plain.to_vec()));
        let masters = self.masters.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                masters.seal(session.hsm.as_mut(), &place.borrow(), &plain)
            })
            .await
    }

    /// Opens a value sealed for this place.
    ///
    /// # Errors
    /// [`HsmError::Refused`] when value or place is another.
    pub async fn unseal(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let (place, sealed) = (OwnedPlace::from(place), sealed.to_vec());
        let masters = self.masters.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                masters.unseal(session.hsm.as_mut(), &place.borrow(), &sealed)
            })
            .await
    }

    /// Random octets: the device's mixed (XOR) with the operating system's, so that neither alone can spoil them.
    ///
    /// # Errors
    /// When either has none.
    pub async fn random<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, HsmError> {
        let mut octets = self
            .pool
            .run(Speed::Fast, |session| {
                let mut octets = Zeroizing::new([0; N]);
                session.hsm.random(octets.as_mut())?;
                Ok::<_, HsmError>(octets)
            })
            .await?;
        let mut system = Zeroizing::new([0; N]);
        getrandom::fill(system.as_mut())
            .map_err(|error| HsmError::Unavailable(error.to_string()))?;
        for (octet, other) in octets.iter_mut().zip(system.iter()) {
            *octet ^= other;
        }
        Ok(octets)
    }

    /// A new secret for the other side: a SAD's, a token's, a client's.
    ///
    /// # Errors
    /// As [`Self::random`].
    pub async fn secret(&self) -> Result<Secret, HsmError> {
        Ok(Secret::new(*self.random::<32>().await?))
    }

    /// A new salt for Argon2id.
    async fn salt(&self) -> Result<Vec<u8>, HsmError> {
        Ok(self.random::<16>().await?.to_vec())
    }

    /// Serial number of the device.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn device(&self) -> Result<String, HsmError> {
        let serial = |session: &mut Session| Ok(session.hsm.serial().to_owned());
        self.pool.run(Speed::Slow, serial).await
    }

    /// Whether the slot signs and has the master keys in use, on the slow lane.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), HsmError> {
        let masters = self.masters.clone();
        self.pool
            .run(Speed::Slow, move |session| {
                session.hsm.health()?;
                rotation::find_all(session.hsm.as_mut(), &masters)
            })
            .await
    }

    /// How many key-encryption keys were derived through this vault: no more than its calls need (T-10).
    pub fn derivations(&self) -> u64 {
        self.masters.derivations()
    }

    /// Sessions, queue, opened keys, for metrics.
    pub fn state(&self) -> PoolState {
        PoolState {
            open_keys: self.opened.count(),
            ..self.pool.state()
        }
    }
}

/// A [`Place`] that travels to another thread.
struct OwnedPlace {
    table: String,
    row: String,
    field: String,
}

impl From<&Place<'_>> for OwnedPlace {
    fn from(place: &Place<'_>) -> Self {
        Self {
            table: place.table.to_owned(),
            row: place.row.to_owned(),
            field: place.field.to_owned(),
        }
    }
}

impl OwnedPlace {
    fn borrow(&self) -> Place<'_> {
        Place {
            table: &self.table,
            row: &self.row,
            field: &self.field,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_eight_ascii_digits() {
        assert!(Pin::parse("00000000").is_some());
        for text in [
            "",
            "1234567",
            "123456789",
            "1234567x",
            " 2345678",
            "12345678\n",
            "١٢٣٤",
        ] {
            assert!(Pin::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn secrets_print_nothing() {
        let activation = Activation {
            content: Vec::new(),
            wrapped: Vec::new(),
            secret: Secret::parse(&"A".repeat(43)).unwrap(),
        };

        assert_eq!(format!("{:?}", Pin::parse("12345678")), "Some(Pin(…))");
        assert!(format!("{activation:?}").contains("secret: Secret(…)"));
    }
}
