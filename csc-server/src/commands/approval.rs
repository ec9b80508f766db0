//! `csc-server approval …`

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    caller::Caller,
    terminal::{say, secret},
};
use crate::ids::ApprovalId;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the requests that you may approve or use, one JSON object a line.
    List,
    /// Approve the request of another officer; your password is asked once more.
    Approve(Which),
    /// Refuse a request, or take back your own.
    Refuse(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Identifier of the request.
    id: String,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let (context, operator) = caller.open_own().await?;
        let operators = context.operators()?;
        match self {
            Self::List => {
                for request in operators.requests(&operator).await? {
                    say(&serde_json::to_string(&request)?);
                }
            }
            Self::Approve(Which { id }) => {
                let password = secret(&format!("Password of {}", operator.name))?;
                operators
                    .approve(&operator, &password, &ApprovalId::new(id.as_str()))
                    .await?;
                say(&format!("request {id} is approved"));
            }
            Self::Refuse(Which { id }) => {
                operators
                    .refuse(&operator, &ApprovalId::new(id.as_str()))
                    .await?;
                say(&format!("request {id} is refused"));
            }
        }
        Ok(())
    }
}
