//! hsm-adapter
