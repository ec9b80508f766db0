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

mod agreement;
mod approved;
mod formula;
mod master;
mod opened;
mod puk;
mod record;
mod rotation;
pub(crate) mod scratch;
mod seal;
mod sign;

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::master::{FIRST, MasterKey};
pub use self::{
    master::MasterSet,
    puk::{Puk, SealedPuk},
    record::Recorded,
    rotation::{Blobs, version_of},
};
pub(crate) use self::{
    master::{Masters, in_use},
    opened::OpenKeys,
    puk::{ChangePin, JudgePuk, MakePuk, ResealPuk, ResetPin},
    record::{RecordMasters, RecordPairs},
    rotation::{
        Check, CurrentVersion, DestroySet, DestroyVersion, Init, ResealBlobs, ResealValue, Rotate,
        Versions,
    },
    seal::{Authorise, Extend, Generate},
    sign::{Close, Sign, Sweep},
};
use crate::{
    Cost, HsmError, KeyAlgorithm, Pool, PoolState, Secret, Stretcher,
    call::{Call, Engine, Route, Tools},
    octets,
    pool::{Session, Speed},
    process::{Remote, Spread},
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
    #[serde(with = "octets")]
    pub spki: Vec<u8>,
    /// AES-KWP(DEK, private key), sealed for the store.
    #[serde(with = "octets")]
    pub key_blob: Vec<u8>,
    /// AES-KWP(KEK(PIN), DEK), sealed for the store.
    #[serde(with = "octets")]
    pub w_pin: Vec<u8>,
    /// Tells a wrong PIN from a broken HSM.
    #[serde(with = "octets")]
    pub pin_check: Vec<u8>,
    /// Argon2id salt, 16 octets.
    #[serde(with = "octets")]
    pub salt: Vec<u8>,
    /// Argon2id cost.
    pub cost: Cost,
    /// Version N of the master keys it was sealed under.
    pub masters: u32,
    /// Identity, what judges PIN and PUK, certificate and status in canonical form, as the service stores them.
    #[serde(with = "octets")]
    pub record: Vec<u8>,
    /// HMAC(record-mac/vN, record): whenever the key is opened it must have been right for this very record.
    #[serde(with = "octets")]
    pub record_mac: Vec<u8>,
}

/// A key that was just made.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// An [`Activation`] as it travels.
#[derive(Serialize, Deserialize)]
struct Opening {
    #[serde(with = "octets")]
    content: Vec<u8>,
    #[serde(with = "octets")]
    wrapped: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

impl From<&Activation> for Opening {
    fn from(activation: &Activation) -> Self {
        Self {
            content: activation.content.clone(),
            wrapped: activation.wrapped.clone(),
            secret: Zeroizing::new(*activation.secret.bits()),
        }
    }
}

impl Opening {
    /// What derives the key-encryption key.
    fn unlock(&self) -> Zeroizing<[u8; 32]> {
        formula::activation(&Secret::new(*self.secret), &self.content)
    }
}

/// HMAC keys for whatever the service says is theirs, one a purpose. They do not rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Every one.
    pub(crate) const ALL: [Self; 6] = [
        Self::Otp,
        Self::Pepper,
        Self::Pseudonym,
        Self::Operator,
        Self::OperatorCode,
        Self::Client,
    ];

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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    route: Route,
    stretcher: Stretcher,
}

impl Vault {
    /// Over sessions of this process. `open_keys`: how many opened keys may stay in the HSM at once (least recently used goes first).
    pub fn new(pool: Pool, stretcher: Stretcher, open_keys: usize) -> Self {
        Self {
            route: Route::Here(Engine::new(pool, open_keys)),
            stretcher,
        }
    }

    /// Over a slot of a module in a process of its own. Argon2id stays in this one, under one bound with everything else that stretches: it
    /// needs no HSM, and what comes out of it opens nothing without one.
    pub fn remote(slot: Remote, stretcher: Stretcher) -> Self {
        Self {
            route: Route::There(Spread::new(vec![(slot, 1)])),
            stretcher,
        }
    }

    /// Over several slots with the same master keys, each with its weight.
    pub fn spread(slots: Vec<(Remote, u32)>, stretcher: Stretcher) -> Self {
        Self {
            route: Route::There(Spread::new(slots)),
            stretcher,
        }
    }

    /// HMAC over length-prefixed parts.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn mac(&self, key: MacKey, parts: &[&[u8]]) -> Result<[u8; 32], HsmError> {
        let parts = parts
            .iter()
            .map(|part| Zeroizing::new(part.to_vec()))
            .collect();
        self.route.call(Mac { key, parts }).await
    }

    /// The MAC of a record under this version of the master keys: what it is kept with.
    ///
    /// # Errors
    /// [`HsmError::Refused`] when that version is not there, or the HSM does not answer.
    pub async fn record_mac(&self, masters: u32, record: &[u8]) -> Result<[u8; 32], HsmError> {
        let record = record.to_vec();
        self.route.call(RecordMac { masters, record }).await
    }

    /// The MAC of a new record under the version of the master keys in use, and that version, to be kept with it.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn mac_record(&self, record: &[u8]) -> Result<(u32, [u8; 32]), HsmError> {
        let record = record.to_vec();
        self.route.call(MacRecord { record }).await
    }

    /// Seals a value for its place in the store.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (place, plain) = (place.into(), Zeroizing::new(plain.to_vec()));
        self.route.call(Seal { place, plain }).await
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
        let (place, sealed) = (place.into(), sealed.to_vec());
        self.route.call(Unseal { place, sealed }).await
    }

    /// Random octets: the device's mixed (XOR) with the operating system's, so that neither alone can spoil them.
    ///
    /// # Errors
    /// When either has none.
    pub async fn random<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, HsmError> {
        let drawn = self.route.call(Random { octets: N as u32 }).await?;
        let mut octets = Zeroizing::new([0; N]);
        getrandom::fill(octets.as_mut())
            .map_err(|error| HsmError::Unavailable(error.to_string()))?;
        if drawn.len() != N {
            return Err(HsmError::Unfit("random octets are missing".to_owned()));
        }
        for (octet, other) in octets.iter_mut().zip(drawn.iter()) {
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
        self.route.call(Device {}).await
    }

    /// Whether the slot signs and has the master keys in use, on the slow lane.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), HsmError> {
        self.route.call(Health { masters: true }).await
    }

    /// How many key-encryption keys were derived through this vault: no more than its calls need (T-10).
    pub fn derivations(&self) -> u64 {
        self.route.masters().derivations()
    }

    /// Sessions, queue, opened keys, for metrics.
    pub fn state(&self) -> PoolState {
        self.route.state()
    }

    /// The slots, when their sessions are in other processes.
    pub fn slots(&self) -> Vec<Remote> {
        self.route.slots()
    }
}

/// [`Vault::mac`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Mac {
    key: MacKey,
    parts: Vec<Zeroizing<Vec<u8>>>,
}

impl Call for Mac {
    type Answer = [u8; 32];
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<[u8; 32], HsmError> {
        let parts: Vec<&[u8]> = self.parts.iter().map(|part| part.as_slice()).collect();
        let key = MasterKey::Mac(self.key);
        tools.masters.mac(session.hsm.as_mut(), key, FIRST, &parts)
    }
}

/// [`Vault::record_mac`].
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordMac {
    masters: u32,
    record: Vec<u8>,
}

impl Call for RecordMac {
    type Answer = [u8; 32];
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<[u8; 32], HsmError> {
        let hsm = session.hsm.as_mut();
        let record: &[&[u8]] = &[&self.record];
        tools
            .masters
            .mac(hsm, MasterKey::Record, self.masters, record)
    }
}

/// [`Vault::mac_record`].
#[derive(Serialize, Deserialize)]
pub(crate) struct MacRecord {
    record: Vec<u8>,
}

impl Call for MacRecord {
    type Answer = (u32, [u8; 32]);
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(u32, [u8; 32]), HsmError> {
        let hsm = session.hsm.as_mut();
        let version = tools.masters.current(hsm, MasterSet::Sealing)?;
        let record: &[&[u8]] = &[&self.record];
        let mac = tools.masters.mac(hsm, MasterKey::Record, version, record)?;
        Ok((version, mac))
    }
}

/// [`Vault::seal`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Seal {
    place: OwnedPlace,
    plain: Zeroizing<Vec<u8>>,
}

impl Call for Seal {
    type Answer = Vec<u8>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<u8>, HsmError> {
        let place = self.place.borrow();
        tools
            .masters
            .seal(session.hsm.as_mut(), &place, &self.plain)
    }
}

/// [`Vault::unseal`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Unseal {
    place: OwnedPlace,
    sealed: Vec<u8>,
}

impl Call for Unseal {
    type Answer = Zeroizing<Vec<u8>>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let place = self.place.borrow();
        tools
            .masters
            .unseal(session.hsm.as_mut(), &place, &self.sealed)
    }
}

/// The device's part of [`Vault::random`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Random {
    octets: u32,
}

impl Call for Random {
    type Answer = Zeroizing<Vec<u8>>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        /// More than any secret takes.
        const MOST: usize = 1024;
        let mut octets = Zeroizing::new(vec![0; MOST.min(self.octets as usize)]);
        session.hsm.random(&mut octets)?;
        Ok(octets)
    }
}

/// [`Vault::device`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Device {}

impl Call for Device {
    type Answer = String;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<String, HsmError> {
        Ok(session.hsm.serial().to_owned())
    }
}

/// [`Vault::health`]; of an issuer slot, which has no master keys, without them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) masters: bool,
}

impl Call for Health {
    type Answer = ();
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(), HsmError> {
        session.hsm.health()?;
        match self.masters {
            true => rotation::find_all(session.hsm.as_mut(), &tools.masters),
            false => Ok(()),
        }
    }
}

/// A [`Place`] that travels.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnedPlace {
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
