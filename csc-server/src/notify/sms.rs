//! How text messages leave: through a gateway's HTTP interface, or into a folder.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, header::AUTHORIZATION};
use reqwest::{Client, redirect};
use zeroize::Zeroizing;

use super::{Error, Outgoing, outbox};
use crate::{
    clock::Clock,
    config::{self, Gateway, Sms, SmsLogin, secret},
};

/// A telephone number in international form (ITU-T E.164): `+` and 7 to 15 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneNumber(String);

/// Sends text messages; clones share their connections.
#[derive(Clone)]
pub struct Texter {
    clock: Clock,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Outbox(PathBuf),
    Gateway(Client, Arc<Gateway>),
}

impl Texter {
    /// The way out that the configuration names. Makes the outbox folder if it is missing; connects to no gateway yet.
    ///
    /// # Errors
    /// [`Error::Secret`] when the file of the log-in cannot be used, [`Error::Outbox`] when the folder cannot be made.
    pub fn from_config(sms: &Sms, clock: Clock) -> Result<Self, Error> {
        let way = match sms {
            Sms::Outbox(folder) => {
                std::fs::create_dir_all(folder)?;
                Way::Outbox(folder.clone())
            }
            Sms::Gateway(gateway) => Way::Gateway(client(gateway)?, Arc::new((**gateway).clone())),
        };
        Ok(Self { clock, way })
    }

    /// Sends a text message; `id` names it in the outbox: letters, digits and hyphens.
    ///
    /// # Errors
    /// [`Error`]: the message has not left, or it is not known whether it has.
    pub async fn send(&self, message: &Outgoing, id: &str) -> Result<(), Error> {
        match &self.way {
            Way::Outbox(folder) => {
                let name = format!("{:013}-{id}.sms", self.clock.now());
                let text = format!("To: {}\n\n{}\n", message.to, message.body.as_str());
                let text = Zeroizing::new(text);
                outbox::put(folder, &name, text.as_bytes())
                    .await
                    .map_err(Error::Outbox)
            }
            Way::Gateway(client, gateway) => deliver(client, gateway, message).await,
        }
    }
}

/// Neither a redirect nor a proxy of the environment is followed: number and code go to the gateway that was named.
fn client(gateway: &Gateway) -> Result<Client, Error> {
    let mut headers = gateway.headers.clone();
    if let Some(login) = authorization(&gateway.login)? {
        headers.insert(AUTHORIZATION, login);
    }
    Client::builder()
        .default_headers(headers)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(gateway.timeout)
        .build()
        .map_err(|error| Error::Gateway(error.to_string()))
}

fn authorization(login: &SmsLogin) -> Result<Option<HeaderValue>, Error> {
    let value = match login {
        SmsLogin::None => return Ok(None),
        SmsLogin::Basic(user, file) => {
            let pair = Zeroizing::new(format!("{user}:{}", secret::read(file)?.as_str()));
            Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))
        }
        SmsLogin::Bearer(file) => {
            Zeroizing::new(format!("Bearer {}", secret::read(file)?.as_str()))
        }
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Error::Gateway("the secret of the log-in fits no HTTP header".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn deliver(client: &Client, gateway: &Gateway, message: &Outgoing) -> Result<(), Error> {
    let body: &config::Body = &gateway.body;
    let request = client
        .request(gateway.method.clone(), gateway.url.clone())
        .body(body.fill(&message.to, &message.body).to_string());
    let answer = request.send().await.map_err(|error| {
        if error.is_timeout() {
            Error::TimedOut
        } else {
            Error::Gateway(error.without_url().to_string())
        }
    })?;
    // The answer's text may repeat number and code: the status says enough.
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(Error::Gateway(format!("it answered {}", answer.status())))
    }
}

impl FromStr for PhoneNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let compact: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let digits = compact.strip_prefix('+').unwrap_or_default();
        let international = (7..=15).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && !digits.starts_with('0');
        if international {
            Ok(Self(compact))
        } else {
            Err("write the number in international form, such as +393331234567".to_owned())
        }
    }
}

impl PhoneNumber {
    /// The number, without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
