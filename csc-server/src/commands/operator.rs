//! `csc-server operator …`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    caller::Caller,
    terminal::{new_secret, say, say_otpauth, secret},
};
use crate::operator::{NewOperator, Role, Roles, table};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an operator; his first password is asked twice, or read from standard input. He enrols with it.
    Add(Add),
    /// Enrol: asks your first password and a password of your own, and shows what your authenticator app scans. Then log in.
    Enrol {
        /// Who you are.
        name: String,
    },
    /// Give an operator who lost password or app a first password; he enrols again.
    Reset {
        /// Whom.
        #[arg(long)]
        name: String,
    },
    /// Give an operator one more role.
    Grant(Change),
    /// Take a role away; without any an operator can do nothing.
    Remove(Change),
    /// Change your password: asks the old and the new one. Your sessions end.
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
            Self::Enrol { name } => enrol(caller, &name).await,
            Self::Reset { name } => {
                let (context, permission) = caller.permit().await?;
                let password = new_secret(&format!("First password of {name}"))?;
                context
                    .operators()?
                    .reset(permission, &name, &password)
                    .await?;
                say(&format!("operator '{name}' is new; {}", enrols(&name)));
                Ok(())
            }
            Self::Grant(Change { name, role }) => {
                let (context, permission) = caller.permit().await?;
                context.operators()?.grant(permission, &name, role).await?;
                say(&format!("operator '{name}' is now {}", role.name()));
                Ok(())
            }
            Self::Remove(Change { name, role }) => {
                let (context, permission) = caller.permit().await?;
                context.operators()?.remove(permission, &name, role).await?;
                say(&format!("operator '{name}' is no longer {}", role.name()));
                Ok(())
            }
            Self::Password => {
                let (context, operator) = caller.open_own().await?;
                let old = secret("Password")?;
                let new = new_secret("New password")?;
                context
                    .operators()?
                    .change_password(&operator, &old, &new)
                    .await?;
                say("the password is changed; log in with it");
                Ok(())
            }
            Self::List => {
                let context = caller.act().await?;
                for account in context.operators()?.list().await? {
                    let line = json!({
                        "operator": account.id.as_str(),
                        "name": account.name,
                        "roles": account.roles,
                        "state": account.state,
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
        let (context, permission) = caller.permit().await?;
        let new = NewOperator {
            name: &self.name,
            roles,
            password: &new_secret(&format!("First password of {}", self.name))?,
        };
        let id = context.operators()?.add(permission, &new).await?;
        say(&format!("operator: {id}"));
        say(&enrols(&self.name));
        Ok(())
    }
}

async fn enrol(caller: &Caller, name: &str) -> Result<()> {
    let context = caller.open().await?;
    let first = secret(&format!("First password of {name}"))?;
    let password = new_secret("Password of your own")?;
    let uri = context.operators()?.enrol(name, &first, &password).await?;
    say_otpauth(&uri)?;
    say(&format!("next: csc-server login {name}"));
    Ok(())
}

/// What a new operator does first.
pub(super) fn enrols(name: &str) -> String {
    format!("next, he himself: csc-server operator enrol {name}")
}
