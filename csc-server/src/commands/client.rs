//! `csc-server client …`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};

use super::{caller::Caller, context::Context, terminal::say};
use crate::{
    ids::ClientId,
    oauth::{
        client::Client,
        registration::{Authentication, Registration},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a signing application; its secret is shown once.
    Add {
        /// `client_id`.
        #[arg(long)]
        id: String,
        #[command(flatten)]
        source: Source,
    },
    /// Change what is registered of an application.
    Change {
        /// `client_id`.
        #[arg(long)]
        id: String,
        #[command(flatten)]
        source: Source,
        /// Give it a new secret; the old one is good no more.
        #[arg(long)]
        new_secret: bool,
    },
    /// Show what is registered of an application, as `--from` takes it.
    Show {
        /// `client_id`.
        #[arg(long)]
        id: String,
    },
    /// Let a client see a holder and his credentials.
    Link {
        /// `client_id`.
        #[arg(long)]
        client: String,
        /// User name.
        #[arg(long)]
        holder: String,
    },
}

/// Where the registration comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Source {
    /// What holders see it called.
    #[arg(long)]
    name: Option<String>,
    /// The registration: a TOML file; docs/operations.md lists its members.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Source {
    fn read(&self, known: Option<&Registration>) -> Result<Registration> {
        let mut registration = match (&self.from, known) {
            (Some(path), _) => from_file(path)?,
            (None, Some(known)) => known.clone(),
            (None, None) => Registration::named(""),
        };
        if let Some(name) = &self.name {
            registration.name.clone_from(name);
        }
        Ok(registration)
    }
}

fn from_file(path: &Path) -> Result<Registration> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    toml::from_str(&text).with_context(|| format!("{shown} is no registration"))
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.act().await?;
        let clients = context.clients()?;
        match self {
            Self::Add { id, source } => {
                let registration = source.read(None)?;
                let secret = match registration.authentication {
                    Authentication::Secret => Some(context.vault()?.secret().await?),
                    _ => None,
                };
                let id = ClientId::new(id);
                clients.add(&id, &registration, secret.as_ref()).await?;
                if let Some(secret) = secret {
                    say(&format!("secret: {}", secret.expose()));
                }
                say(&format!("client '{id}' is registered"));
            }
            Self::Change {
                id,
                source,
                new_secret,
            } => {
                let known = find(&context, &id).await?;
                let registration = source.read(Some(&known.registration))?;
                // Holders who log in by themselves: it gets no tokens of its own.
                let by_itself = new_secret
                    || !registration.grants.is_empty()
                    || registration.authentication != Authentication::Secret;
                ensure!(
                    id != ClientId::direct().as_str() || !by_itself,
                    "the client 'direct' has neither grants nor authentication: write `grants = []`"
                );
                let has_secret = registration.authentication == Authentication::Secret;
                let had_secret = known.registration.authentication == Authentication::Secret;
                if new_secret && !has_secret {
                    bail!("only a client of the method 'secret' has one");
                }
                let secret = match new_secret || (has_secret && !had_secret) {
                    true => Some(context.vault()?.secret().await?),
                    false => None,
                };
                clients
                    .change(&known.id, &registration, secret.as_ref())
                    .await?;
                if let Some(secret) = secret {
                    say(&format!("secret: {}", secret.expose()));
                }
                say(&format!("client '{}' is changed", known.id));
            }
            Self::Show { id } => {
                let known = find(&context, &id).await?;
                say(toml::to_string(&known.registration)?.trim_end());
            }
            Self::Link { client, holder } => {
                let accounts = context.accounts(&context.vault()?);
                let holder = context.holder(&accounts, &holder).await?;
                let client = find(&context, &client).await?;
                clients.link(&client, &holder).await?;
                say(&format!(
                    "client '{}' sees holder '{}'",
                    client.id, holder.user_name
                ));
            }
        }
        Ok(())
    }
}

async fn find(context: &Context, id: &str) -> Result<std::sync::Arc<Client>> {
    let found = context.clients()?.find(&ClientId::new(id)).await?;
    found.with_context(|| format!("there is no client '{id}'; run `csc-server client add`"))
}
