//! The formulas outside the HSM: how octets go into a key, a MAC or a place.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Place, approved::is_mandate};
use crate::Secret;

/// Parts one after the other, each behind its length (32 bits, big-endian), so that no two lists read the same.
pub(super) fn prefixed(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let size = parts.iter().map(|part| 4 + part.len()).sum();
    let mut octets = Zeroizing::new(Vec::with_capacity(size));
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(part);
    }
    octets
}

/// U(purpose, p): from a stretched secret to what derives the key-encryption key of one key for one purpose.
pub(super) fn unlock(
    purpose: &str,
    credential: &str,
    generation: u32,
    stretched: &[u8; 32],
) -> Zeroizing<[u8; 32]> {
    let octets = prefixed(&[
        purpose.as_bytes(),
        credential.as_bytes(),
        &generation.to_be_bytes(),
        stretched,
    ]);
    Zeroizing::new(Sha256::digest(&*octets).into())
}

/// What derives the key-encryption key of an activation. The secret has one length and no label begins another, so nothing needs a prefix.
pub(super) fn activation(secret: &Secret, content: &[u8]) -> Zeroizing<[u8; 32]> {
    opening(secret, content, is_mandate(content))
}

/// The same, for who has read the content.
pub(super) fn opening(secret: &Secret, content: &[u8], mandate: bool) -> Zeroizing<[u8; 32]> {
    let label: &[u8] = match mandate {
        true => b"mandate",
        false => b"sad",
    };
    let hash = Sha256::new()
        .chain_update(label)
        .chain_update(secret.bits())
        .chain_update(content);
    Zeroizing::new(hash.finalize().into())
}

/// Additional authenticated data of a value at rest.
pub(super) fn aad(place: &Place<'_>, version: u32) -> Zeroizing<Vec<u8>> {
    prefixed(&[
        place.table.as_bytes(),
        place.row.as_bytes(),
        place.field.as_bytes(),
        &version.to_be_bytes(),
    ])
}

/// What rests under a master key begins with its version (32 bits, big-endian).
pub(super) fn versioned(version: u32, octets: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes(), octets].concat()
}

/// The inverse.
pub(super) fn version(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (version, rest) = octets.split_first_chunk()?;
    Some((u32::from_be_bytes(*version), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_parts_read_the_same() {
        assert_ne!(prefixed(&[b"ab", b"c"]), prefixed(&[b"a", b"bc"]));
        assert_ne!(prefixed(&[b"ab"]), prefixed(&[b"ab", b""]));
    }

    #[test]
    fn a_mandate_is_never_a_sad() {
        let secret = Secret::parse(&"A".repeat(43)).unwrap();
        let [sad, mandate] = ["sad", "mandate"].map(|kind| {
            let content = format!(r#"{{"version":1,"kind":"{kind}"}}"#);
            let hash = |label: &str| {
                let octets = [label.as_bytes(), secret.bits(), content.as_bytes()].concat();
                <[u8; 32]>::from(Sha256::digest(octets))
            };
            let derived = *activation(&secret, content.as_bytes());
            (derived == hash("sad"), derived == hash("mandate"))
        });

        assert_eq!(sad, (true, false));
        assert_eq!(mandate, (false, true));
    }

    #[test]
    fn a_secret_opens_for_one_purpose_one_credential_and_one_generation() {
        let unlocks = [
            unlock("pin", "one", 1, &[7; 32]),
            unlock("puk", "one", 1, &[7; 32]),
            unlock("pin", "two", 1, &[7; 32]),
            unlock("pin", "one", 2, &[7; 32]),
            unlock("pin", "one", 1, &[8; 32]),
        ];

        for (number, one) in unlocks.iter().enumerate() {
            assert!(!unlocks[number + 1..].contains(one));
        }
    }
}
