//! The commands, each a file.

pub(crate) mod audit;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod sign;
