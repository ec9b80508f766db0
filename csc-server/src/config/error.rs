//! What is wrong with a configuration.

use std::path::PathBuf;

/// A configuration that is refused. Carries no secret: URLs that hold a password are not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or is not TOML.
    #[error("{}: {problem}", .path.display())]
    File {
        /// The configuration file, or a file that it names.
        path: PathBuf,
        /// What went wrong and the remedy.
        problem: String,
    },
    /// A key is missing, unknown, or has a value that cannot be used.
    #[error("{key}: {found}; {remedy}")]
    Key {
        /// The full path of the key: `slot[1].pin_file`.
        key: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
}

impl ConfigError {
    pub(super) fn key(
        key: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Key {
            key: key.into(),
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    /// A value that serde refused, in the same words as every other refusal.
    pub(super) fn shape(error: serde_path_to_error::Error<config::ConfigError>) -> Self {
        let path = error.path().to_string();
        match innermost(error.into_inner()) {
            config::ConfigError::NotFound(field) => {
                let field = field.rsplit(['.', ']']).next().unwrap_or(&field);
                let key = if path == "." {
                    field.to_owned()
                } else {
                    format!("{path}.{field}")
                };
                Self::key(key, "found nothing", "add it to the file")
            }
            config::ConfigError::Type {
                unexpected,
                expected,
                ..
            } => Self::key(
                path,
                format!("found {unexpected}"),
                format!("write {expected}"),
            ),
            config::ConfigError::Message(text) => match text.split_once(super::value::SEPARATOR) {
                Some((found, remedy)) => Self::key(path, found, remedy),
                None => match text.split_once(", expected ") {
                    Some((found, known)) => {
                        Self::key(path, format!("found an {found}"), format!("use {known}"))
                    }
                    None => Self::key(path, text, "compare with the example configuration"),
                },
            },
            other => Self::key(
                path,
                other.to_string(),
                "compare with the example configuration",
            ),
        }
    }
}

fn innermost(error: config::ConfigError) -> config::ConfigError {
    match error {
        config::ConfigError::At { error, .. } => innermost(*error),
        other => other,
    }
}
