//! What a holder lets an application sign without him, within bounds: a mandate for automatic signature.

use serde::{Deserialize, Serialize};

use crate::Factor;

/// The terms of a mandate. Their canonical octets are part of the key-encryption key, so that edited terms open no key.
///
/// Canonical form as that of [`Content`](crate::Content).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Version of this structure: 1.
    pub version: u8,
    /// Identifier of the activation.
    pub id: String,
    /// Always [`Terms::KIND`].
    pub kind: String,
    /// Whose key.
    pub holder: String,
    /// Which credential.
    pub credential: String,
    /// Which key of the credential.
    pub generation: u32,
    /// SHA-256 of the certificate, hexadecimal.
    pub certificate: String,
    /// The client it is given to.
    pub client: String,
    /// How many signatures in all.
    pub count: u32,
    /// How many in a while.
    pub rate: Rate,
    /// What kinds of documents, in the holder's words. Nobody but the client sees what a hash is of.
    pub documents: Vec<String>,
    /// By what the holder proved himself.
    pub factors: Vec<Factor>,
    /// When it was given, milliseconds since 1970 UTC.
    pub issued: i64,
    /// When it ends, milliseconds since 1970 UTC.
    pub expires: i64,
}

/// At most so many signatures in a period; periods follow one another from the first signature of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Signatures.
    pub count: u32,
    /// Milliseconds.
    pub period: i64,
}

impl Terms {
    /// Version of this structure.
    pub const VERSION: u8 = 1;
    /// What it is, beside `sad` and the like.
    pub const KIND: &str = "mandate";
}
