//! auth/…: log-in by password, and the end of tokens.

pub(super) mod login;
pub(super) mod revoke;
