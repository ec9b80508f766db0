//! `csc-server otp …`

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use qrcode::{QrCode, render::unicode::Dense1x2};

use super::{caller::Caller, terminal::say};
use crate::operator::Capability;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give a holder a one-time password factor.
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// User name of the holder.
    #[arg(long)]
    holder: String,
    /// An authenticator app, or codes by mail.
    #[arg(long, value_enum)]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Totp,
    Mail,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let Self::Add(add) = self;
        let context = caller.act(Capability::EnrolFactor).await?;
        let vault = context.vault()?;
        let holder = context
            .holder(&context.accounts(&vault), &add.holder)
            .await?;
        let factors = context.factors(&vault);
        match add.kind {
            Kind::Mail => say(&format!("otp: {}", factors.enrol_mail(&holder).await?)),
            Kind::Totp => {
                let (id, uri) = factors.enrol_totp(&holder).await?;
                say(&QrCode::new(uri.as_bytes())?.render::<Dense1x2>().build());
                say("Scan this with the authenticator app; it is not shown again.");
                say(&uri);
                say(&format!("otp: {id}"));
            }
        }
        Ok(())
    }
}
