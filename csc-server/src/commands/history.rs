//! `csc-server history`

use anyhow::{Context as _, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::json;

use super::{caller::Caller, terminal::say};
use crate::{
    credential::{Credential, history},
    ids::CredentialId,
    operator::Capability,
};

#[derive(Debug, Args)]
pub(super) struct History {
    /// Identifier of the credential.
    #[arg(long)]
    credential: String,
}

impl History {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let store = caller.act(Capability::ReadHistory).await?.store;
        let id = CredentialId::new(self.credential);
        Credential::by_id(&store, &id)
            .await?
            .with_context(|| format!("there is no credential '{id}'"))?;
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
