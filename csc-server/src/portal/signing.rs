//! The signing page: which application wants which documents signed with which certificate, and the PIN and the code that approve exactly
//! these. Saying no takes one button and no secret.

use std::time::Duration;

use askama::Template;
use axum::response::Response;

use super::{
    page::{Page, respond_leading_to},
    problem::Problem,
    visitor::Visitor,
};
use crate::{
    app::App,
    authorization::{Authorization, Wanted},
    clock::date,
    credential::{Credential, verification_code},
    factor::Kind,
    ids::CredentialId,
};

/// How far he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// He looks at what is asked, and chooses.
    Look,
    /// He proves himself.
    Prove,
    /// Nothing but back.
    Closed,
}

/// What the page says about what he did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A code is on its way.
    Sent,
    /// A code was sent just before.
    TooSoon(Duration),
    /// No certificate was chosen.
    NotChosen,
    /// What he typed can be no PIN.
    NoPin,
    /// What he typed can be no code.
    NoCode,
    /// Not his PIN.
    WrongPin,
    /// Not the code.
    WrongCode,
    /// Too many wrong PINs.
    PinLocked,
    /// Too many wrong codes.
    CodesLocked,
}

#[derive(Template)]
#[template(path = "signing.html")]
struct Signing {
    page: Page,
    title: String,
    request: String,
    description: Option<String>,
    documents: Vec<Document>,
    check: String,
    certificates: Vec<Choice>,
    /// The one that signs, where it is settled.
    settled: Option<usize>,
    stage: Stage,
    notice: Option<Notice>,
    /// How his codes come; `None` until the certificate is settled.
    codes: Option<Codes>,
    sign: String,
    ends: String,
}

struct Document {
    name: String,
    /// The first and the last octets.
    short: String,
    hash: String,
}

struct Choice {
    id: String,
    name: String,
    until: String,
}

struct Notice {
    class: &'static str,
    title: String,
    text: String,
    /// The field it is about.
    field: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Codes {
    Mail,
    Sms,
    App,
    Token,
}

impl Signing {
    fn bad(&self, field: &str) -> bool {
        self.notice
            .as_ref()
            .is_some_and(|notice| notice.field == field)
    }

    fn chosen(&self) -> Option<&Choice> {
        self.settled.and_then(|index| self.certificates.get(index))
    }

    fn is_sent(&self) -> bool {
        matches!(self.codes, Some(Codes::Mail | Codes::Sms))
    }

    fn proves(&self) -> bool {
        self.stage == Stage::Prove
    }

    fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    fn code_hint(&self) -> &'static str {
        let t = self.page.t;
        match self.codes {
            Some(Codes::Mail) => t.code_by_mail,
            Some(Codes::Sms) => t.code_by_sms,
            Some(Codes::Token) => t.code_of_token,
            Some(Codes::App) | None => t.code_of_app,
        }
    }
}

/// Shows the page.
pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    authorization: &Authorization,
    wanted: &Wanted,
    chosen: Option<&CredentialId>,
    stage: Stage,
    said: Option<Said>,
) -> Result<Response, Problem> {
    let holder = &visitor.logged_in()?.holder.id;
    let credentials = app.authorizations.choices(authorization, holder).await?;
    let page = Page::ending(app, visitor, authorization.expires);
    let settled = match (credentials.as_slice(), chosen) {
        ([_], None) => Some(0),
        (all, Some(chosen)) => all.iter().position(|credential| credential.id == *chosen),
        _ => None,
    };
    let settled_credential = settled.and_then(|index| credentials.get(index));
    let codes = match settled_credential {
        Some(credential) => codes(app, credential).await?,
        None => None,
    };
    let sent = matches!(codes, Some(Codes::Mail | Codes::Sms));
    let stage = match stage {
        _ if credentials.is_empty() => Stage::Closed,
        // A device needs no message first.
        Stage::Look if settled.is_some() && !sent => Stage::Prove,
        stage => stage,
    };
    let notice = match (credentials.is_empty(), said) {
        (true, _) => Some(Notice {
            class: "bad",
            title: page.t.no_credential.to_owned(),
            text: page.t.no_credential_text.to_owned(),
            field: "",
        }),
        (false, Some(said)) => Some(notice(app, &page, said, settled_credential, sent).await?),
        (false, None) => None,
    };
    let (language, number) = (page.language, wanted.documents.len() as u64);
    let documents = wanted.documents.iter().map(|document| {
        let hash = document.hash.hex();
        Document {
            name: document
                .label
                .clone()
                .filter(|label| !label.trim().is_empty())
                .unwrap_or_else(|| page.t.no_label.to_owned()),
            short: short(&hash),
            hash,
        }
    });
    let documents = documents.collect();
    let certificates = credentials.iter().map(|credential| Choice {
        id: credential.id.to_string(),
        name: credential.description.clone(),
        until: date(credential.not_after),
    });
    let signing = Signing {
        title: language.asks_to_sign(&authorization.client.registration.name, number),
        request: authorization.id.to_string(),
        description: authorization.asked.description.clone(),
        documents,
        check: verification_code(&wanted.hashes()),
        certificates: certificates.collect(),
        settled,
        stage,
        notice,
        codes,
        sign: language.sign(number),
        ends: language.ends_in(authorization.expires - app.clock.now()),
        page,
    };
    Ok(respond_leading_to(
        &authorization.asked.redirect_uri,
        &signing,
    ))
}

async fn codes(app: &App, credential: &Credential) -> Result<Option<Codes>, Problem> {
    let factor = app.factors.find(&credential.factor).await?;
    Ok(factor.map(|factor| match factor.kind {
        Kind::Mail => Codes::Mail,
        Kind::Sms => Codes::Sms,
        Kind::Totp => Codes::App,
        Kind::Hotp => Codes::Token,
    }))
}

/// What happened, how many tries are left, and what to do next.
async fn notice(
    app: &App,
    page: &Page,
    said: Said,
    credential: Option<&Credential>,
    sent: bool,
) -> Result<Notice, Problem> {
    let (t, language) = (page.t, page.language);
    let (pins, codes) = match credential {
        Some(credential) => (
            app.keys.pin_tries(&credential.id).await?,
            app.factors.tries(&credential.factor).await?,
        ),
        None => (0, (0, 0)),
    };
    let minutes = app.factors.lifetime().as_secs().div_ceil(60);
    let (class, title, text, field) = match said {
        Said::Sent => ("good", t.code_sent, language.code_sent(minutes), ""),
        Said::TooSoon(wait) => {
            let text = language.too_soon(wait.as_secs() + 1);
            ("note", t.too_soon, text, "")
        }
        Said::NotChosen => ("bad", t.not_chosen, t.not_chosen_text.into(), "certificate"),
        Said::NoPin => ("bad", t.no_pin, t.no_pin_text.into(), "pin"),
        Said::NoCode => ("bad", t.no_code, t.no_code_text.into(), "code"),
        Said::WrongPin => {
            let next = if sent {
                t.wrong_pin_sent
            } else {
                t.wrong_pin_device
            };
            let text = format!("{} {next}", language.pin_tries(pins));
            ("bad", t.wrong_pin, text, "pin")
        }
        Said::WrongCode => {
            let text = format!("{} {}", language.code_tries(codes.0), t.wrong_code_text);
            ("bad", t.wrong_code, text, "code")
        }
        Said::PinLocked => ("bad", t.pin_locked, t.pin_locked_text.into(), ""),
        Said::CodesLocked => {
            let text = language.codes_locked(codes.1 - app.clock.now());
            ("bad", t.codes_locked, text, "")
        }
    };
    Ok(Notice {
        class,
        title: title.to_owned(),
        text,
        field,
    })
}

/// Enough of a hash to compare at a glance.
fn short(hash: &str) -> String {
    let (first, rest) = hash.split_at_checked(8).unwrap_or((hash, ""));
    let last = rest.len().saturating_sub(8);
    format!("{first}…{}", rest.get(last..).unwrap_or_default())
}
