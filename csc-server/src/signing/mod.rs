//! Signing: a [`Permit`](crate::credential::Permit) in, signatures out.

mod hash;

pub use hash::Signer;
