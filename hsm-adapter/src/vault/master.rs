//! The master keys of the holder slot, and what each does alone: sealing a value for its place, and MACs.

use zeroize::Zeroizing;

use super::{MacKey, Master, Place, formula, seal};
use crate::{Hsm, HsmError, Key, KeyAlgorithm, KeyUse, VaultError, request};

/// The version that new values are sealed under. A rotation adds one; what rests says which it needs.
pub(super) const VERSION: u32 = 1;

/// A master key. One purpose each: with ENCRYPT beside DERIVE anyone with a session could compute the derived keys in
/// clear, and a MAC made for one use must not pass in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MasterKey {
    SealDerive,
    Store,
    Mac(MacKey),
}

impl MasterKey {
    pub(super) const ALL: [Self; 8] = [
        Self::SealDerive,
        Self::Store,
        Self::Mac(MacKey::PinCheck),
        Self::Mac(MacKey::PukCheck),
        Self::Mac(MacKey::Otp),
        Self::Mac(MacKey::Pepper),
        Self::Mac(MacKey::Record),
        Self::Mac(MacKey::Pseudonym),
    ];

    fn label(self, version: u32) -> String {
        let name = match self {
            Self::SealDerive => "seal-derive",
            Self::Store => "store",
            Self::Mac(MacKey::PinCheck) => "pin-check",
            Self::Mac(MacKey::PukCheck) => "puk-check",
            Self::Mac(MacKey::Otp) => "otp",
            Self::Mac(MacKey::Pepper) => "pepper",
            Self::Mac(MacKey::Record) => "record-mac",
            Self::Mac(MacKey::Pseudonym) => "pseudonym",
        };
        format!("{name}/v{version}")
    }

    fn purpose(self) -> KeyUse {
        match self {
            Self::SealDerive => KeyUse::Derive,
            Self::Store => KeyUse::Encrypt,
            Self::Mac(_) => KeyUse::Mac,
        }
    }

    /// The key of this version; it is not made here.
    pub(super) fn find(self, hsm: &mut dyn Hsm, version: u32) -> Result<Key, HsmError> {
        if version != VERSION {
            return Err(HsmError::Refused(format!(
                "sealed under version {version} of the master keys, which is unknown"
            )));
        }
        let label = self.label(version);
        hsm.master(&label, self.purpose())?
            .ok_or(HsmError::Missing(label))
    }
}

/// Makes the master keys that are missing.
pub(super) fn init(hsm: &mut dyn Hsm) -> Result<Vec<Master>, HsmError> {
    MasterKey::ALL
        .into_iter()
        .map(|master| {
            let label = master.label(VERSION);
            let created = hsm.master(&label, master.purpose())?.is_none();
            if created {
                hsm.create_master(&label, master.purpose())?;
            }
            Ok(Master { label, created })
        })
        .collect()
}

/// Finds every master key (the token has verified their attributes then) and proves the chain with throw-away keys.
pub(super) fn check(hsm: &mut dyn Hsm) -> Result<(), VaultError> {
    for master in MasterKey::ALL {
        master.find(hsm, VERSION)?;
    }
    let place = Place {
        table: "check",
        row: "check",
        field: "check",
    };
    let sealed = seal_value(hsm, &place, b"check")?;
    if unseal_value(hsm, &place, &sealed)?.as_slice() != b"check" {
        return Err(unfit("AES-GCM does not give back what it took").into());
    }
    let one = mac(hsm, MacKey::Record, VERSION, &[b"check"])?;
    if one != mac(hsm, MacKey::Record, VERSION, &[b"check"])? {
        return Err(unfit("HMAC gives two values for one input").into());
    }
    seal::seal_new(hsm, KeyAlgorithm::P256, &[0; 32], request::NOBODY)?;
    Ok(())
}

fn unfit(what: &str) -> HsmError {
    HsmError::Unfit(what.to_owned())
}

/// HMAC over length-prefixed parts.
pub(super) fn mac(
    hsm: &mut dyn Hsm,
    key: MacKey,
    version: u32,
    parts: &[&[u8]],
) -> Result<[u8; 32], HsmError> {
    let key = MasterKey::Mac(key).find(hsm, version)?;
    hsm.mac(key, &formula::prefixed(parts))
}

/// Seals a value for its place: the version of the master key (32 bits), then nonce, ciphertext and tag.
pub(super) fn seal_value(
    hsm: &mut dyn Hsm,
    place: &Place<'_>,
    plain: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let store = MasterKey::Store.find(hsm, VERSION)?;
    let mut sealed = VERSION.to_be_bytes().to_vec();
    sealed.extend(hsm.encrypt(store, &formula::aad(place, VERSION), plain)?);
    Ok(sealed)
}

/// Opens a value sealed for this place.
pub(super) fn unseal_value(
    hsm: &mut dyn Hsm,
    place: &Place<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let (version, sealed) = sealed
        .split_first_chunk()
        .ok_or_else(|| HsmError::Refused("a sealed value is too short".to_owned()))?;
    let version = u32::from_be_bytes(*version);
    let store = MasterKey::Store.find(hsm, version)?;
    hsm.decrypt(store, &formula::aad(place, version), sealed)
}
