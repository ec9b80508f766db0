//! The page on which a holder answers an application: what it may do in his name (scope `service`), or exactly what he signs (scope
//! `credential`, SC-42). The answer belongs to the request that was shown: another tab cannot put its own in between.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect as SeeOther, Response},
};

use super::{
    consent,
    form::Posted,
    life,
    problem::Problem,
    proof::{self, Said},
    signing::{self, Stage},
    visitor::{self, Visitor},
};
use crate::{
    app::App,
    authorization::{Authorization, Error, Redirect, Scope},
    factor,
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
        Scope::Creation | Scope::Deletion(_) => {
            life::page(&app, &visitor, &authorization, Stage::Look, None).await
        }
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
        (Scope::Creation | Scope::Deletion(_), Some(act)) => {
            match life::decide(&app, &authorization, session, act, &posted).await? {
                Ok(back) => Ok(leave(&back)),
                Err((stage, said)) => life::page(&app, &visitor, &authorization, stage, said).await,
            }
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
        Err(Error::Factor(error)) => match Said::of_sending(&error) {
            Some(said @ Said::TooSoon(_)) => (Stage::Prove, Some(said)),
            Some(said) => (Stage::Look, Some(said)),
            None => return Err(Error::Factor(error).into()),
        },
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
    let approval = match proof::read(posted) {
        Ok(approval) => approval,
        Err(said) => return Ok(Err((Stage::Prove, Some(said)))),
    };
    let (holder, id) = (&session.holder.id, &session.id);
    let approved = app
        .authorizations
        .approve(authorization, holder, chosen, approval, id);
    let error = match approved.await {
        Ok(back) => return Ok(Ok(back)),
        Err(error) => error,
    };
    let said = match &error {
        Error::Credential(error) => Said::of(error),
        _ => None,
    };
    let Some(said) = said else {
        return Err(error.into());
    };
    let stage = match said {
        Said::WrongCode => Stage::Prove,
        _ => Stage::Look,
    };
    Ok(Err((stage, Some(said))))
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
            Error::Enrolment(error) => Self::Internal(error.to_string()),
        }
    }
}
