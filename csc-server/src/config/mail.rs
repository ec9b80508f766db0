//! `[mail]`: how mail leaves.

use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::value;

/// The sender and the way out.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender: `name@host` or `Name <name@host>`.
    pub from: Mailbox,
    /// Where messages go.
    pub transport: Transport,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A folder: one `.eml` file a message, for demonstrations and tests.
    Outbox(PathBuf),
    /// A mail server.
    Smtp {
        /// `smtp://host:port`, or `smtps://host:port` with TLS from the first octet.
        url: Url,
        /// The name to log in with and the file with its password. With `smtp://` STARTTLS is then demanded.
        login: Option<(String, PathBuf)>,
    },
}

impl Mail {
    pub(super) fn password_file(&self) -> Option<&Path> {
        match &self.transport {
            Transport::Smtp {
                login: Some((_, file)),
                ..
            } => Some(file),
            _ => None,
        }
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        match &mut self.transport {
            Transport::Outbox(folder) => Some(folder),
            Transport::Smtp { login, .. } => login.as_mut().map(|(_, file)| file),
        }
        .into_iter()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(deserialize_with = "mailbox")]
    from: Mailbox,
    outbox: Option<PathBuf>,
    #[serde(default, deserialize_with = "server")]
    smtp: Option<Url>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Mail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let section = Section::deserialize(deserializer)?;
        let login = match (section.user, section.password_file) {
            (Some(user), Some(file)) => Some((user, file)),
            (Some(_), None) => {
                return Err(value::refuse(
                    "found user without password_file",
                    "add mail.password_file",
                ));
            }
            (None, Some(_)) => {
                return Err(value::refuse(
                    "found password_file without user",
                    "add mail.user",
                ));
            }
            (None, None) => None,
        };
        let transport = match (section.outbox, section.smtp) {
            (Some(_), Some(_)) => {
                return Err(value::refuse(
                    "found both outbox and smtp",
                    "keep mail.outbox or mail.smtp",
                ));
            }
            (None, None) => {
                return Err(value::refuse(
                    "found neither outbox nor smtp",
                    "add mail.outbox or mail.smtp",
                ));
            }
            (Some(_), None) if login.is_some() => {
                return Err(value::refuse(
                    "found user beside outbox",
                    "remove mail.user and mail.password_file",
                ));
            }
            (Some(folder), None) => Transport::Outbox(folder),
            (None, Some(url)) => Transport::Smtp { url, login },
        };
        Ok(Self {
            from: section.from,
            transport,
        })
    }
}

fn mailbox<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
    value::parse(
        deserializer,
        "write a mail address, such as \"Signing <sign@sign.example>\"",
    )
}

fn server<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let url = value::url(deserializer)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value::refuse(
            "found a log-in in the URL",
            "move it to mail.user and mail.password_file",
        ));
    }
    if !matches!(url.scheme(), "smtp" | "smtps") || url.host_str().is_none_or(str::is_empty) {
        return Err(value::refuse(
            format!("found '{url}'"),
            "write smtp://host:port or smtps://host:port",
        ));
    }
    Ok(Some(url))
}
