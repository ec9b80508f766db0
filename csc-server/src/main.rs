//! `csc-server`: the service and the commands of its operator.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// What is given back is wiped first: a PIN also passes through buffers of TLS, HTTP and JSON, whose types know nothing of it (SC-103).
#[global_allocator]
static MEMORY: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    if csc_server::memory::protect().is_err() {
        return ExitCode::FAILURE;
    }
    // Before any thread: the process of a module shuts itself in.
    if let Some(ended) = csc_server::commands::run_if_asked() {
        return ended;
    }
    // Before any TLS is built: a graph with two providers and none chosen panics.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(csc_server::commands::run()),
        Err(_) => ExitCode::FAILURE,
    }
}
