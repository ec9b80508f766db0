//! Messages to people: what they say ([`Message`], in Italian and English) and how they leave ([`Mailer`]).

mod mail;
mod texts;

use zeroize::Zeroizing;

pub use mail::Mailer;
pub use texts::{Message, Rendered};

/// A mail ready to leave, on its way through the queue of jobs. `Debug` shows neither whom it is for nor its text.
pub struct Outgoing {
    to: String,
    subject: String,
    body: Zeroizing<String>,
}

/// Why a mail did not leave. Says neither whom it was for nor what it said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipient's address is not one: trying again does not help.
    #[error("the recipient's address cannot be used")]
    Address,
    /// The mail cannot be put into the form of RFC 5322.
    #[error("the mail cannot be composed: {0}")]
    Compose(String),
    /// The password of the mail server's account.
    #[error(transparent)]
    Secret(#[from] crate::config::ConfigError),
    /// The mail server.
    #[error("mail server: {0}")]
    Server(String),
    /// The outbox folder.
    #[error("outbox: {0}")]
    Outbox(#[from] std::io::Error),
    /// The time limit.
    #[error("the mail server did not answer in time")]
    TimedOut,
}

impl Outgoing {
    /// A rendered message for this address.
    pub fn new(to: &str, message: &Rendered) -> Self {
        Self {
            to: to.to_owned(),
            subject: message.subject.clone(),
            body: message.body.clone(),
        }
    }

    /// The mail as octets, to be sealed before it is stored.
    pub fn to_octets(&self) -> Zeroizing<Vec<u8>> {
        let parts = [self.to.as_str(), &self.subject, &self.body];
        // Room for the text with every character escaped: octets that move leave copies behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(
            32 + 6 * parts.map(str::len).iter().sum::<usize>(),
        ));
        // Three strings always have a JSON form, and a vector takes every octet.
        let written = serde_json::to_writer(&mut *octets, &parts);
        debug_assert!(written.is_ok());
        octets
    }

    /// The inverse; `None` when these are not the octets of a mail.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (to, subject, body): (String, String, String) = serde_json::from_slice(octets).ok()?;
        Some(Self {
            to,
            subject,
            body: Zeroizing::new(body),
        })
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
