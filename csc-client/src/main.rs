//! csc-client
fn main() {}
