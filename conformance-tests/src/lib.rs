//! Black-box tests: what the binaries do, seen from outside.
//!
//! A [`TestBed`] is one running service with its own tokens, database, mail outbox and log; tests speak raw HTTP and
//! JSON to it and use none of the product's types, so that a mistake on the wire cannot hide. What fails in here
//! fails the test, with what was found.
//!
//! `conformance-tests/run` builds the binaries and sets the environment:
//! `CSC_TEST_LOGS` (where server logs go), `CSC_TEST_CANARIES` (secrets that must not appear in them),
//! `CSC_TEST_POSTGRES` (a PostgreSQL server to make databases in).
#![expect(
    clippy::indexing_slicing,
    reason = "JSON is read and filled member by member; what is missing fails the test"
)]

mod bed;
mod binary;
mod browser;
mod canary;
mod client_key;
mod config;
mod database;
mod enrol;
mod gateway;
mod landing;
mod mail;
mod mandate;
mod openssl;
mod pdf;
mod server;
mod signer;
mod staff;
pub mod suite;
mod tables;
mod time_source;
mod visitor;
mod wait;
mod wire;

pub use bed::{Builder, Node, TestBed, shared, shared_on_postgres};
pub use binary::{Run, path as binary, run as command};
pub use browser::{Browser, Look};
pub use canary::{register as register_secret, registered as registered_secrets};
pub use client_key::ClientKey;
pub use enrol::{Client, Credential, Holder, KeySpec, Otp, Token, Totp};
pub use gateway::Gateway;
pub use landing::Landing;
pub use mandate::Mandate;
pub use openssl::{Scheme, assert_signs, pem};
pub use pdf::{pdf, reports};
pub use signer::Signer;
pub use staff::{
    ROLES, Staff, first_password as first_password_of, password as password_of, request_of,
};
pub use tables::{Refusal, assert_refusals};
pub use thirtyfour::Key;
pub use time_source::TimeSource;
pub use visitor::{Visitor, hidden};
pub use wait::until;
pub use wire::{Answer, Api, COMMON, Digest, V1, V2, Version, digest, digests};
