//! The steps that keys of holders go through, each with keys that are thrown away.

use crate::{
    Digest, DigestAlgorithm, Hsm, HsmError, Key, KeyAlgorithm, KeyUse, Scheme,
    vault::scratch::Scratch, verify,
};

const DATA: &[u8; 32] = &[0x5A; 32];
const OTHER: &[u8; 32] = &[0xA5; 32];

/// From a master key to a signature: derive, wrap, unwrap, sign; and what must not open does not.
pub(super) fn sealing(hsm: &mut dyn Hsm, algorithm: KeyAlgorithm) -> Result<(), HsmError> {
    let mut scratch = Scratch::new(hsm);
    let mut spki = Vec::new();
    let private = scratch.key(|hsm| {
        let (key, public) = hsm.generate_pair(algorithm)?;
        spki = public;
        Ok(key)
    })?;
    let dek = scratch.key(|hsm| hsm.generate_dek())?;
    let key_blob = scratch.hsm().wrap(dek, private)?;
    let master = scratch.key(|hsm| hsm.throw_away(KeyUse::Derive))?;
    let kek = scratch.key(|hsm| hsm.derive(master, DATA))?;
    let wrapped = scratch.hsm().wrap(kek, dek)?;

    let again = scratch.key(|hsm| hsm.derive(master, DATA))?;
    let dek = scratch.key(|hsm| hsm.unwrap_dek(again, &wrapped, false))?;
    let opened = scratch.key(|hsm| hsm.unwrap_private(dek, &key_blob, algorithm))?;
    for scheme in schemes(algorithm) {
        let digest = Digest::zero(scheme.digest());
        verify::signed(scratch.hsm(), opened, algorithm, &spki, scheme, &digest)?;
    }

    let other = scratch.key(|hsm| hsm.derive(master, OTHER))?;
    must_not(&mut scratch, "another secret opens the key", |hsm| {
        hsm.unwrap_dek(other, &wrapped, false)
    })?;
    let mut changed = wrapped;
    if let Some(octet) = changed.last_mut() {
        *octet ^= 1;
    }
    must_not(&mut scratch, "a changed blob opens", |hsm| {
        hsm.unwrap_dek(kek, &changed, false)
    })?;
    match scratch.hsm().wrap(dek, opened) {
        Ok(_) => Err(HsmError::Unfit(
            "a key that is not extractable leaves the token wrapped".to_owned(),
        )),
        Err(HsmError::Unavailable(lost)) => Err(HsmError::Unavailable(lost)),
        Err(_) => Ok(()),
    }
}

/// Something that must be refused, and not because the session is lost.
fn must_not(
    scratch: &mut Scratch<'_>,
    what: &str,
    act: impl FnOnce(&mut dyn Hsm) -> Result<Key, HsmError>,
) -> Result<(), HsmError> {
    match scratch.key(act) {
        Ok(_) => Err(HsmError::Unfit(what.to_owned())),
        Err(HsmError::Unavailable(lost)) => Err(HsmError::Unavailable(lost)),
        Err(_) => Ok(()),
    }
}

/// The outer layer of what rests: AES-GCM, bound to its place.
pub(super) fn store(hsm: &mut dyn Hsm) -> Result<(), HsmError> {
    let mut scratch = Scratch::new(hsm);
    let key = scratch.key(|hsm| hsm.throw_away(KeyUse::Encrypt))?;
    let hsm = scratch.hsm();
    let sealed = hsm.encrypt(key, b"place", b"value")?;
    if hsm.decrypt(key, b"place", &sealed)?.as_slice() != b"value" {
        return Err(unfit("it does not give back what it took"));
    }
    match hsm.decrypt(key, b"elsewhere", &sealed) {
        Ok(_) => Err(unfit("a value opens in another place")),
        Err(HsmError::Unavailable(lost)) => Err(HsmError::Unavailable(lost)),
        Err(_) => Ok(()),
    }
}

/// What judges PINs and records: HMAC.
pub(super) fn mac(hsm: &mut dyn Hsm) -> Result<(), HsmError> {
    let mut scratch = Scratch::new(hsm);
    let key = scratch.key(|hsm| hsm.throw_away(KeyUse::Mac))?;
    let other = scratch.key(|hsm| hsm.throw_away(KeyUse::Mac))?;
    let hsm = scratch.hsm();
    let mac = hsm.mac(key, b"value")?;
    if hsm.mac(key, b"value")? != mac {
        return Err(unfit("it gives two values for one input"));
    }
    if hsm.mac(key, b"another")? == mac || hsm.mac(other, b"value")? == mac {
        return Err(unfit("it gives one value for two inputs"));
    }
    Ok(())
}

/// The device's share of random values.
pub(super) fn random(hsm: &mut dyn Hsm) -> Result<(), HsmError> {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    hsm.random(&mut one)?;
    hsm.random(&mut other)?;
    if one == other || one == [0; 32] {
        return Err(unfit("its random octets repeat"));
    }
    Ok(())
}

/// A pair of the provider: a token object of this label, which is there only meanwhile.
pub(super) fn token_pair(
    hsm: &mut dyn Hsm,
    label: &str,
    algorithm: KeyAlgorithm,
) -> Result<(), HsmError> {
    let tried = hsm
        .create_token_pair(label, algorithm)
        .and_then(|(key, spki)| {
            schemes(algorithm).into_iter().try_for_each(|scheme| {
                let digest = Digest::zero(scheme.digest());
                verify::signed(hsm, key, algorithm, &spki, scheme, &digest).map(drop)
            })
        });
    // Also when the making failed: a token that does not keep to its template leaves what it made.
    let destroyed = hsm.destroy_pair(label);
    tried.and(destroyed.map(drop))
}

/// A master key, the same way.
pub(super) fn token_master(hsm: &mut dyn Hsm, label: &str) -> Result<(), HsmError> {
    let tried = hsm
        .create_master(label, KeyUse::Mac)
        .and_then(|_| hsm.master(label, KeyUse::Mac))
        .and_then(|found| found.ok_or_else(|| unfit("it does not find the key that it made")))
        .and_then(|key| hsm.mac(key, b"value"));
    let destroyed = hsm.destroy_master(label);
    tried.and(destroyed.map(drop))
}

/// The salts of PSS that work, and those that do not, of each digest.
pub(super) fn salts(
    hsm: &mut dyn Hsm,
    algorithm: KeyAlgorithm,
) -> Result<Vec<(DigestAlgorithm, u16, bool)>, HsmError> {
    let mut scratch = Scratch::new(hsm);
    let mut spki = Vec::new();
    let key = scratch.key(|hsm| {
        let (key, public) = hsm.generate_pair(algorithm)?;
        spki = public;
        Ok(key)
    })?;
    let mut tried = Vec::new();
    for digest in DigestAlgorithm::ALL {
        let same = digest.len() as u16;
        // RFC 8017, 9.1.1.
        let longest = (algorithm.bits() / 8) as u16 - same - 2;
        for salt in [0, 20, same, longest] {
            let scheme = Scheme::RsaPss { digest, salt };
            let zero = Digest::zero(digest);
            let signed = verify::signed(scratch.hsm(), key, algorithm, &spki, scheme, &zero);
            if let Err(HsmError::Unavailable(lost)) = signed {
                return Err(HsmError::Unavailable(lost));
            }
            tried.push((digest, salt, signed.is_ok()));
        }
    }
    Ok(tried)
}

/// What a key of this type signs with: for PSS the salt that everybody uses.
fn schemes(algorithm: KeyAlgorithm) -> Vec<Scheme> {
    let of_digest = |digest: DigestAlgorithm| match algorithm.is_rsa() {
        true => vec![
            Scheme::RsaPkcs1(digest),
            Scheme::RsaPss {
                digest,
                salt: digest.len() as u16,
            },
        ],
        false => vec![Scheme::Ecdsa(digest)],
    };
    DigestAlgorithm::ALL
        .into_iter()
        .flat_map(of_digest)
        .collect()
}

fn unfit(what: &str) -> HsmError {
    HsmError::Unfit(what.to_owned())
}
