//! Keys that only their holder opens: `KEK(PIN) → DEK → private key`, and for minutes `KEK(SAD) → DEK`.
//!
//! ```text
//! stretch(p)   = Argon2id(p, salt, cost)                                            32 octets
//! U(purpose,p) = SHA-256(len|purpose ‖ len|credential ‖ len|generation ‖ len|stretch(p))
//! KEK(x)       = CKM_AES_CBC_ENCRYPT_DATA(seal-derive/vN, iv = 0, data = x)         in the HSM
//! key_blob     = AES-KWP(DEK, private key)      w_pin = AES-KWP(KEK(U("pin", PIN)), DEK)
//! w_sad        = AES-KWP(KEK(SHA-256("sad" ‖ secret ‖ content)), DEK)
//! pin_check    = HMAC(pin-check/vN, len|U("pin", PIN))
//! record_mac   = HMAC(record-mac/vN, len|record)
//! at rest      = vN ‖ AES-256-GCM(store/vN, aad = len|table ‖ len|row ‖ len|field ‖ len|vN, blob)    key_blob and w_pin
//! ```
//!
//! The DEK between: a change of PIN, an activation or a mandate re-wraps 32 octets; the key blob never changes.
//! A PIN is judged by `pin_check` before anything is unwrapped, so a broken HSM never counts as a wrong PIN.

mod formula;
mod master;
mod opened;
mod puk;
mod scratch;
mod seal;
mod sign;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::opened::OpenKeys;
pub use self::puk::{Puk, SealedPuk};
use crate::{
    Cost, HsmError, KeyAlgorithm, Pool, PoolState, Secret, Stretcher, VaultError, pool::Speed,
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

/// What opens a key for a while: content and wrapped DEK from the store, the secret from the other side.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Canonical octets of a [`Content`](crate::Content), as stored.
    pub content: Vec<u8>,
    /// AES-KWP(KEK(secret, content), DEK), as stored.
    pub wrapped: Vec<u8>,
    /// What the client presented.
    pub secret: Secret,
}

/// HMAC keys, one a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacKey {
    /// PIN check values.
    PinCheck,
    /// PUK check values.
    PukCheck,
    /// Codes the service sends.
    Otp,
    /// Passwords: the keyed step after Argon2id.
    Pepper,
    /// Records of credentials.
    Record,
    /// Pseudonyms of persons in the audit log.
    Pseudonym,
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

/// A master key of the holder slot, as `slot init` reports it.
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
    opened: Arc<OpenKeys>,
}

impl Vault {
    /// `open_keys`: how many opened keys may stay in the HSM at once (least recently used goes first).
    pub fn new(pool: Pool, stretcher: Stretcher, open_keys: usize) -> Self {
        Self {
            opened: Arc::new(OpenKeys::new(pool.living(), open_keys)),
            pool,
            stretcher,
        }
    }

    /// Makes the master keys that are missing.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when one is there and may do more than it should.
    pub async fn init(&self) -> Result<Vec<Master>, HsmError> {
        self.pool
            .run(Speed::Slow, |session| master::init(session.hsm.as_mut()))
            .await
    }

    /// Finds every master key and proves the whole chain with a throw-away key; for the start of the service.
    ///
    /// # Errors
    /// [`HsmError::Missing`] without a master key, [`HsmError::Unfit`] when the token cannot do what is needed.
    pub async fn check(&self) -> Result<(), HsmError> {
        let checked = self
            .pool
            .run(Speed::Slow, |session| master::check(session.hsm.as_mut()));
        checked.await.map_err(|error| match error {
            VaultError::Hsm(error) => error,
            other => HsmError::Unfit(other.to_string()),
        })
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
        self.pool
            .run(Speed::Fast, move |session| {
                let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
                master::mac(session.hsm.as_mut(), key, master::VERSION, &parts)
            })
            .await
    }

    /// The MAC of a record of a key that was sealed under this version of the master keys.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn record_mac(&self, masters: u32, record: &[u8]) -> Result<[u8; 32], HsmError> {
        let record = record.to_vec();
        self.pool
            .run(Speed::Fast, move |session| {
                master::mac(session.hsm.as_mut(), MacKey::Record, masters, &[&record])
            })
            .await
    }

    /// Seals a value for its place in the store.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (place, plain) = (OwnedPlace::from(place), Zeroizing::new(plain.to_vec()));
        self.pool
            .run(Speed::Fast, move |session| {
                master::seal_value(session.hsm.as_mut(), &place.borrow(), &plain)
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
        self.pool
            .run(Speed::Fast, move |session| {
                master::unseal_value(session.hsm.as_mut(), &place.borrow(), &sealed)
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

    /// Whether the slot signs, on the slow lane.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), HsmError> {
        self.pool
            .run(Speed::Slow, |session| session.hsm.health())
            .await
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
