//! The page on which a holder answers what an application asks through the service ([`crate::question`]): a mail leads here. The link only shows
//! the question; PIN and code answer yes, a click answers no.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;

use super::{
    documents::Documents,
    form::Posted,
    page::{Page, respond},
    problem::Problem,
    proof::{self, Proof, Said},
    texts::Texts,
    visitor::Visitor,
};
use crate::{
    app::App,
    clock::date,
    credential::Error,
    question::{Question, State as Standing},
};

#[derive(Template)]
#[template(path = "question.html")]
struct Shown {
    page: Page,
    title: String,
    link: String,
    description: Option<String>,
    documents: Documents,
    certificate: String,
    until: String,
    proof: Proof,
    /// A code is on its way.
    sent: bool,
    sign: String,
    ends: String,
}

#[derive(Template)]
#[template(path = "answered.html")]
struct Answered {
    page: Page,
    title: &'static str,
    text: &'static str,
}

/// Shows the question.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let question = waiting(&app, &link).await?;
    page(&app, &visitor, &link, &question, None).await
}

/// Takes the answer, or sends a code.
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Path(link): Path<String>,
    posted: Posted,
) -> Result<Response, Problem> {
    let question = waiting(&app, &link).await?;
    let t = Texts::of(visitor.language());
    let said = match posted.get("decision") {
        Some("refuse") => {
            app.questions.refuse(&question).await.map_err(problem)?;
            return Ok(answered(&app, &visitor, t.refused, t.refused_text));
        }
        Some("send") => match app.questions.send_code(&question).await {
            Ok(()) => Said::Sent,
            Err(error) => Said::of_sending(&error).ok_or_else(|| problem(error.into()))?,
        },
        Some("approve") => {
            // Nothing is approved while nobody knows what time it is (SC-87).
            let trusted = app.time.check();
            trusted.map_err(|distrust| Problem::Unavailable(distrust.to_string()))?;
            match proof::read(&posted) {
                Ok(approval) => match app.questions.approve(&question, approval).await {
                    Ok(()) => return Ok(answered(&app, &visitor, t.approved, t.approved_text)),
                    Err(error) => Said::of(&error).ok_or_else(|| problem(error))?,
                },
                Err(said) => said,
            }
        }
        _ => return Err(Problem::Stale),
    };
    page(&app, &visitor, &link, &question, Some(said)).await
}

async fn waiting(app: &App, link: &str) -> Result<Question, Problem> {
    let question = app.questions.find(link).await.map_err(problem)?;
    match question.state {
        Standing::Waiting => Ok(question),
        _ => Err(Problem::Ended),
    }
}

async fn page(
    app: &App,
    visitor: &Visitor,
    link: &str,
    question: &Question,
    said: Option<Said>,
) -> Result<Response, Problem> {
    let page = Page::ending(app, visitor, question.expires);
    let (language, credential) = (page.language, &question.credential);
    let hashes = question.order.hashes();
    let number = hashes.len() as u64;
    let sent = matches!(said, Some(Said::Sent | Said::TooSoon(_)));
    let shown = Shown {
        title: language.asks_to_sign(&question.client, number),
        link: link.to_owned(),
        description: question.description.clone(),
        documents: Documents::of(&page, hashes.iter().map(|hash| (hash, None))),
        certificate: credential.description.clone(),
        until: date(credential.not_after),
        proof: Proof::of(app, &page, Some(credential), said).await?,
        sent,
        sign: language.sign(number),
        ends: language.ends_in(question.expires - app.clock.now()),
        page,
    };
    let status = match shown.proof.said {
        None | Some(Said::Sent) => StatusCode::OK,
        Some(_) => StatusCode::FORBIDDEN,
    };
    Ok(respond(status, &shown))
}

fn answered(app: &App, visitor: &Visitor, title: &'static str, text: &'static str) -> Response {
    let page = Page::of(app, visitor);
    respond(StatusCode::OK, &Answered { page, title, text })
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Unknown => Problem::NotFound,
        Error::InvalidHandle | Error::Disabled | Error::CertificateExpired { .. } => Problem::Ended,
        Error::Store(error) => error.into(),
        Error::Hsm(error) => error.into(),
        error => Problem::Internal(error.to_string()),
    }
}
