//! The remote signing service: CSC API over HTTPS, keys in an HSM that only their holder's PIN opens.
//!
//! One request reads straight down, each folder using only folders below it:
//!
//! ```text
//! api → portal → app → authorization → worker → signing → credential → oauth → factor → holder → operator → password, otp → jobs → notify → audit → sealed
//!       rotation ↗   enrolment → ca                                        → store; everything → config, clock, ids, actor
//! ```
//!
//! A signature: `api/routes.rs` → `api/signatures/sign_hash.rs` → `credential/sad.rs` (the SAD is redeemed for a
//! [`credential::Permit`]) → `signing/hash.rs` (the permit is spent) → `hsm-adapter`.

pub mod actor;
pub mod admin;
pub mod api;
pub mod app;
pub mod audit;
pub mod authorization;
pub mod ca;
pub mod clock;
pub mod commands;
pub mod config;
pub mod credential;
pub mod enrolment;
pub mod factor;
pub mod guard;
pub mod holder;
pub mod ids;
pub mod inspection;
pub mod jobs;
pub mod listener;
pub mod memory;
pub mod monitor;
pub mod notify;
pub mod oauth;
pub mod operation;
pub mod operator;
pub mod otp;
pub mod password;
pub mod portal;
pub mod question;
pub mod rates;
pub mod rotation;
pub mod routes;
pub mod sealed;
pub mod signing;
pub mod store;
pub mod timekeeper;
pub mod timestamp;
mod turn;
pub mod worker;
