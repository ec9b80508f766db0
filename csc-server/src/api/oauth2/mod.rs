//! oauth2/…: tokens for clients (RFC 6749, 7009, with CSC v1 8.3.3 and 8.3.4 where they differ). Form-encoded, and the same for both versions.

pub(super) mod authorize;
mod client;
mod form;
pub(super) mod metadata;
pub(super) mod revoke;
pub(super) mod token;
