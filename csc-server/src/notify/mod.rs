//! Messages to people: what they say ([`Message`], in Italian and English) and how they leave ([`Sender`]).

mod approval;
pub mod callback;
mod mail;
mod outbox;
mod sms;
mod texts;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use approval::{Approval, Document};
pub use mail::Mailer;
pub use sms::{PhoneNumber, Texter};
pub use texts::{Message, Rendered};
pub(crate) use texts::{count, shortened};

use crate::{
    clock::Clock,
    config::{Mail, Sms},
};

/// A message ready to leave, on its way through the queue of jobs. `Debug` shows neither whom it is for nor its text.
pub struct Outgoing {
    channel: Channel,
    to: String,
    subject: String,
    body: Zeroizing<String>,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Channel {
    Mail,
    Sms,
}

/// Sends messages of either kind; clones share their connections.
#[derive(Clone)]
pub struct Sender {
    mailer: Mailer,
    texter: Option<Texter>,
}

/// Why a message did not leave. Says neither whom it was for nor what it said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipient's address is not one: trying again does not help.
    #[error("the recipient's address cannot be used")]
    Address,
    /// There is no `[sms]` in the configuration.
    #[error("the configuration has no [sms]")]
    NoGateway,
    /// The SMS gateway.
    #[error("SMS gateway: {0}")]
    Gateway(String),
    /// The mail cannot be put into the form of RFC 5322.
    #[error("the mail cannot be composed: {0}")]
    Compose(String),
    /// The file with the secret of the account at the mail server or gateway.
    #[error(transparent)]
    Secret(#[from] crate::config::ConfigError),
    /// The mail server.
    #[error("mail server: {0}")]
    Server(String),
    /// The outbox folder.
    #[error("outbox: {0}")]
    Outbox(#[from] std::io::Error),
    /// The time limit.
    #[error("the server did not answer in time")]
    TimedOut,
}

impl Outgoing {
    /// A mail to this address.
    pub fn mail(to: &str, message: &Rendered) -> Self {
        Self {
            channel: Channel::Mail,
            to: to.to_owned(),
            subject: message.subject.clone(),
            body: message.body.clone(),
        }
    }

    /// A text message to this number.
    pub fn sms(to: &str, text: Zeroizing<String>) -> Self {
        Self {
            channel: Channel::Sms,
            to: to.to_owned(),
            subject: String::new(),
            body: text,
        }
    }

    /// The message as octets, to be sealed before it is stored.
    pub fn to_octets(&self) -> Zeroizing<Vec<u8>> {
        let parts = (self.channel, &self.to, &self.subject, self.body.as_str());
        // Room for the text with every character escaped: octets that move leave copies behind.
        let length = self.to.len() + self.subject.len() + self.body.len();
        let mut octets = Zeroizing::new(Vec::with_capacity(32 + 6 * length));
        // A name and three strings always have a JSON form, and a vector takes every octet.
        let written = serde_json::to_writer(&mut *octets, &parts);
        debug_assert!(written.is_ok());
        octets
    }

    /// The inverse; `None` when these are not the octets of a message.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (channel, to, subject, body) =
            serde_json::from_slice::<(_, _, _, String)>(octets).ok()?;
        Some(Self {
            channel,
            to,
            subject,
            body: Zeroizing::new(body),
        })
    }
}

impl Sender {
    /// The ways out that the configuration names; connects to nobody yet.
    ///
    /// # Errors
    /// As [`Mailer::from_config`] and [`Texter::from_config`].
    pub fn from_config(mail: &Mail, sms: Option<&Sms>, clock: Clock) -> Result<Self, Error> {
        Ok(Self {
            mailer: Mailer::from_config(mail, clock.clone())?,
            texter: sms.map(|sms| Texter::from_config(sms, clock)).transpose()?,
        })
    }

    /// Sends a message; `id` names it: letters, digits and hyphens.
    ///
    /// # Errors
    /// [`Error`]: the message has not left, or it is not known whether it has.
    pub async fn send(&self, message: &Outgoing, id: &str) -> Result<(), Error> {
        match (message.channel, &self.texter) {
            (Channel::Mail, _) => self.mailer.send(message, id).await,
            (Channel::Sms, Some(texter)) => texter.send(message, id).await,
            (Channel::Sms, None) => Err(Error::NoGateway),
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
