//! The directory that holds one pair of tokens: softhsm2.conf, tokens/, pins/.

use std::{
    env, fs,
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The environment variable in which SoftHSM looks for its configuration file.
pub(crate) const CONF_VARIABLE: &str = "SOFTHSM2_CONF";

/// A directory only its owner may enter.
pub(crate) struct Home(PathBuf);

impl Home {
    /// Makes the directory where it is missing; the path becomes absolute.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let private_dir = |path: &Path| {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("cannot make {}", path.display()))
        };
        private_dir(dir)?;
        let dir = dir
            .canonicalize()
            .with_context(|| format!("cannot enter {}", dir.display()))?;
        let home = Self(dir);
        if home
            .0
            .to_str()
            .is_none_or(|path| path.contains(char::is_control))
        {
            bail!(
                "{} cannot stand in a configuration file: its name is not plain UTF-8",
                home.0.display()
            );
        }
        private_dir(&home.tokens())?;
        private_dir(&home.pins())?;
        Ok(home)
    }

    /// Holds other runs on the same directory back until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// SoftHSM's configuration file.
    pub(crate) fn conf(&self) -> PathBuf {
        self.0.join("softhsm2.conf")
    }

    /// Where SoftHSM keeps the tokens.
    fn tokens(&self) -> PathBuf {
        self.0.join("tokens")
    }

    fn pins(&self) -> PathBuf {
        self.0.join("pins")
    }

    /// The file with the PIN the service logs in with.
    pub(crate) fn user_pin(&self, label: &str) -> PathBuf {
        self.pins().join(format!("{label}.pin"))
    }

    /// The file with the security officer's PIN, which the service never needs.
    pub(crate) fn so_pin(&self, label: &str) -> PathBuf {
        self.pins().join(format!("{label}.so-pin"))
    }

    /// Writes softhsm2.conf, unless it is there: what an operator changed in it stays.
    pub(crate) fn write_conf(&self) -> Result<()> {
        let conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            self.tokens().display()
        );
        write_new(&self.conf(), conf.as_bytes())?;
        Ok(())
    }
}

/// Writes a file only its owner may read; gives false, and changes nothing, where the file exists.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    // Under its own name only when complete and on disk: a PIN must never be lost half-written.
    let draft = path.with_added_extension("new");
    let write = || {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// `csc-server/softhsm` in the user's data directory, as the XDG base directory specification finds it.
pub(crate) fn default_dir() -> Result<PathBuf> {
    // XDG Base Directory: a relative path in the variable is ignored.
    let data = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let data = match data {
        Some(data) => data,
        None => env::home_dir()
            .context("no home directory to put the tokens in: give --dir DIR")?
            .join(".local/share"),
    };
    Ok(data.join("csc-server/softhsm"))
}
