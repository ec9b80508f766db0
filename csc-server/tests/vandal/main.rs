//! Who may write the database, and has no HSM: whatever he changes in a row is refused and alarmed where it is used, or found by an
//! inspection. The columns come from the migrated schema, so that one that is added has to be classified.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod classes;
mod found;
mod hands;
mod nightly;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "../operator/world.rs"]
mod operators;
mod refused;
mod schema;
mod staff;
#[path = "../support/mod.rs"]
mod support;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "../support/world.rs"]
mod world;
