//! Checkpoints: what the chains were at a time, signed by a key of the HSM.
//!
//! A checkpoint covers, for each chain that grew since the checkpoint before, the rows `first` to `last`; it names the
//! hash of the last and the Merkle root (RFC 6962, 2.1: leaf `SHA-256(0x00 ‖ row hash)`, node `SHA-256(0x01 ‖ left ‖ right)`) over
//! the hashes of all these rows, in the order of `heads`, then of sequences. It names the checkpoint before by SHA-256
//! of its body, so that the newest one covers the heads of all chains. The body is canonical JSON (RFC 8785); the signature, ECDSA with P-256
//! and SHA-256, is over its octets.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use hsm_adapter::{Digest, DigestAlgorithm, HsmError, Issuer, Scheme};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    key::{Key, label},
    row::Hash,
};
use crate::clock::Millis;

/// Most rows of one checkpoint: what bounds the memory of who makes, proves or verifies one.
pub(super) const MAX_ROWS: u64 = 10_000;
/// The version of the bodies that are written now.
pub(super) const VERSION: u32 = 1;

/// A signed checkpoint, as stored and as exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// A [`Body`], byte for byte what is signed.
    pub body: String,
    /// ECDSA, DER.
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
}

/// What a checkpoint says. Its members stand in the order of RFC 8785.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The chains that grew.
    pub heads: Vec<Head>,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that signs.
    pub key: Hash,
    /// From 1, without gaps.
    pub number: i64,
    /// SHA-256 of the body before; all zero for the first.
    pub previous: Hash,
    /// Over the rows it covers.
    pub root: Hash,
    /// How many they are.
    pub rows: u64,
    /// The key that signs from the next checkpoint on, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Spki>,
    /// When it was made, milliseconds since 1970 UTC.
    pub time: Millis,
    /// Of the format.
    pub version: u32,
}

/// A SubjectPublicKeyInfo, DER; hexadecimal in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spki(#[serde(with = "hex")] pub Vec<u8>);

/// What a checkpoint covers of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The chain.
    pub chain: String,
    /// The first row that no checkpoint covered before.
    pub first: i64,
    /// The hash of the last row.
    pub hash: Hash,
    /// The last row.
    pub last: i64,
}

impl Body {
    pub(super) fn new(
        key: &Key,
        number: i64,
        previous: Hash,
        time: Millis,
        heads: Vec<Head>,
        leaves: &Leaves,
        successor: Option<Spki>,
    ) -> Self {
        Self {
            heads,
            key: key.id,
            number,
            previous,
            root: leaves.root(),
            rows: leaves.count(),
            successor,
            time,
            version: VERSION,
        }
    }

    /// Signs it with this version of the key of the issuer slot.
    ///
    /// # Errors
    /// When the HSM fails.
    pub(super) async fn sign(&self, issuer: &Issuer, key: u32) -> Result<Checkpoint, HsmError> {
        let body = serde_json::to_string(self)
            .map_err(|_| HsmError::Unfit("a checkpoint that cannot be written".into()))?;
        let digest = Digest::new(DigestAlgorithm::Sha256, Hash::of(body.as_bytes()).0.into())
            .ok_or_else(|| HsmError::Unfit("a digest of another length".into()))?;
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        let signature = issuer.sign(&label(key), scheme, &digest).await?;
        Ok(Checkpoint { body, signature })
    }
}

impl Checkpoint {
    /// SHA-256 of the body: how the next one names it.
    pub fn hash(&self) -> Hash {
        Hash::of(self.body.as_bytes())
    }

    /// The number it gives itself, signed or not; 0 when it gives none.
    pub(super) fn claimed_number(&self) -> i64 {
        serde_json::from_str::<Body>(&self.body).map_or(0, |body| body.number)
    }
}

/// The hashes of the rows of one checkpoint, as the leaves of its Merkle tree.
#[derive(Default)]
pub(super) struct Leaves {
    tree: MemoryBackedTree<Sha256, Hash>,
    count: u64,
}

impl Leaves {
    /// One row more. Beyond [`MAX_ROWS`] they are only counted: no checkpoint covers so many.
    pub(super) fn push(&mut self, hash: Hash) {
        self.count += 1;
        if self.count <= MAX_ROWS {
            self.tree.push(hash);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn root(&self) -> Hash {
        Hash((*self.tree.root().as_bytes()).into())
    }

    /// The siblings on the way from a leaf to the root; none for a leaf that is not there.
    pub(super) fn path(&self, index: usize) -> Vec<Hash> {
        if index as u64 >= self.count.min(MAX_ROWS) {
            return Vec::new();
        }
        let proof = self.tree.prove_inclusion(index);
        let nodes = proof.as_bytes().chunks_exact(32);
        nodes
            .filter_map(|node| node.try_into().ok().map(Hash))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_canonical_json() {
        let body = Body {
            heads: vec![Head {
                chain: "c".into(),
                first: 1,
                hash: Hash::default(),
                last: 2,
            }],
            key: Hash::default(),
            number: 1,
            previous: Hash::default(),
            root: Hash::default(),
            rows: 2,
            successor: Some(Spki(vec![0x30])),
            time: 3,
            version: VERSION,
        };
        let written = serde_json::to_string(&body).unwrap();
        // A map of serde_json is sorted; texts and numbers here are the same in every JSON.
        let sorted: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written, sorted.to_string());
    }

    /// RFC 6962, 2.1 and 2.1.1.
    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        let hash = |octet: u8| Hash([octet; 32]);
        let leaf = |hash: Hash| Hash::of(&[&[0][..], &hash.0].concat());
        let node = |left: Hash, right: Hash| Hash::of(&[&[1][..], &left.0, &right.0].concat());
        let mut leaves = Leaves::default();
        for octet in 0..3 {
            leaves.push(hash(octet));
        }
        let left = node(leaf(hash(0)), leaf(hash(1)));
        assert_eq!(leaves.root(), node(left, leaf(hash(2))));
        assert_eq!(leaves.path(1), [leaf(hash(0)), leaf(hash(2))]);
        assert_eq!(leaves.path(2), [left]);
        assert!(leaves.path(3).is_empty());
    }
}
