//! credentials/…: finding, describing and authorising credentials.

pub(super) mod authorize;
pub(super) mod authorize_check;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod extend_transaction;
pub(super) mod get_challenge;
pub(super) mod info;
pub(super) mod list;
mod name;
pub(super) mod send_otp;
mod view;
