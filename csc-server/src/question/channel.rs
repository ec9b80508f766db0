//! How a holder learns that a question waits for him.

use crate::{
    credential::Order,
    holder::Holder,
    notify::{Message, Outgoing},
};

/// What a channel may tell of a question.
pub struct Waiting<'a> {
    /// The path of its page, below the service's address.
    pub path: &'a str,
    /// The application that asks.
    pub client: &'a str,
    /// What the holder calls the certificate.
    pub credential: &'a str,
    /// What is to be signed.
    pub order: &'a Order,
    /// How long it waits, in minutes.
    pub minutes: u64,
}

/// A way to holders.
pub trait Channel: Send + Sync {
    /// The message that leads this holder to the page of his question.
    fn message(&self, holder: &Holder, waiting: &Waiting<'_>) -> Outgoing;
}

/// A mail with a link. The link only shows the question: PIN and code answer it.
pub struct Mail {
    /// Where people reach the service, without a slash at the end.
    pub public_url: String,
}

impl Channel for Mail {
    fn message(&self, holder: &Holder, waiting: &Waiting<'_>) -> Outgoing {
        let message = Message::Question {
            credential: waiting.credential.to_owned(),
            client: waiting.client.to_owned(),
            count: waiting.order.count(),
            verification: waiting.order.verification_code(),
            link: format!("{}{}", self.public_url, waiting.path),
            minutes: waiting.minutes,
        };
        Outgoing::mail(&holder.email, &message.render(&holder.language))
    }
}
