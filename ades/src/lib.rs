//! AdES signature formats as pure functions: no key, no clock, no network, no database.
//!
//! Every format is three steps. `prepare` takes the document, the signer's [`Chain`], a [`Scheme`] and the format's
//! parameters (time included) and returns a `Prepared`; its `digest` is what the key signs, wherever the key lives;
//! `Prepared::finish` takes the signature value and returns the signed document. The state between is opaque and is
//! consumed, so a signature value can be put into one document only.
//!
//! | module | gives |
//! | --- | --- |
//! | [`cades`] | CMS signatures: `.p7m` (attached), `.p7s` (detached) |
//! | [`pades`] | PDF signatures, as an incremental update |
//! | [`timestamp`] | time-stamp tokens of RFC 3161 |
//! | [`Chain`] | the signer's certificate and those of its issuers |
//! | [`Scheme`], [`DigestAlgorithm`] | how the key signs, and over which digest |
//!
//! Signature values come in the encoding of the CSC API: RSA as the octets of the integer, ECDSA as the DER
//! `SEQUENCE { r, s }`. Each format's README states the standard, the profile and the gaps.

pub mod cades;
pub mod pades;
pub mod timestamp;

mod algorithm;
mod chain;

pub use algorithm::{DigestAlgorithm, Hasher, Scheme};
pub use chain::{Chain, Error as ChainError, Key};
