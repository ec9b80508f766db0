//! `csc-server login`, `csc-server logout`, and the file between them.

use std::{
    ffi::OsStr,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::process::geteuid;

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
        let sudo = std::env::var_os("SUDO_UID").filter(|_| !geteuid().is_root());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::place(named, sudo.as_deref(), runtime, std::env::home_dir()).map(Self)
    }

    /// Under sudo to the service's user each caller has his own, and can name no other: that user reads them all.
    fn place(
        named: Option<&Path>,
        sudo: Option<&OsStr>,
        runtime: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Result<PathBuf> {
        if let Some(caller) = sudo {
            ensure!(named.is_none(), "under sudo nobody chooses his session");
            let home = home.context("the service's user has no home to keep the session in")?;
            return Ok(home.join(format!(".{NAME}.{}", caller.display())));
        }
        named
            .map(Path::to_owned)
            .or_else(|| Some(runtime?.join(NAME)))
            .or_else(|| Some(home?.join(format!(".{NAME}"))))
            .context(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_sudo_nobody_reaches_the_session_of_another() {
        let home = || Some(PathBuf::from("/var/lib/csc-server"));
        let of = |sudo: &str, named| SessionFile::place(named, Some(sudo.as_ref()), None, home());
        assert_ne!(of("1000", None).unwrap(), of("1001", None).unwrap());
        let other = of("1001", None).unwrap();
        assert!(of("1000", Some(&other)).is_err());
        let own = SessionFile::place(Some(&other), None, None, home());
        assert_eq!(own.unwrap(), other);
    }
}
