//! `csc-server`: the service and the commands of its operator.

use std::{alloc::System, process::ExitCode};

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

/// What is given back is wiped first: a PIN also passes through buffers of TLS, HTTP and JSON, whose types know nothing of it (SC-103).
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

#[tokio::main]
async fn main() -> ExitCode {
    // Before any TLS is built: a graph with two providers and none chosen panics.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if csc_server::memory::protect().is_err() || provider.install_default().is_err() {
        return ExitCode::FAILURE;
    }
    csc_server::commands::run(csc_server::commands::Arguments::parse()).await
}
