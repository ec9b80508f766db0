//! `csc-server audit …`

mod export;
mod proof;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::{caller::Caller, terminal::say};
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
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Export(export) => export.run(caller).await,
            Self::Verify(verify) => verify.run(caller).await,
            Self::Proof(proof) => proof.run(caller).await,
            Self::Key => {
                let keys = Keys::of(&caller.open().await?.issuer()?).await?;
                say(keys.to_pem()?.trim_end());
                Ok(())
            }
        }
    }
}
