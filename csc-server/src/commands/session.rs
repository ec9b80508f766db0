//! `csc-server login`, `csc-server logout`, and the file between them.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    caller::Caller,
    terminal::{code, say, secret},
};
use crate::{
    config::secret,
    operator::{Error, Token},
};

/// A name for the file when nobody gives one.
const NAME: &str = "csc-server.session";

#[derive(Debug, Args)]
pub(super) struct Login {
    /// Who you are; password and code are asked, or read from standard input.
    name: String,
}

impl Login {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.open().await?;
        let file = caller.session()?;
        let password = secret(&format!("Password of {}", self.name))?;
        let code = code("Code")?;
        let (operator, token) = context
            .operators()?
            .log_in(&self.name, &password, &code)
            .await?;
        file.write(&token)?;
        say(&format!(
            "you are {} ({}); the session ends after 15 minutes without a command, or with `csc-server logout`",
            operator.name, operator.roles
        ));
        Ok(())
    }
}

/// Ends the session of this terminal.
pub(super) async fn log_out(caller: &Caller) -> Result<()> {
    let (context, operator) = caller.open_own().await?;
    let file = caller.session()?;
    let token = file.read()?.ok_or(Error::NoSession)?;
    context.operators()?.log_out(&operator, &token).await?;
    file.remove()?;
    say("logged out");
    Ok(())
}

/// The file with the session of this terminal; nobody else may read it.
pub(super) struct SessionFile(PathBuf);

impl SessionFile {
    pub(super) fn new(named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            return Ok(Self(path.to_owned()));
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let path = runtime.map(|folder| folder.join(NAME)).or_else(|| {
            let home = std::env::home_dir()?;
            Some(home.join(format!(".{NAME}")))
        });
        path.map(Self).context(
            "say where to keep the session: --session FILE, or CSC_SESSION in the environment",
        )
    }

    /// `None` when there is none.
    pub(super) fn read(&self) -> Result<Option<Token>> {
        if !self.0.try_exists()? {
            return Ok(None);
        }
        Ok(Some(Token::new(&secret::read(&self.0)?)))
    }

    fn write(&self, token: &Token) -> Result<()> {
        // A new file, so that its mode is ours.
        self.remove()?;
        let mut options = fs::OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.0);
        let mut file =
            file.with_context(|| format!("the session cannot be kept in {}", self.0.display()))?;
        Ok(writeln!(file, "{}", token.expose())?)
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
