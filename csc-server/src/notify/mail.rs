//! How mail leaves: through a mail server, or into a folder.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use url::Url;

use super::{Error, Outgoing, outbox};
use crate::clock::Clock;
use crate::config::{self, Transport, secret};

/// How long one command of the mail server may take, and one mail as a whole.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// Sends mails; clones share their connections.
#[derive(Clone)]
pub struct Mailer {
    from: Mailbox,
    clock: Clock,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Outbox(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Mailer {
    /// The way out that the configuration names. Makes the outbox folder if it is missing; connects to no server yet.
    ///
    /// # Errors
    /// [`Error::Secret`] when the password file cannot be used, [`Error::Outbox`] when the folder cannot be made.
    pub fn from_config(mail: &config::Mail, clock: Clock) -> Result<Self, Error> {
        let way = match &mail.transport {
            Transport::Outbox(folder) => {
                std::fs::create_dir_all(folder)?;
                Way::Outbox(folder.clone())
            }
            Transport::Smtp { url, login } => Way::Smtp(server(url, login.as_ref())?),
        };
        Ok(Self {
            from: mail.from.clone(),
            clock,
            way,
        })
    }

    /// Sends a mail. `id` names it in `Message-ID`, so that one sent twice is one to the recipient's mail program, and
    /// in the outbox: letters, digits and hyphens.
    ///
    /// # Errors
    /// [`Error`]: the mail has not left, or it is not known whether it has.
    pub async fn send(&self, mail: &Outgoing, id: &str) -> Result<(), Error> {
        let message = self.compose(mail, id)?;
        match &self.way {
            Way::Outbox(folder) => {
                let name = format!("{:013}-{id}.eml", self.clock.now());
                outbox::put(folder, &name, &message.formatted())
                    .await
                    .map_err(Error::Outbox)
            }
            Way::Smtp(server) => match tokio::time::timeout(SEND_LIMIT, server.send(message)).await
            {
                Ok(Ok(_)) => Ok(()),
                // The answer's text may repeat the address: the code says enough.
                Ok(Err(error)) => Err(Error::Server(
                    error
                        .status()
                        .map_or_else(|| error.to_string(), |code| format!("it answered {code}")),
                )),
                Err(_) => Err(Error::TimedOut),
            },
        }
    }

    fn compose(&self, mail: &Outgoing, id: &str) -> Result<lettre::Message, Error> {
        let to: Address = mail.to.parse().map_err(|_| Error::Address)?;
        let compose = |error: String| Error::Compose(error);
        let encoding = ContentTransferEncoding::QuotedPrintable;
        let body = Body::new_with_encoding(mail.body.as_str().to_owned(), encoding)
            .map_err(|_| compose("the text has no quoted-printable form".to_owned()))?;
        let sent = Duration::from_millis(u64::try_from(self.clock.now()).unwrap_or_default());
        // RFC 3834: nobody's holiday notice shall answer a code.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        lettre::Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(&mail.subject)
            .date(std::time::UNIX_EPOCH + sent)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|error| compose(error.to_string()))
    }
}

/// A pool of connections. `smtps` is TLS from the first octet; `smtp` with a log-in, or to another machine, demands STARTTLS, so that neither
/// password nor code travels in clear (SC-68); to a relay on this machine it takes STARTTLS where it is offered.
fn server(
    url: &Url,
    login: Option<&(String, PathBuf)>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let trust =
        TlsParameters::new(host.to_owned()).map_err(|error| Error::Server(error.to_string()))?;
    let (tls, port) = match (url.scheme(), login) {
        ("smtps", _) => (Tls::Wrapper(trust), 465),
        (_, Some(_)) => (Tls::Required(trust), 587),
        (_, None) if config::is_here(host) => (Tls::Opportunistic(trust), 25),
        (_, None) => (Tls::Required(trust), 25),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(COMMAND_LIMIT));
    if let Some((user, file)) = login {
        builder = builder.credentials(Credentials::new(
            user.clone(),
            secret::read(file)?.as_str().to_owned(),
        ));
    }
    Ok(builder.build())
}
