//! `csc-server operator …`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    caller::Caller,
    terminal::{new_secret, say},
};
use crate::operator::{Capability, Role, Roles, table};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an operator; his password is asked twice, or read from standard input. The first two are security officers.
    Add(Add),
    /// Give an operator one more role.
    Grant(Change),
    /// Take a role away; without any an operator can do nothing.
    Remove(Change),
    /// Change the password of who acts.
    Password,
    /// Print the accounts, one JSON object a line.
    List,
    /// Print who may do what.
    Roles,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What he is called at the terminal.
    #[arg(long)]
    name: String,
    /// security-officer, ra-officer, auditor or system-operator; may be repeated.
    #[arg(long, required = true)]
    role: Vec<Role>,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// Whose.
    #[arg(long)]
    name: String,
    /// Which.
    #[arg(long)]
    role: Role,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Add(add) => add.run(caller).await,
            Self::Grant(Change { name, role }) => {
                let (context, permission) = caller.permit(Capability::GrantRole).await?;
                context.operators()?.grant(permission, &name, role).await?;
                say(&format!("operator '{name}' is now {}", role.name()));
                Ok(())
            }
            Self::Remove(Change { name, role }) => {
                let (context, permission) = caller.permit(Capability::RemoveRole).await?;
                context.operators()?.remove(permission, &name, role).await?;
                say(&format!("operator '{name}' is no longer {}", role.name()));
                Ok(())
            }
            Self::Password => {
                let context = caller.open().await?;
                let operator = caller.log_in(&context).await?;
                let password = new_secret("New password")?;
                context
                    .operators()?
                    .change_password(operator, &password)
                    .await?;
                say("the password is changed");
                Ok(())
            }
            Self::List => {
                let context = caller.act(Capability::ReadOperators).await?;
                for account in context.operators()?.list().await? {
                    let line = json!({
                        "operator": account.id.as_str(),
                        "name": account.name,
                        "roles": account.roles,
                        "genuine": account.genuine,
                    });
                    say(&line.to_string());
                }
                Ok(())
            }
            Self::Roles => {
                say(table().trim_end());
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self, caller: &Caller) -> Result<()> {
        let roles = Roles::new(self.role)?;
        let (context, permission) = caller.permit(Capability::CreateOperator).await?;
        let password = new_secret(&format!("Password of {}", self.name))?;
        let operators = context.operators()?;
        let id = operators
            .add(permission, &self.name, roles, &password)
            .await?;
        say(&format!("operator: {id}"));
        Ok(())
    }
}
