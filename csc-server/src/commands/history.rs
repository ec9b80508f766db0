//! `csc-server history`

use anyhow::{Context as _, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::json;

use super::{caller::Caller, context::Context, terminal::say};
use crate::{
    audit::{self, Event},
    credential::{Credential, history},
    ids::CredentialId,
};

#[derive(Debug, Args)]
pub(super) struct History {
    /// Identifier of the credential.
    #[arg(long)]
    credential: String,
}

impl History {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let Context { store, clock, .. } = caller.act().await?;
        let id = CredentialId::new(self.credential);
        let credential = Credential::by_id(&store, &id)
            .await?
            .with_context(|| format!("there is no credential '{id}'"))?;
        let read = Event::LogRead {
            credential: id.to_string(),
        };
        audit::note(&store, clock.now(), &credential.pseudonym, read).await?;
        for entry in history::of(&store, &id).await? {
            let line = json!({
                "activation": entry.activation,
                "position": entry.position,
                "client": entry.client,
                "hash": BASE64_STANDARD.encode(&entry.hash),
                "outcome": entry.outcome,
                "time": entry.started,
            });
            say(&line.to_string());
        }
        Ok(())
    }
}
