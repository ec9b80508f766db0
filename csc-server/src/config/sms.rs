//! `[sms]`: how text messages leave. Without it no factor gets codes by SMS.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde::{Deserialize, Deserializer};
use url::Url;
use zeroize::Zeroizing;

use super::value;

/// The way out.
#[derive(Clone, Debug)]
pub enum Sms {
    /// A folder: one `.sms` file a message, for demonstrations and tests.
    Outbox(PathBuf),
    /// A gateway that takes one HTTP request a message.
    Gateway(Box<Gateway>),
}

/// A gateway that takes one HTTP request a message and answers 2xx when it has it.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// https, or http to this machine.
    pub url: Url,
    /// POST or PUT: a code does not belong into a URL.
    pub method: Method,
    /// Headers; `Content-Type` among them.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Body,
    /// How the service proves itself to the gateway.
    pub login: SmsLogin,
    /// From the connection to the answer.
    pub timeout: Duration,
}

/// How the service proves itself to the gateway; secrets are files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmsLogin {
    /// By its address, or by a proxy on this machine.
    None,
    /// HTTP Basic: the user and the file with his password.
    Basic(String, PathBuf),
    /// The file with a bearer token.
    Bearer(PathBuf),
}

/// The body of a request, with places for number, text and sender.
#[derive(Clone, Debug)]
pub struct Body {
    form: Form,
    template: String,
    from: String,
}

/// How values stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Urlencoded,
    Plain,
}

const NUMBER: &str = "{number}";
const TEXT: &str = "{text}";
const FROM: &str = "{from}";

impl Body {
    /// The body for one message; values are escaped as the content type asks.
    pub fn fill(&self, number: &str, text: &str) -> Zeroizing<String> {
        let places = [(NUMBER, number), (TEXT, text), (FROM, self.from.as_str())];
        // Room for every octet escaped: a string that grows leaves copies behind.
        let room = self.template.len() + 6 * (number.len() + text.len() + self.from.len());
        let mut filled = Zeroizing::new(String::with_capacity(room));
        let mut rest = self.template.as_str();
        // One pass: what a value says is never taken for a place.
        while let Some((at, place, value)) = places
            .iter()
            .filter_map(|(place, value)| Some((rest.find(place)?, *place, *value)))
            .min_by_key(|(at, ..)| *at)
        {
            let (before, after) = rest.split_at(at);
            filled.push_str(before);
            filled.push_str(&self.form.escaped(value));
            rest = after.strip_prefix(place).unwrap_or_default();
        }
        filled.push_str(rest);
        filled
    }
}

impl Form {
    fn of(content_type: &HeaderValue) -> Option<Self> {
        let essence = content_type.to_str().ok()?.split(';').next()?.trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Urlencoded),
            "text/plain" => Some(Self::Plain),
            _ => None,
        }
    }

    fn escaped(self, value: &str) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Json => {
                let quoted = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
                let inner = quoted
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                inner.unwrap_or_default().to_owned()
            }
            Self::Urlencoded => url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            Self::Plain => value.to_owned(),
        })
    }
}

impl Sms {
    pub(super) fn secret_file(&self) -> Option<(&'static str, &Path)> {
        let Self::Gateway(gateway) = self else {
            return None;
        };
        match &gateway.login {
            SmsLogin::None => None,
            SmsLogin::Basic(_, file) => Some(("sms.password_file", file)),
            SmsLogin::Bearer(file) => Some(("sms.bearer_file", file)),
        }
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        match self {
            Self::Outbox(folder) => Some(folder),
            Self::Gateway(gateway) => match &mut gateway.login {
                SmsLogin::None => None,
                SmsLogin::Basic(_, file) | SmsLogin::Bearer(file) => Some(file),
            },
        }
        .into_iter()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    outbox: Option<PathBuf>,
    #[serde(default, deserialize_with = "gateway")]
    url: Option<Url>,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    from: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    bearer_file: Option<PathBuf>,
    #[serde(default = "ten_seconds", deserialize_with = "value::duration")]
    timeout: Duration,
}

impl<'de> Deserialize<'de> for Sms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let section = Section::deserialize(deserializer)?;
        let url = match (section.outbox, section.url) {
            (Some(folder), None) => return Ok(Self::Outbox(folder)),
            (None, Some(url)) => url,
            (Some(_), Some(_)) => {
                return Err(value::refuse(
                    "found both outbox and url",
                    "keep sms.outbox or sms.url",
                ));
            }
            (None, None) => {
                return Err(value::refuse(
                    "found neither outbox nor url",
                    "add sms.outbox or sms.url",
                ));
            }
        };
        let method = match section.method.as_deref() {
            None | Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some(other) => {
                return Err(value::refuse(
                    format!("found method '{other}'"),
                    "write POST or PUT",
                ));
            }
        };
        let headers = headers(&section.headers).map_err(|name| {
            value::refuse(format!("found header '{name}'"), "write a header of HTTP")
        })?;
        let login = match (section.user, section.password_file, section.bearer_file) {
            (None, None, None) => SmsLogin::None,
            (Some(user), Some(file), None) => SmsLogin::Basic(user, file),
            (None, None, Some(file)) => SmsLogin::Bearer(file),
            _ => {
                return Err(value::refuse(
                    "found a part of a log-in, or two",
                    "write sms.user with sms.password_file, or sms.bearer_file alone",
                ));
            }
        };
        Ok(Self::Gateway(Box::new(Gateway {
            url,
            method,
            body: body(section.body, &headers, section.from)
                .map_err(|(found, remedy)| value::refuse(found, remedy))?,
            headers,
            login,
            timeout: section.timeout,
        })))
    }
}

fn headers(written: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    written
        .iter()
        .map(|(name, value)| {
            let parsed = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            );
            match parsed {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => Err(name.clone()),
            }
        })
        .collect()
}

fn body(
    template: Option<String>,
    headers: &HeaderMap,
    from: String,
) -> Result<Body, (&'static str, &'static str)> {
    let form = headers.get(CONTENT_TYPE).and_then(Form::of).ok_or((
        "found no Content-Type that is known among sms.headers",
        "write application/json, application/x-www-form-urlencoded or text/plain",
    ))?;
    let template = template
        .filter(|template| template.contains(NUMBER) && template.contains(TEXT))
        .ok_or((
            "found no sms.body with {number} and {text}",
            "write what the gateway takes, with these two places",
        ))?;
    let body = Body {
        form,
        template,
        from,
    };
    let sample = body.fill("+390000000000", "a \"text\"");
    if form == Form::Json && serde_json::from_str::<serde_json::Value>(&sample).is_err() {
        return Err((
            "found an sms.body that is no JSON",
            "put the places between quotes: {\"to\": \"{number}\", \"text\": \"{text}\"}",
        ));
    }
    Ok(body)
}

fn gateway<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let url = value::url(deserializer)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value::refuse(
            "found a log-in in the URL",
            "move it to sms.user and sms.password_file",
        ));
    }
    let here = url.host_str().is_some_and(value::is_here);
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if here => Ok(Some(url)),
        _ => Err(value::refuse(
            format!("found '{url}'"),
            "write an https URL; http is for gateways on this machine",
        )),
    }
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
