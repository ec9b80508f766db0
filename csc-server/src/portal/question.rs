//! The page on which a holder answers what an application asks through the service ([`crate::question`]): a mail leads here. The link only shows
//! the question; PIN and code answer yes, a click answers no.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use hsm_adapter::Pin;
use http::StatusCode;

use super::{
    form::Posted,
    language::Language,
    page::{Page, respond},
    problem::Problem,
    visitor::Visitor,
};
use crate::{
    app::App,
    credential::{Approval, Error, Hash},
    factor::{self, Otp},
    question::{Question, State as Standing},
};

#[derive(Template)]
#[template(path = "question.html")]
struct Shown {
    page: Page,
    w: &'static Words,
    link: String,
    client: String,
    description: Option<String>,
    credential: String,
    verification: String,
    hashes: Vec<String>,
    /// The service sends the code.
    sends: bool,
    sent: bool,
    failed: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "answered.html")]
struct Answered {
    page: Page,
    title: &'static str,
    text: &'static str,
}

/// What the page says.
struct Words {
    title: &'static str,
    asks: &'static str,
    says: &'static str,
    certificate: &'static str,
    documents: &'static str,
    verification: &'static str,
    compare: &'static str,
    send: &'static str,
    sent: &'static str,
    pin: &'static str,
    code: &'static str,
    approve: &'static str,
    refuse: &'static str,
    wrong: &'static str,
    locked: &'static str,
    too_soon: &'static str,
    approved: &'static str,
    approved_text: &'static str,
    refused: &'static str,
    refused_text: &'static str,
}

const ENGLISH: Words = Words {
    title: "Do you want to sign?",
    asks: "Application",
    says: "It says",
    certificate: "Certificate",
    documents: "Documents (SHA-2, hexadecimal)",
    verification: "Verification code",
    compare: "Compare it with the code the application shows. If it shows none, or another, refuse.",
    send: "Send me a code",
    sent: "A code is on its way to you.",
    pin: "Signature PIN",
    code: "One-time code",
    approve: "Approve and sign",
    refuse: "Refuse",
    wrong: "PIN or code is wrong. The code is spent: have another one sent, or wait for the next of your device.",
    locked: "PIN or codes are locked by wrong tries.",
    too_soon: "A code was sent just now. Wait a little before you ask for another.",
    approved: "Approved",
    approved_text: "The application may make these signatures now. You can close this page.",
    refused: "Refused",
    refused_text: "Nothing is signed. If you did not start this, tell the service.",
};

const ITALIAN: Words = Words {
    title: "Vuole firmare?",
    asks: "Applicazione",
    says: "Dice",
    certificate: "Certificato",
    documents: "Documenti (SHA-2, esadecimale)",
    verification: "Codice di verifica",
    compare: "Lo confronti con il codice che mostra l'applicazione. Se non ne mostra, o è un altro, rifiuti.",
    send: "Mi invii un codice",
    sent: "Un codice è in arrivo.",
    pin: "PIN di firma",
    code: "Codice monouso",
    approve: "Approvo e firmo",
    refuse: "Rifiuto",
    wrong: "PIN o codice errato. Il codice è consumato: ne chieda un altro, o attenda il prossimo del suo dispositivo.",
    locked: "PIN o codici sono bloccati per troppi tentativi errati.",
    too_soon: "Un codice è appena stato inviato. Attenda un poco prima di chiederne un altro.",
    approved: "Approvato",
    approved_text: "L'applicazione ora può apporre queste firme. Può chiudere la pagina.",
    refused: "Rifiutato",
    refused_text: "Nulla è firmato. Se non l'ha chiesto lei, avvisi il servizio.",
};

impl Words {
    fn of(language: Language) -> &'static Self {
        match language {
            Language::Italian => &ITALIAN,
            Language::English => &ENGLISH,
        }
    }
}

/// Shows the question.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let question = waiting(&app, &link).await?;
    Ok(page(&app, &visitor, &link, &question, false, None))
}

/// Takes the answer, or sends a code.
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Path(link): Path<String>,
    posted: Posted,
) -> Result<Response, Problem> {
    let question = waiting(&app, &link).await?;
    let w = Words::of(visitor.language());
    let again = |sent, failed| Ok(page(&app, &visitor, &link, &question, sent, failed));
    match posted.get("decision") {
        Some("refuse") => {
            app.questions.refuse(&question).await.map_err(problem)?;
            Ok(answered(&app, &visitor, w.refused, w.refused_text))
        }
        Some("send") => match app.questions.send_code(&question).await {
            Ok(()) => again(true, None),
            Err(factor::Error::TooSoon { .. }) => again(false, Some(w.too_soon)),
            Err(factor::Error::Locked) => again(false, Some(w.locked)),
            Err(error) => Err(problem(error.into())),
        },
        Some("approve") => {
            // Nothing is approved while nobody knows what time it is (SC-87).
            let trusted = app.time.check();
            trusted.map_err(|distrust| Problem::Unavailable(distrust.to_string()))?;
            let typed = |name| posted.get(name).unwrap_or_default();
            let (Some(pin), Some(otp)) = (Pin::parse(typed("pin")), Otp::parse(typed("code")))
            else {
                // What cannot be a PIN or a code is wrong without being a try.
                return again(false, Some(w.wrong));
            };
            match app
                .questions
                .approve(&question, Approval { pin, otp })
                .await
            {
                Ok(()) => Ok(answered(&app, &visitor, w.approved, w.approved_text)),
                Err(Error::WrongPin | Error::WrongOtp) => again(false, Some(w.wrong)),
                Err(Error::PinLocked | Error::OtpLocked) => again(false, Some(w.locked)),
                Err(error) => Err(problem(error)),
            }
        }
        _ => Err(Problem::Stale),
    }
}

async fn waiting(app: &App, link: &str) -> Result<Question, Problem> {
    let question = app.questions.find(link).await.map_err(problem)?;
    match question.state {
        Standing::Waiting => Ok(question),
        _ => Err(Problem::Ended),
    }
}

fn page(
    app: &App,
    visitor: &Visitor,
    link: &str,
    question: &Question,
    sent: bool,
    failed: Option<&'static str>,
) -> Response {
    let shown = Shown {
        page: Page::of(app, visitor),
        w: Words::of(visitor.language()),
        link: link.to_owned(),
        client: question.client.clone(),
        description: question.description.clone(),
        credential: question.credential.description.clone(),
        verification: question.order.verification_code(),
        hashes: question.order.hashes().iter().map(Hash::hex).collect(),
        sends: question.factor.kind.is_sent(),
        sent,
        failed,
    };
    let status = match failed {
        Some(_) => StatusCode::FORBIDDEN,
        None => StatusCode::OK,
    };
    respond(status, &shown)
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
