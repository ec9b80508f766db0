//! What an activation permits: exactly these hashes, or whatever its client presents within the terms of a mandate.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    Content, Digest, HashType, Scheme, SealedKey, Statement, Terms, VaultError,
    content::is_of_the_future,
};

/// How long a key that a mandate opened stays open, milliseconds: who stops a mandate does not know its secret, and cannot close it.
const KEPT: i64 = 300_000;

/// The approval behind an activation, read from its canonical octets.
pub(super) enum Approved {
    /// These hashes.
    Exactly(Content),
    /// A mandate.
    Within(Terms),
}

/// What tells the two apart.
#[derive(Deserialize)]
struct Kind {
    version: u8,
    kind: String,
}

/// Whether these octets are the terms of a mandate.
pub(super) fn is_mandate(octets: &[u8]) -> bool {
    serde_json::from_slice(octets).is_ok_and(|Kind { kind, .. }| kind == Terms::KIND)
}

impl Approved {
    /// The approval, if it is for this key.
    pub(super) fn read(
        octets: &[u8],
        credential: &str,
        generation: u32,
    ) -> Result<Self, VaultError> {
        let Kind { version, kind } =
            serde_json::from_slice(octets).map_err(|_| VaultError::Damaged)?;
        let (approved, current) = if kind == Terms::KIND {
            let terms = serde_json::from_slice(octets).map(Self::Within);
            (terms, Terms::VERSION)
        } else {
            let content = serde_json::from_slice(octets).map(Self::Exactly);
            (content, Content::VERSION)
        };
        let approved = approved.map_err(|_| VaultError::Damaged)?;
        if version != current {
            return Err(VaultError::Damaged);
        }
        if approved.of() != (credential, generation) {
            return Err(VaultError::NotBound);
        }
        Ok(approved)
    }

    /// Of which key.
    fn of(&self) -> (&str, u32) {
        match self {
            Self::Exactly(content) => (&content.credential, content.generation),
            Self::Within(terms) => (&terms.credential, terms.generation),
        }
    }

    /// Whether it is a mandate.
    pub(super) fn is_mandate(&self) -> bool {
        matches!(self, Self::Within(_))
    }

    /// How many signatures in all.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Exactly(content) => content.count,
            Self::Within(terms) => terms.count,
        }
    }

    /// Until when the key it opens may stay open.
    pub(super) fn kept_until(&self, now: i64) -> i64 {
        match self {
            Self::Exactly(content) => content.expires,
            Self::Within(terms) => terms.expires.min(now.saturating_add(KEPT)),
        }
    }

    /// Whether the holder approved signatures over these digests.
    pub(super) fn permits(
        &self,
        key: &SealedKey,
        scheme: Scheme,
        digests: &[Digest],
        now: i64,
    ) -> Result<(), VaultError> {
        let made = |digest: &Digest| digest.algorithm() == scheme.digest();
        self.in_time(now)?;
        if !key.algorithm.allows(scheme) || !digests.iter().all(made) {
            return Err(VaultError::NotBound);
        }
        self.lists(HashType::Dtbsr, &digests.iter().collect::<Vec<_>>())
    }

    /// Whether the holder approved the documents of these statements, for the certificate that each names.
    pub(super) fn permits_statements(
        &self,
        key: &SealedKey,
        statements: &[Statement],
        now: i64,
    ) -> Result<(), VaultError> {
        let certificate = match self {
            Self::Exactly(content) => &content.certificate,
            Self::Within(terms) => &terms.certificate,
        };
        let fits = |statement: &Statement| {
            key.algorithm.allows(statement.scheme())
                && hex::encode(statement.certificate()) == *certificate
        };
        self.in_time(now)?;
        if !statements.iter().all(fits) {
            return Err(VaultError::NotBound);
        }
        let documents: Vec<_> = statements.iter().map(Statement::approved).collect();
        self.lists(HashType::Sdr, &documents)
    }

    fn in_time(&self, now: i64) -> Result<(), VaultError> {
        let (issued, expires) = match self {
            Self::Exactly(content) => (content.issued, content.expires),
            Self::Within(terms) => (terms.issued, terms.expires),
        };
        if now >= expires || is_of_the_future(issued, now) {
            return Err(VaultError::Expired);
        }
        Ok(())
    }

    /// Whether these digests, of this type, are among those approved.
    fn lists(&self, of: HashType, digests: &[&Digest]) -> Result<(), VaultError> {
        if digests.is_empty() || digests.len() > self.count() as usize {
            return Err(VaultError::NotBound);
        }
        match self {
            Self::Exactly(content) if content.hash_type.is_none_or(|said| said == of) => {
                listed(content, digests)
            }
            Self::Within(terms) if digests.len() <= terms.rate.count as usize => Ok(()),
            Self::Exactly(_) | Self::Within(_) => Err(VaultError::NotBound),
        }
    }
}

/// A digest listed once is signed once, a digest listed twice twice.
fn listed(content: &Content, digests: &[&Digest]) -> Result<(), VaultError> {
    if let Some(made) = content.digest
        && digests.iter().any(|digest| digest.algorithm() != made)
    {
        return Err(VaultError::NotBound);
    }
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    for digest in digests {
        *wanted.entry(hex::encode(digest.octets())).or_default() += 1;
    }
    for hash in &content.hashes {
        if let Some(left) = wanted.get_mut(hash.as_str()) {
            *left = left.saturating_sub(1);
        }
    }
    match wanted.values().all(|left| *left == 0) {
        true => Ok(()),
        false => Err(VaultError::NotBound),
    }
}
