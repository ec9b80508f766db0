//! csc-server
fn main() {}
