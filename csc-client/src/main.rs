//! The signing application: signs files with a key at a remote signing service, over the API of the Cloud Signature
//! Consortium (v1.0 and v2.x). Documents never leave the machine; only digests travel.
//!
//! | module | holds |
//! | --- | --- |
//! | `arguments` | the command line, which is the manual too |
//! | `commands` | `sign`, `list`, `info`, `audit` |
//! | `api` | the wire: methods and dialects of CSC, log-in, errors |
//! | `authorisation` | PIN, OTP and approval, from the credential's description to a SAD |
//! | `algorithm` | which algorithm of the credential signs |
//! | `document` | from a file to a digest, and from a signature to a file |
//! | `proof` | what proves that a service recorded a signature |
//! | `terminal` | everything that people read or type |

mod algorithm;
mod api;
mod arguments;
mod authorisation;
mod commands;
mod document;
mod proof;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Audit, Command};

fn main() -> ExitCode {
    let provider = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match provider
        .map_err(|_| anyhow::anyhow!("TLS cannot be set up"))
        .and_then(|()| run(arguments))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Sign(options) => commands::sign::run(&arguments.service, options).await,
            Command::Audit(Audit::Check(options)) => commands::audit::check(&options),
            Command::List => commands::list::run(&arguments.service).await,
            Command::Info { credential } => {
                commands::info::run(&arguments.service, credential.as_deref()).await
            }
        }
    })
}
