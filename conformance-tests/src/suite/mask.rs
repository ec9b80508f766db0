//! Reports show what was sent and what came back, and no secret.

use serde_json::Value;

use super::{
    session::Session,
    wire::{Answer, Request},
};

const MASK: &str = "[masked]";
/// Members and form fields whose value is a secret, whatever it is.
const NAMES: [&str; 14] = [
    "PIN",
    "OTP",
    "SAD",
    "value",
    "token",
    "access_token",
    "refresh_token",
    "client_secret",
    "password",
    "code",
    "code_verifier",
    "client_assertion",
    "handle",
    "account_token",
];
/// As much of a body as a report shows.
const SHOWN: usize = 4000;

impl Session {
    /// A request as text.
    pub fn show_request(&self, request: &Request) -> String {
        let mut text = format!("{} {}\n", request.method, request.url);
        for (name, value) in &request.headers {
            let secret = name.eq_ignore_ascii_case("authorization");
            let value = match value.split_once(' ') {
                Some((scheme, _)) if secret => format!("{scheme} {MASK}"),
                _ => value.clone(),
            };
            text += &format!("{name}: {value}\n");
        }
        let form = request
            .headers
            .iter()
            .any(|(_, value)| value.contains("urlencoded"));
        let body = String::from_utf8_lossy(&request.body);
        let body = match form {
            true => masked_form(&body),
            false => masked_json(&body),
        };
        format!("{}\n{}", self.hide(&text), self.hide(&shorten(&body)))
    }

    /// An answer as text.
    pub fn show_answer(&self, answer: &Answer) -> String {
        let mut text = match answer.status {
            0 => String::new(),
            status => format!("{status}\n"),
        };
        for (name, value) in &answer.headers {
            text += &format!("{name}: {value}\n");
        }
        let body = shorten(&masked_json(&answer.body));
        format!("{}\n{}", self.hide(&text), self.hide(&body))
    }

    /// A text without the secrets of the settings and of the wire.
    pub fn hide(&self, text: &str) -> String {
        let secrets = self.secrets.borrow();
        let secrets = secrets.iter().filter(|secret| secret.len() > 3);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

fn shorten(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    match shown.len() < text.len() {
        true => format!("{shown}… ({} octets)", text.len()),
        false => shown,
    }
}

fn masked_json(body: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(body) else {
        return body.to_owned();
    };
    mask(&mut value);
    value.to_string()
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if NAMES.contains(&name.as_str()) => MASK.clone_into(text),
                    member => mask(member),
                }
            }
        }
        _ => {}
    }
}

fn masked_form(body: &str) -> String {
    let fields = body.split('&').map(|field| match field.split_once('=') {
        Some((name, _)) if NAMES.contains(&name) => format!("{name}={MASK}"),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join("&")
}
