//! `csc-server audit proof`

use anyhow::{Context as _, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{ArgGroup, Args};

use crate::{
    audit::{self, Event, export::Line, proof},
    commands::{caller::Caller, terminal::say},
    credential::{Credential, history},
    ids::{ActivationId, CredentialId},
};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["activation", "credential"]))]
pub(in crate::commands) struct Proof {
    /// The activation that the signature was made under, as `history` prints it.
    #[arg(long, value_name = "ID", requires = "position")]
    activation: Option<String>,
    /// Which of its hashes, from 0.
    #[arg(long, value_name = "N", requires = "activation")]
    position: Option<u32>,
    /// The credential, with --hash: the first signature over it.
    #[arg(long, value_name = "ID", requires = "hash")]
    credential: Option<String>,
    /// The digest that was signed.
    #[arg(long, value_name = "BASE64", requires = "credential")]
    hash: Option<String>,
}

impl Proof {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.act().await?;
        let store = &context.store;
        let signature = match (&self.activation, &self.credential, &self.hash) {
            (Some(id), ..) => {
                let position = self.position.unwrap_or_default();
                history::at(store, &ActivationId::new(id), position).await?
            }
            (None, Some(id), Some(hash)) => {
                let hash = BASE64_STANDARD
                    .decode(hash)
                    .context("--hash is no base64")?;
                let all = history::of(store, &CredentialId::new(id)).await?;
                all.into_iter().find(|entry| entry.hash == hash)
            }
            _ => None,
        };
        let signature = signature.context("there is no such signature")?;
        if signature.outcome != "signed" {
            bail!(
                "the log does not say that it was signed, but: {}",
                signature.outcome
            );
        }
        let credential = Credential::by_id(store, &signature.credential).await?;
        let credential = credential.context("the credential of the signature is gone")?;
        let read = Event::LogRead {
            credential: credential.id.to_string(),
        };
        audit::note(store, context.clock.now(), &credential.pseudonym, read).await?;

        let person = &credential.pseudonym;
        let row =
            proof::signature(store, person, &signature.activation, signature.position).await?;
        let (chain, sequence) = row.context("the log has no row of this signature")?;
        let proof = proof::of(store, &chain, sequence).await?;
        let proof = proof.context(
            "no checkpoint covers the signature yet; the next one comes within audit.checkpoint_every",
        )?;
        say(&serde_json::to_string(&Line::Proof(proof))?);
        Ok(())
    }
}
