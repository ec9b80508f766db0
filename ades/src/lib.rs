//! ades
