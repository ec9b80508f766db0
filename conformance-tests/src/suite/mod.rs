//! `csc-conformance`: a black box that holds any CSC server against the specification.
//!
//! A [`Check`] has an identifier, the clause it stands for and a function that speaks to the server through a
//! [`World`]. [`Session`] learns from `info` what the server serves; what does not apply is skipped with its reason.
//! Nothing of the server's code is used here: requests are raw JSON, signatures and certificates are verified.
//! Everything a check does is kept in a [`Record`], from which it can be done again without the server.

mod application;
mod catalogue;
mod check;
mod clock;
mod cms;
mod code_flow;
mod codes;
mod context;
mod jws;
mod keys;
mod mask;
mod pages;
mod prepare;
mod refusal;
pub mod report;
mod run;
mod session;
mod settings;
mod wire;

pub use catalogue::catalogue;
pub use check::{Check, Level, Version};
pub use context::{Exchange, Record};
pub use run::{Outcome, Ran, Real};
pub use session::Session;
pub use settings::Settings;
pub use wire::{Answer, Carried, Request, World};
