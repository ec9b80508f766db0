//! Who gave a command, and whether he may.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{ArgMatches, Args, Command};
use serde::Serialize;

use super::{context::Context, terminal::secret};
use crate::{
    ids::ApprovalId,
    operator::{Capability, Error, Operator, Operators, Permission, Standing},
};

/// What stands before or after every command.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Configuration file; `deploy/csc-server.toml` is the commented reference.
    #[arg(
        long,
        env = "CSC_CONFIG",
        default_value = "csc-server.toml",
        global = true
    )]
    config: PathBuf,
    /// The operator who acts; his password is asked, or read from the first line of standard input.
    #[arg(long = "as", value_name = "NAME", env = "CSC_OPERATOR", global = true)]
    operator: Option<String>,
    /// The request that a second officer approved.
    #[arg(long, value_name = "ID", global = true)]
    approval: Option<String>,
}

/// A command as it was given.
pub(super) struct Caller {
    options: Options,
    command: String,
}

impl Caller {
    pub(super) fn new(options: Options, definition: &Command, matches: &ArgMatches) -> Self {
        Self {
            options,
            command: canonical(definition, matches),
        }
    }

    /// Opens what takes no operator: what is public, what the machine does, and what a holder does by PIN, PUK and codes.
    pub(super) async fn open(&self) -> Result<Context> {
        Context::open(&self.options.config).await
    }

    /// Opens what takes this capability: who acts has logged in, and where it takes two the other one has approved. Audit rows name him from
    /// here on. Where operators have no accounts, whoever has the terminal acts.
    pub(super) async fn act(&self, capability: Capability) -> Result<Context> {
        let (mut context, permission) = self.permit(capability).await?;
        let actor = permission
            .begin(&context.store, context.clock.now())
            .await?;
        context.store = context.store.acting(actor);
        Ok(context)
    }

    /// As [`Caller::act`], for what spends the permission in its own transaction.
    pub(super) async fn permit(&self, capability: Capability) -> Result<(Context, Permission)> {
        let context = self.open().await?;
        let permission = match Operators::standing(&context.store).await? {
            Standing::NoAccounts => Permission::without_accounts(capability),
            _ => {
                let operator = self.log_in(&context).await?;
                let approval = self.options.approval.as_deref().map(ApprovalId::new);
                let operators = context.operators()?;
                operators
                    .permit(&operator, capability, &self.command, approval.as_ref())
                    .await?
            }
        };
        Ok((context, permission))
    }

    /// Who acts, by his password.
    pub(super) async fn log_in(&self, context: &Context) -> Result<Operator> {
        let operators = context.operators()?;
        match Operators::standing(&context.store).await? {
            Standing::NoAccounts => {
                bail!("no operator has an account; see `csc-server operator add`")
            }
            Standing::Emptied => {
                operators.check().await?;
                return Err(Error::Emptied.into());
            }
            Standing::Accounts(_) => {}
        }
        let name = self.options.operator.as_deref();
        let name = name.context("say who acts: --as NAME, or CSC_OPERATOR in the environment")?;
        let password = secret(&format!("Password of {name}"))?;
        Ok(operators.log_in(name, &password).await?)
    }
}

/// The command and its arguments in one form, however they were typed: what a second officer approves. Secrets are never arguments.
fn canonical(definition: &Command, matches: &ArgMatches) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        command: String,
        arguments: BTreeMap<&'a str, Vec<String>>,
    }
    let (mut definition, mut matches) = (definition, matches);
    let mut names = Vec::new();
    let mut arguments = BTreeMap::new();
    while let Some((name, below)) = matches.subcommand() {
        let Some(defined) = definition.find_subcommand(name) else {
            break;
        };
        (definition, matches) = (defined, below);
        names.push(name);
        for argument in definition.get_arguments() {
            let id = argument.get_id().as_str();
            if let (false, Ok(Some(values))) = (argument.is_global_set(), matches.try_get_raw(id)) {
                let values = values.map(|value| value.to_string_lossy().into_owned());
                arguments.insert(id, values.collect());
            }
        }
    }
    let command = names.join(" ");
    // Strings always serialise.
    serde_json::to_string(&Line { command, arguments }).unwrap_or_default()
}
