//! Who gave a command, and whether he may.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, bail};
use clap::{ArgMatches, Args, Command};
use serde::Serialize;

use super::{context::Context, session::SessionFile};
use crate::{
    config::Config,
    ids::ApprovalId,
    operator::{Access, Capability, Error, Operator, Operators, Permission, Standing, access},
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
    /// Where `login` keeps your session [default: csc-server.session in $XDG_RUNTIME_DIR, or in your home]
    #[arg(long, value_name = "FILE", env = "CSC_SESSION", global = true)]
    session: Option<PathBuf>,
    /// The request that a second officer approved.
    #[arg(long, value_name = "ID", global = true)]
    approval: Option<String>,
}

/// A command as it was given.
pub(super) struct Caller {
    options: Options,
    line: Line,
}

/// The command and its arguments in one form, however they were typed: what a second officer approves. Secrets are never arguments.
#[derive(Serialize)]
struct Line {
    command: String,
    arguments: BTreeMap<String, Vec<String>>,
}

impl Caller {
    pub(super) fn new(options: Options, definition: &Command, matches: &ArgMatches) -> Self {
        Self {
            options,
            line: canonical(definition, matches),
        }
    }

    /// Opens what the table says is anybody's, or the holder's.
    pub(super) async fn open(&self) -> Result<Context> {
        match self.access()? {
            Access::Anybody | Access::Holder => self.context().await,
            Access::Operator | Access::Capability(_) => {
                bail!("'{}' is an operator's", self.line.command)
            }
        }
    }

    /// Opens what the table says is every operator's, for himself.
    pub(super) async fn open_own(&self) -> Result<(Context, Operator)> {
        let context = self.context().await?;
        let operator = self.operator(&context).await?;
        Ok((context, operator))
    }

    /// Opens what takes a capability: who acts has a session and the role, and where it takes two the other one has approved. Audit rows name
    /// him from here on.
    pub(super) async fn act(&self) -> Result<Context> {
        let (mut context, permission) = self.permit().await?;
        let actor = permission
            .begin(&context.store, context.clock.now())
            .await?;
        context.store = context.store.acting(actor);
        Ok(context)
    }

    /// As [`Caller::act`], for what spends the permission in its own transaction.
    pub(super) async fn permit(&self) -> Result<(Context, Permission)> {
        let Access::Capability(capability) = self.access()? else {
            bail!("'{}' takes no capability", self.line.command);
        };
        let context = self.context().await?;
        let operator = self.operator(&context).await?;
        let operators = context.operators()?;
        // Who sets it right is let in.
        if capability != Capability::ChangePolicy {
            operators.check_policy(&context.config.policy).await?;
        }
        let approval = self.options.approval.as_deref().map(ApprovalId::new);
        // Strings always serialise.
        let line = serde_json::to_string(&self.line).unwrap_or_default();
        let permission = operators
            .permit(&operator, capability, &line, approval.as_ref())
            .await?;
        Ok((context, permission))
    }

    /// What every command opens; who may is not asked here.
    pub(super) async fn context(&self) -> Result<Context> {
        Context::open(&self.options.config).await
    }

    /// The configuration alone, for what does without the database.
    pub(super) fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.options.config)?)
    }

    /// Where this terminal keeps its session.
    pub(super) fn session(&self) -> Result<SessionFile> {
        SessionFile::new(self.options.session.as_deref())
    }

    /// Who acts, by his session.
    async fn operator(&self, context: &Context) -> Result<Operator> {
        match Operators::standing(&context.store).await? {
            Standing::NoAccounts => return Err(Error::NoAccounts.into()),
            Standing::Emptied => {
                context.watch()?.look().await?;
                return Err(Error::Emptied.into());
            }
            Standing::Accounts => {}
        }
        let token = self.session()?.read()?.ok_or(Error::NoSession)?;
        Ok(context.operators()?.resume(&token).await?)
    }

    /// Whose the command is, by the table.
    fn access(&self) -> Result<Access> {
        let Line { command, arguments } = &self.line;
        let options: Vec<_> = arguments.keys().map(String::as_str).collect();
        match access(command, &options) {
            Some(access) => Ok(access),
            None => bail!("the table of capabilities has no row for '{command}': it is nobody's"),
        }
    }
}

fn canonical(definition: &Command, matches: &ArgMatches) -> Line {
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
                arguments.insert(id.to_owned(), values.collect());
            }
        }
    }
    Line {
        command: names.join(" "),
        arguments,
    }
}
