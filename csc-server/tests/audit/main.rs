//! The audit log as an outsider meets it: whatever is done to it in the database or in an export is found, and the first bad row is
//! named. On SQLite and on PostgreSQL.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod book;
mod guard;
mod keeper;
mod monitor;
mod succession;
#[path = "../support/mod.rs"]
mod support;
mod vandal;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "../support/world.rs"]
mod world;
