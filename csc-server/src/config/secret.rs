//! Secrets stand in files that nobody else can read (OWASP ASVS 13.3: never in the environment or in arguments).

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::ConfigError;

/// Reads a secret of one line; the line's end is not part of it.
///
/// # Errors
/// [`ConfigError::File`] when the file cannot be read, is empty, or is readable by group or others.
pub fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let refuse = |problem: String| ConfigError::File {
        path: path.to_owned(),
        problem,
    };
    // The permissions of the very file that is read, not of whatever has this name a moment earlier.
    let mut file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if let Some((found, remedy)) = exposed(path, &metadata) {
        return Err(refuse(format!("{found}; {remedy}")));
    }
    // Enough room from the start: a string that grows leaves copies behind.
    let size = usize::try_from(metadata.len()).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(size.saturating_add(1)));
    file.read_to_string(&mut text)
        .map_err(|error| refuse(error.to_string()))?;
    let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() {
        return Err(refuse(
            "found an empty file; write the secret into it".to_owned(),
        ));
    }
    Ok(secret)
}

/// Checks that the file is there and is nobody else's to read.
pub(super) fn check(key: &str, path: &Path) -> Result<(), ConfigError> {
    super::value::readable(key, path)?;
    let metadata = path
        .metadata()
        .map_err(|error| ConfigError::key(key, error.to_string(), "name another file"))?;
    match exposed(path, &metadata) {
        Some((found, remedy)) => Err(ConfigError::key(key, found, remedy)),
        None => Ok(()),
    }
}

fn exposed(path: &Path, metadata: &Metadata) -> Option<(String, String)> {
    let mode = metadata.permissions().mode() & 0o7777;
    let path = path.display();
    (mode & 0o077 != 0).then(|| {
        (
            format!("found mode {mode:04o} on '{path}'"),
            format!("run: chmod 600 {path}"),
        )
    })
}
