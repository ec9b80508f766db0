//! `csc-server policy …`

use anyhow::{Result, ensure};
use clap::Subcommand;

use super::{caller::Caller, terminal::say};
use crate::operator::policy_hash;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the policy of the configuration as it stands, and the hash that names it.
    Show,
    /// Make the policy of the configuration the approved one.
    Set {
        /// What `policy show` prints: what the second officer approves is this policy and no other.
        hash: String,
    },
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Show => {
                let config = caller.open().await?.config;
                say(&config.policy);
                say(&format!("hash: {}", policy_hash(&config.policy)));
            }
            Self::Set { hash } => {
                // Before anybody is asked to approve it.
                let configured = policy_hash(&caller.context().await?.config.policy);
                ensure!(
                    hash == configured,
                    "the policy of the configuration has the hash {configured}; see `csc-server policy show`"
                );
                let (context, permission) = caller.permit().await?;
                let policy = &context.config.policy;
                context.operators()?.set_policy(permission, policy).await?;
                say("the policy is in force; services that run take it up at their next start");
            }
        }
        Ok(())
    }
}
