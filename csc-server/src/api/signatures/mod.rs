//! signatures/…: using what was authorised.

mod mode;
pub(super) mod sign_doc;
pub(super) mod sign_hash;
pub(super) mod sign_polling;
mod task;
pub(super) mod timestamp;
