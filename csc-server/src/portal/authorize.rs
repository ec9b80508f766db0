//! The page on which a holder answers an application: what it may do in his name (scope `service`), or exactly what he signs (scope
//! `credential`, SC-42). The answer belongs to the request that was shown: another tab cannot put its own in between.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect as SeeOther, Response},
};
use hsm_adapter::Pin;

use super::{
    consent,
    form::Posted,
    problem::Problem,
    signing::{self, Said, Stage},
    visitor::{self, Visitor},
};
use crate::{
    app::App,
    authorization::{Authorization, Error, Redirect, Scope},
    credential::{self, Approval},
    factor::{self, Otp},
    holder::Session,
    ids::CredentialId,
};

/// Where a browser keeps the request it came with.
pub(crate) const COOKIE: &str = "__Host-csc-request";
/// Its page.
pub(crate) const PATH: &str = "/authorize";

/// The request that waits for an answer of this browser.
pub(super) async fn pending(app: &App, visitor: &Visitor) -> Result<Authorization, Problem> {
    let cookie = visitor.cookie(COOKIE).ok_or(Problem::Ended)?;
    Ok(app.authorizations.find(cookie).await?)
}

/// Shows what is asked.
pub(super) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let authorization = pending(&app, &visitor).await?;
    let visitor = visitor.asked(authorization.asked.language.as_deref());
    let session = visitor.logged_in()?;
    let holder = &session.holder.id;
    app.authorizations.holder(&authorization, holder).await?;
    match &authorization.asked.scope {
        Scope::Service => Ok(consent::page(&app, &visitor, &authorization)),
        Scope::Credential(wanted) => {
            signing::page(
                &app,
                &visitor,
                &authorization,
                wanted,
                None,
                Stage::Look,
                None,
            )
            .await
        }
    }
}

/// Takes the answer: yes, no, or "send me a code".
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    posted: Posted,
) -> Result<Response, Problem> {
    let authorization = pending(&app, &visitor).await?;
    // What he saw is what he answers.
    if posted.get("request") != Some(authorization.id.as_str()) {
        return Err(Problem::Ended);
    }
    if posted.get("act") == Some("refuse") {
        let back = app.authorizations.refuse(&authorization).await?;
        return Ok(leave(&back));
    }
    let visitor = visitor.asked(authorization.asked.language.as_deref());
    let session = visitor.logged_in()?;
    match (&authorization.asked.scope, posted.get("act")) {
        (Scope::Service, Some("allow")) => {
            let (holder, id) = (&session.holder.id, &session.id);
            let granted = app.authorizations.grant_service(&authorization, holder, id);
            Ok(leave(&granted.await?))
        }
        (Scope::Credential(wanted), Some(act @ ("send" | "sign"))) => {
            let chosen = posted.get("certificate").map(CredentialId::new);
            let Some(chosen) = chosen else {
                let said = Some(Said::NotChosen);
                return signing::page(
                    &app,
                    &visitor,
                    &authorization,
                    wanted,
                    None,
                    Stage::Look,
                    said,
                )
                .await;
            };
            let (stage, said) = match act {
                "send" => send(&app, &authorization, session, &chosen).await?,
                _ => match sign(&app, &authorization, session, &chosen, &posted).await? {
                    Ok(back) => return Ok(leave(&back)),
                    Err(refused) => refused,
                },
            };
            signing::page(
                &app,
                &visitor,
                &authorization,
                wanted,
                Some(&chosen),
                stage,
                said,
            )
            .await
        }
        _ => Err(Problem::BadRequest),
    }
}

/// Has a code sent, where the holder's codes are sent.
async fn send(
    app: &App,
    authorization: &Authorization,
    session: &Session,
    chosen: &CredentialId,
) -> Result<(Stage, Option<Said>), Problem> {
    let sent = app
        .authorizations
        .send_code(authorization, &session.holder.id, chosen);
    Ok(match sent.await {
        Ok(()) => (Stage::Prove, Some(Said::Sent)),
        // His device makes them.
        Err(Error::Factor(factor::Error::Offline)) => (Stage::Prove, None),
        Err(Error::Factor(factor::Error::TooSoon { retry_after })) => {
            (Stage::Prove, Some(Said::TooSoon(retry_after)))
        }
        Err(Error::Factor(factor::Error::Locked)) => (Stage::Look, Some(Said::CodesLocked)),
        Err(error) => return Err(error.into()),
    })
}

/// Approves with both factors, or says why not and what to do next.
async fn sign(
    app: &App,
    authorization: &Authorization,
    session: &Session,
    chosen: &CredentialId,
    posted: &Posted,
) -> Result<Result<Redirect, (Stage, Option<Said>)>, Problem> {
    if let Err(distrust) = app.time.check() {
        return Err(Problem::Unavailable(distrust.to_string()));
    }
    // What can be no PIN or no code is said before anything counts.
    let digits = |text: Option<&str>| -> String {
        let text = text.unwrap_or_default();
        text.chars().filter(|c| !c.is_whitespace()).collect()
    };
    let pin = zeroize::Zeroizing::new(digits(posted.get("pin")));
    let Some(pin) = Pin::parse(&pin) else {
        return Ok(Err((Stage::Prove, Some(Said::NoPin))));
    };
    let otp = zeroize::Zeroizing::new(digits(posted.get("code")));
    let Some(otp) = Otp::parse(&otp) else {
        return Ok(Err((Stage::Prove, Some(Said::NoCode))));
    };
    let (holder, id) = (&session.holder.id, &session.id);
    let approval = Approval { pin, otp };
    let approved = app
        .authorizations
        .approve(authorization, holder, chosen, approval, id);
    let said = match approved.await {
        Ok(back) => return Ok(Ok(back)),
        Err(Error::Credential(credential::Error::WrongPin)) => (Stage::Look, Said::WrongPin),
        Err(Error::Credential(credential::Error::WrongOtp)) => (Stage::Prove, Said::WrongCode),
        Err(Error::Credential(credential::Error::PinLocked)) => (Stage::Closed, Said::PinLocked),
        Err(Error::Credential(credential::Error::OtpLocked)) => (Stage::Look, Said::CodesLocked),
        Err(error) => return Err(error.into()),
    };
    Ok(Err((said.0, Some(said.1))))
}

/// Back to the application.
fn leave(to: &Redirect) -> Response {
    let response = SeeOther::to(&to.location).into_response();
    visitor::with_cookie(response, &visitor::forget(COOKIE))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownClient => Self::UnknownClient,
            Error::BadRedirect => Self::BadRedirect,
            Error::Unknown | Error::Ended => Self::Ended,
            Error::OtherAccount => Self::SomebodyElse,
            Error::Refused(_) => Self::BadRequest,
            Error::Store(error) => error.into(),
            Error::Hsm(error) => error.into(),
            Error::Credential(error) => Self::Internal(error.to_string()),
            Error::Factor(error) => Self::Internal(error.to_string()),
        }
    }
}
