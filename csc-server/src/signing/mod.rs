//! Signing: a [`Permit`](crate::credential::Permit) in, signatures out; and what is signed of documents.

pub mod document;
mod hash;

pub use hash::Signer;
