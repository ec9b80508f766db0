//! `csc-server credential …`

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use hsm_adapter::KeyAlgorithm;

use super::{
    context::Context,
    terminal::{new_secret, say},
};
use crate::{
    enrolment::{Enrolment, NewPin, Request},
    ids::FactorId,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key in the HSM under a new PIN, and its certificate; the PIN is asked twice, or read from standard input.
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// User name of the holder.
    #[arg(long)]
    holder: String,
    /// Identifier of his one-time password factor.
    #[arg(long)]
    otp: String,
    /// rsa-3072, rsa-4096, p256, p384 or p521; the configuration has a default.
    #[arg(long)]
    key: Option<KeyAlgorithm>,
    /// Most signatures of one authorisation.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    multisign: Option<u32>,
    /// What the holder sees it called.
    #[arg(long)]
    description: Option<String>,
}

impl Command {
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        let Self::Add(add) = self;
        let context = Context::open(config).await?;
        let stretcher = context.stretcher();
        let vault = context.vault(stretcher.clone())?;
        let holder = context
            .holder(&context.accounts(&vault, &stretcher), &add.holder)
            .await?;
        let factor = FactorId::new(add.otp);
        let found = context.factors(&vault).find(&factor).await?;
        let found = found
            .filter(|factor| factor.belongs_to(&holder))
            .with_context(|| {
                format!(
                    "holder '{}' has no one-time password factor '{factor}'; run `csc-server otp add`",
                    holder.user_name
                )
            })?;
        let multisign = add.multisign.unwrap_or(context.config.credential.multisign);
        if multisign > context.config.credential.max_hashes {
            bail!(
                "--multisign is at most credential.max_hashes, {}",
                context.config.credential.max_hashes
            );
        }
        let known = [
            holder.user_name.as_str(),
            &holder.email,
            found.address().unwrap_or_default(),
        ];
        let pin = NewPin::choose(&new_secret("PIN (8 digits)")?, &known)?;
        let certificate = &context.config.certificate;
        let request = Request {
            algorithm: add.key.unwrap_or(certificate.key),
            factor,
            description: add
                .description
                .unwrap_or_else(|| format!("{} {}", holder.given_name, holder.surname)),
            multisign,
            country: context.config.info.region.clone(),
        };
        let enrolment = Enrolment {
            ca: context.ca().await?,
            profile: certificate.into(),
            store: context.store.clone(),
            clock: context.clock.clone(),
            vault,
        };
        let id = enrolment.credential(&holder, &pin, request).await?;
        say(&format!("credential: {id}"));
        Ok(())
    }
}
