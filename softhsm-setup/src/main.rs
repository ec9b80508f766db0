//! softhsm-setup
fn main() {}
