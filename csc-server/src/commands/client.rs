//! `csc-server client …`

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::{context::Context, terminal::say};
use crate::ids::ClientId;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a signing application; its secret is shown once.
    Add {
        /// `client_id`.
        #[arg(long)]
        id: String,
        /// What holders see it called.
        #[arg(long)]
        name: String,
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

impl Command {
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        let context = Context::open(config).await?;
        let clients = context.clients();
        match self {
            Self::Add { id, name } => {
                let secret = context.vault(context.stretcher())?.secret().await?;
                clients.add(&id, &name, &secret).await?;
                say(&format!("secret: {}", secret.expose()));
            }
            Self::Link { client, holder } => {
                let stretcher = context.stretcher();
                let accounts = context.accounts(&context.vault(stretcher.clone())?, &stretcher);
                let holder = context.holder(&accounts, &holder).await?;
                let found = clients.find(&ClientId::new(client.as_str())).await?;
                let client = found.with_context(|| {
                    format!("there is no client '{client}'; run `csc-server client add`")
                })?;
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
