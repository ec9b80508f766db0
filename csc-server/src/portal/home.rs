//! The holder's own page: his certificates, and what was signed with them.

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{
    page::{Page, respond},
    problem::Problem,
    visitor::Visitor,
};
use crate::{
    app::App,
    clock::{Millis, date, minute},
    credential::{Credential, Mode, Status, history},
    ids::ClientId,
};

/// Certificates and signatures shown.
const SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    page: Page,
    certificates: Vec<Certificate>,
    /// He may have given mandates.
    automatic: bool,
    signatures: Vec<Signature>,
}

struct Certificate {
    name: String,
    id: String,
    state: &'static str,
    good: bool,
    until: String,
}

struct Signature {
    time: String,
    client: String,
    hash: String,
    outcome: &'static str,
}

/// Shows the page.
pub(super) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let holder = visitor.logged_in()?.holder.id.clone();
    let page = Page::of(&app, &visitor);
    let (t, now) = (page.t, app.clock.now());
    let credentials = Credential::of_holder(&app.store, &holder, "", SHOWN).await?;
    let certificates = credentials.iter().map(|credential| Certificate {
        name: credential.description.clone(),
        id: credential.id.to_string(),
        state: state(&page, credential, now),
        good: credential.usable(now).is_ok(),
        until: date(credential.not_after),
    });
    let automatic = credentials
        .iter()
        .any(|credential| credential.mode == Mode::Automatic);
    let signed = history::latest(&app.store, &holder, SHOWN).await?;
    let mut signatures = Vec::with_capacity(signed.len());
    for signed in signed {
        let client = app.clients.find(&ClientId::new(&signed.client)).await?;
        signatures.push(Signature {
            time: minute(signed.started),
            client: client.map_or(signed.client, |client| client.registration.name.clone()),
            hash: hex::encode(&signed.hash),
            outcome: match signed.outcome.as_str() {
                "signed" => t.signed,
                _ => t.not_known,
            },
        });
    }
    let home = Home {
        certificates: certificates.collect(),
        automatic,
        signatures,
        page,
    };
    Ok(respond(StatusCode::OK, &home))
}

fn state(page: &Page, credential: &Credential, now: Millis) -> &'static str {
    match credential.status {
        Status::Issued | Status::Suspended => page.t.suspended,
        Status::Revoked => page.t.revoked,
        Status::Active if now >= credential.not_after => page.t.expired,
        Status::Active => page.t.active,
    }
}
