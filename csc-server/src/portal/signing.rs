//! The signing page: which application wants which documents signed with which certificate, and the PIN and the code that approve exactly
//! these. Saying no takes one button and no secret.

use askama::Template;
use axum::response::Response;

use super::{
    documents::Documents,
    page::{Page, respond_leading_to},
    problem::Problem,
    proof::{Proof, Said},
    visitor::Visitor,
};
use crate::{
    app::App,
    authorization::{Authorization, Wanted},
    clock::date,
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

#[derive(Template)]
#[template(path = "signing.html")]
struct Signing {
    page: Page,
    title: String,
    request: String,
    description: Option<String>,
    documents: Documents,
    certificates: Vec<Choice>,
    /// The one that signs, where it is settled.
    settled: Option<usize>,
    stage: Stage,
    proof: Proof,
    sign: String,
    ends: String,
}

struct Choice {
    id: String,
    /// Enough of its identifier to tell it from one of the same name.
    short: String,
    name: String,
    until: String,
}

impl Signing {
    fn chosen(&self) -> Option<&Choice> {
        self.settled.and_then(|index| self.certificates.get(index))
    }

    fn proves(&self) -> bool {
        self.stage == Stage::Prove
    }

    fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
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
    let said = match credentials.is_empty() {
        true => Some(Said::NoCertificate),
        false => said,
    };
    let proof = Proof::of(app, &page, settled_credential, said).await?;
    let stage = match (stage, proof.said) {
        (_, Some(Said::NoCertificate | Said::PinLocked)) => Stage::Closed,
        (_, Some(Said::CodesLocked)) => Stage::Look,
        // A device needs no message first.
        (Stage::Look, _) if settled.is_some() && !proof.is_sent() => Stage::Prove,
        (stage, _) => stage,
    };
    let (language, number) = (page.language, wanted.documents.len() as u64);
    let documents = wanted.documents.iter();
    let documents = documents.map(|document| (&document.hash, document.label.as_deref()));
    let documents = Documents::of(&page, documents);
    let certificates = credentials.iter().map(|credential| Choice {
        id: credential.id.to_string(),
        short: credential.id.as_str().chars().take(8).collect(),
        name: credential.description.clone(),
        until: date(credential.not_after),
    });
    let signing = Signing {
        title: language.asks_to_sign(&authorization.client.registration.name, number),
        request: authorization.id.to_string(),
        description: authorization.asked.description.clone(),
        documents,
        certificates: certificates.collect(),
        settled,
        stage,
        proof,
        sign: language.sign(number),
        ends: language.ends_in(authorization.expires - app.clock.now()),
        page,
    };
    Ok(respond_leading_to(
        &authorization.asked.redirect_uri,
        &signing,
    ))
}
