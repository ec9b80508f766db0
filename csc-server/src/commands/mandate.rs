//! `csc-server mandate …`: what a holder lets an application sign without him.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use hsm_adapter::Rate;

use super::{
    caller::Caller,
    context::Context,
    credential::{Opened, Which, pin},
    terminal::{say, secret},
};
use crate::{
    credential::{Approval, mandate::Wanted},
    factor::Purpose,
    ids::{ActivationId, ClientId},
};

const DAY: i64 = 86_400_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Let an application sign with an automatic credential, within bounds: asks the PIN and a one-time code.
    Give(Give),
    /// End mandates at once: asks the holder's password.
    Stop(Stop),
}

#[derive(Debug, Args)]
pub(super) struct Give {
    #[command(flatten)]
    which: Which,
    /// The application; it authenticates by mutual TLS or private_key_jwt.
    #[arg(long)]
    client: String,
    /// How many signatures in all.
    #[arg(long)]
    count: u32,
    /// How many signatures in a period.
    #[arg(long)]
    rate: u32,
    /// The period, such as 1m, 1h or 1day.
    #[arg(long, value_parser = humantime)]
    per: Duration,
    /// How many days it lasts, 365 at most.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=365))]
    days: u16,
    /// A kind of document, such as "invoices"; may be given more than once.
    #[arg(long, required = true)]
    documents: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    which: Which,
    /// Only this one.
    #[arg(long)]
    mandate: Option<String>,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        // The holder's own: PIN, code and password open them, and no operator does.
        let context = caller.open().await?;
        match self {
            Self::Give(give) => give.run(&context).await,
            Self::Stop(stop) => stop.run(&context).await,
        }
    }
}

impl Give {
    async fn run(self, context: &Context) -> Result<()> {
        let opened = self.which.open(context).await?;
        let id = ClientId::new(self.client);
        let client = context.clients()?.find(&id).await?;
        let client = client.with_context(|| format!("there is no client '{id}'"))?;
        if !client.registration.authentication.is_strong() {
            bail!(
                "the client '{id}' authenticates by a secret; a mandate is given to one that does by mutual TLS or private_key_jwt"
            );
        }
        let now = context.clock.now();
        let days = i64::from(self.days) * DAY;
        let wanted = Wanted {
            count: self.count,
            rate: Rate {
                count: self.rate,
                period: i64::try_from(self.per.as_millis())?,
            },
            documents: self.documents,
            expires: (now + days).min(opened.credential.not_after),
        };
        let pin = pin("PIN")?;
        let otp = opened.code_for(&client, Purpose::Mandate).await?;
        let approval = Approval { pin, otp };
        let Opened {
            keys, credential, ..
        } = &opened;
        let given = keys.give_mandate(credential, &id, wanted, approval).await?;
        say(&format!("mandate: {}", given.id));
        say(&format!("SAD: {}", given.mandate));
        say(
            "The application presents it as SAD in signatures/signHash. It is not shown again; hand it to the application and nobody else.",
        );
        Ok(())
    }
}

impl Stop {
    async fn run(self, context: &Context) -> Result<()> {
        let opened = self.which.open(context).await?;
        let holder = opened.holder().await?;
        let accounts = context.accounts(&context.vault()?);
        let password = secret("Password")?;
        accounts
            .log_in(&holder.user_name, &password, &ClientId::direct())
            .await?;
        let keys = &opened.keys;
        let stopped = match self.mandate.map(ActivationId::new) {
            Some(one) => usize::from(keys.stop_mandate(&holder.id, &one).await?),
            None => keys.stop_mandates(&opened.credential).await?,
        };
        say(&format!("mandates ended: {stopped}"));
        Ok(())
    }
}

fn humantime(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())
}
