//! The proof that a row stands in the audit log of a service, checked with the public key of the service and nothing else
//! of it: from the content of the row to its hash, from the hash up the Merkle tree (RFC 6962) to the root, from the root to the
//! signature of the checkpoint.

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Hash(#[serde(with = "hex::serde")] [u8; 32]);

/// A line of `csc-server audit proof`, or of a filtered export.
#[derive(Deserialize)]
struct Line {
    proof: Proof,
}

#[derive(Deserialize)]
struct Proof {
    row: Row,
    before: Hash,
    index: u64,
    path: Vec<Hash>,
    checkpoint: Checkpoint,
}

#[derive(Deserialize)]
struct Row {
    chain: String,
    sequence: i64,
    version: i64,
    time: i64,
    event: String,
    person: String,
    hash: Hash,
}

#[derive(Deserialize)]
struct Checkpoint {
    body: String,
    #[serde(with = "hex::serde")]
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Body {
    number: i64,
    root: Hash,
    rows: u64,
    time: i64,
    version: u32,
}

/// What is proven.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// What happened.
    pub(crate) event: Event,
    /// When, as the service recorded it: milliseconds since 1970 UTC.
    pub(crate) time: i64,
    /// The checkpoint that covers it, and when that was signed: it was recorded no later.
    pub(crate) checkpoint: (i64, i64),
}

/// What happened, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    /// `SIGN_OK` and others.
    #[serde(rename = "event")]
    pub(crate) name: String,
    /// The credential it is about.
    pub(crate) credential: Option<String>,
    /// What was signed.
    #[serde(default)]
    signatures: Vec<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    #[serde(with = "hex::serde")]
    hash: Vec<u8>,
}

impl Event {
    /// The digests that were signed.
    pub(crate) fn signed(&self) -> impl Iterator<Item = &[u8]> {
        let signatures = (self.name == "SIGN_OK").then_some(&self.signatures);
        signatures
            .into_iter()
            .flatten()
            .map(|signature| signature.hash.as_slice())
    }
}

/// Checks a proof against the public keys of the service (SubjectPublicKeyInfo, DER), of which one must have signed.
pub(crate) fn check(text: &str, keys: &[Vec<u8>]) -> anyhow::Result<Recorded> {
    let Line { proof } = serde_json::from_str(text).context("this is no proof")?;
    let Proof {
        row,
        before,
        index,
        path,
        checkpoint,
    } = proof;
    let signed = keys.iter().any(|spki| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki)
            .verify(checkpoint.body.as_bytes(), &checkpoint.signature)
            .is_ok()
    });
    ensure!(signed, "not proven: the key did not sign the checkpoint");
    let body: Option<Body> = serde_json::from_str(&checkpoint.body).ok();
    let body = body
        .filter(|body| body.version == 1)
        .context("not proven: the checkpoint is of a version that is not known here")?;
    ensure!(
        row.version == 1 && row_hash(&row, &before) == row.hash,
        "not proven: the row is not the one that was hashed"
    );
    ensure!(
        root(&row.hash, index, body.rows, &path) == Some(body.root),
        "not proven: the row does not lead to the root that was signed"
    );
    let event = serde_json::from_str(&row.event).context("the event cannot be read")?;
    Ok(Recorded {
        event,
        time: row.time,
        checkpoint: (body.number, body.time),
    })
}

/// The hash of a row: over label, hash of the row before, version, chain, sequence, time, event and person, each but the label
/// with its length before it.
fn row_hash(row: &Row, before: &Hash) -> Hash {
    let numbers = [row.version, row.sequence, row.time].map(i64::to_be_bytes);
    let [version, sequence, time] = &numbers;
    let parts: [&[u8]; 7] = [
        &before.0,
        version,
        row.chain.as_bytes(),
        sequence,
        time,
        row.event.as_bytes(),
        row.person.as_bytes(),
    ];
    let mut hash = Sha256::new_with_prefix("audit/1");
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Hash(hash.finalize().into())
}

/// The root that a leaf leads to (RFC 9162, 2.1.3.2, the algorithm for the trees of RFC 6962); none when the path has another
/// length than one of a tree of this size.
fn root(row: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = digest(0, &[row]);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            hash = digest(1, &[sibling, &hash]);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node / 2, last / 2);
            }
        } else {
            hash = digest(1, &[&hash, sibling]);
        }
        (node, last) = (node / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

/// SHA-256 of a prefix and what follows it.
fn digest(prefix: u8, parts: &[&Hash]) -> Hash {
    let mut hash = Sha256::new_with_prefix([prefix]);
    for part in parts {
        hash.update(part.0);
    }
    Hash(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree of RFC 6962, 2.1, as its text defines it: split at the largest power of two below the size.
    fn tree(leaves: &[Hash]) -> Hash {
        match leaves {
            [leaf] => digest(0, &[leaf]),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                digest(1, &[&tree(left), &tree(right)])
            }
        }
    }

    /// RFC 6962, 2.1.1.
    fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut path, other) = match index.checked_sub(middle) {
            None => (path(left, index), right),
            Some(index) => (path(right, index), left),
        };
        path.push(tree(other));
        path
    }

    #[test]
    fn every_leaf_of_every_tree_leads_to_its_root_and_to_no_other_place() {
        let leaves: Vec<_> = (0..33).map(|octet| Hash([octet; 32])).collect();
        for size in 1..=leaves.len() {
            let leaves = &leaves[..size];
            let (top, size) = (tree(leaves), size as u64);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(leaves, index);
                let index = index as u64;
                assert_eq!(root(leaf, index, size, &path), Some(top));
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert_ne!(root(leaf, other, size, &path), Some(top));
                }
                let longer = [&path[..], &[top]].concat();
                assert_ne!(root(leaf, index, size, &longer), Some(top));
                if let Some((_, shorter)) = path.split_last() {
                    assert_ne!(root(leaf, index, size, shorter), Some(top));
                }
            }
        }
    }
}
