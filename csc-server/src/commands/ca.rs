//! `csc-server ca …`

use anyhow::Result;
use clap::Subcommand;
use x509_cert::der::{Decode, EncodePem, pem::LineEnding};

use super::{caller::Caller, terminal::say};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the certificate of the CA as PEM: what validators must trust.
    Certificate,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let Self::Certificate = self;
        let der = caller.open().await?.ca_certificate().await?;
        let pem = x509_cert::Certificate::from_der(&der)?.to_pem(LineEnding::LF)?;
        say(pem.trim_end());
        Ok(())
    }
}
