//! `csc-server audit …`

mod export;
mod proof;
mod verify;

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;

use super::{context::Context, terminal::say};
use crate::audit::Keys;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write the log, or some of its rows each with its proof, as JSON lines.
    Export(export::Export),
    /// Verify the log in the database, or an export; an export needs no configuration.
    Verify(verify::Verify),
    /// Print the proof that a signature was recorded; `csc-client audit check` checks it.
    Proof(proof::Proof),
    /// Print the public keys that the log is verified with, oldest first, as PEM.
    Key,
}

impl Command {
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        match self {
            Self::Export(export) => export.run(config).await,
            Self::Verify(verify) => verify.run(config).await,
            Self::Proof(proof) => proof.run(config).await,
            Self::Key => {
                let keys = Keys::of(&Context::open(config).await?.issuer()?).await?;
                say(keys.to_pem()?.trim_end());
                Ok(())
            }
        }
    }
}
