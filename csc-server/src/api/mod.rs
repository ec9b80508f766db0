//! The wire: the CSC API in both versions, side by side over one domain.
//!
//! `routes.rs` shows every URL. One file an endpoint, named as its URL; where the versions differ in names only, the
//! file asks [`dialect::Version`]. What is refused is a [`fault::Fault`]; `fault.rs` alone knows status codes and texts.

mod algorithms;
mod auth;
mod basic;
mod bearer;
mod cors;
mod credentials;
pub mod dialect;
mod dpop;
pub mod fault;
mod info;
mod json;
mod leniency;
mod oauth2;
pub mod openapi;
mod params;
mod routes;
mod signatures;

pub use routes::{router, routes};
