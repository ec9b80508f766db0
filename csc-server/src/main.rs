//! `csc-server`: the service and the commands of its operator.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // First, before any TLS is built: a graph with two providers and none chosen panics.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    csc_server::commands::run().await
}
