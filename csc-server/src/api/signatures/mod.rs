//! signatures/…: using what was authorised.

pub(super) mod sign_hash;
