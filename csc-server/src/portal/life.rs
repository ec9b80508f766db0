//! The pages on which a holder agrees to a new certificate, whose PIN he chooses here, or to the end of one (CSC v2.2). Saying no takes one button and no
//! secret.

use askama::Template;
use axum::response::Response;
use zeroize::Zeroizing;

use super::{
    form::Posted,
    page::{Page, respond_leading_to},
    problem::Problem,
    proof::{self, Proof, Said},
    signing::Stage,
    visitor::Visitor,
};
use crate::{
    app::App,
    authorization::{Authorization, Error, Redirect, Scope},
    clock::date,
    credential::Credential,
    enrolment::NewPin,
    factor,
    holder::Session,
};

/// Choosing the PIN of a new one.
#[derive(Template)]
#[template(path = "choose_pin.html")]
struct ChoosePin {
    page: Page,
    title: String,
    request: String,
    description: Option<String>,
    name: String,
    /// Version and address of the terms, where there are any.
    terms: Option<(String, String)>,
    proof: Proof,
    may_choose: bool,
    ends: String,
}

/// Agreeing with PIN and code.
#[derive(Template)]
#[template(path = "life.html")]
struct Life {
    page: Page,
    title: String,
    request: String,
    description: Option<String>,
    text: &'static str,
    name: String,
    until: String,
    proof: Proof,
    proves: bool,
    yes: &'static str,
    no: &'static str,
    ends: String,
}

/// Shows where he is.
pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    authorization: &Authorization,
    stage: Stage,
    said: Option<Said>,
) -> Result<Response, Problem> {
    let holder = &visitor.logged_in()?.holder;
    let concerned = app.authorizations.concerned(authorization, &holder.id);
    match concerned.await {
        Ok(Some(credential)) => agree(app, visitor, authorization, &credential, stage, said).await,
        Ok(None) => choose(app, visitor, authorization, said).await,
        Err(Error::Unknown) => Err(Problem::SomebodyElse),
        Err(error) => Err(error.into()),
    }
}

async fn choose(
    app: &App,
    visitor: &Visitor,
    authorization: &Authorization,
    said: Option<Said>,
) -> Result<Response, Problem> {
    let holder = &visitor.logged_in()?.holder;
    let known = app.authorizations.known(holder).await?;
    let said = match known {
        None => Some(Said::NoFactor),
        Some(_) => said,
    };
    let page = Page::ending(app, visitor, authorization.expires);
    let proof = Proof::of(app, &page, None, said).await?;
    let terms = app.by_holder.terms.as_ref();
    let choose = ChoosePin {
        title: page
            .language
            .asks_to_make(&authorization.client.registration.name),
        request: authorization.id.to_string(),
        description: authorization.asked.description.clone(),
        name: format!("{} {}", holder.given_name, holder.surname),
        terms: terms.map(|(terms, url)| (terms.version.clone(), url.clone())),
        may_choose: said != Some(Said::NoFactor),
        proof,
        ends: page
            .language
            .ends_in(authorization.expires - app.clock.now()),
        page,
    };
    Ok(respond_leading_to(
        &authorization.asked.redirect_uri,
        &choose,
    ))
}

async fn agree(
    app: &App,
    visitor: &Visitor,
    authorization: &Authorization,
    credential: &Credential,
    stage: Stage,
    said: Option<Said>,
) -> Result<Response, Problem> {
    let page = Page::ending(app, visitor, authorization.expires);
    let proof = Proof::of_life(app, &page, credential, said).await?;
    let proves = !proof.is_locked() && (stage == Stage::Prove || !proof.is_sent());
    let (t, language) = (page.t, page.language);
    let client = &authorization.client.registration.name;
    let deletes = authorization.asked.scope != Scope::Creation;
    let (title, text, yes, no) = match deletes {
        true => (
            language.asks_to_delete(client),
            t.delete_text,
            t.delete_it,
            t.do_not_delete,
        ),
        false => (
            language.asks_to_make(client),
            t.confirm_new_text,
            t.confirm_new,
            t.do_not_make,
        ),
    };
    let life = Life {
        title,
        request: authorization.id.to_string(),
        description: authorization.asked.description.clone(),
        text,
        name: credential.description.clone(),
        until: date(credential.not_after),
        proof,
        proves,
        yes,
        no,
        ends: language.ends_in(authorization.expires - app.clock.now()),
        page,
    };
    Ok(respond_leading_to(&authorization.asked.redirect_uri, &life))
}

/// What comes after his answer: back to the application, or a page that says something.
pub(super) async fn decide(
    app: &App,
    authorization: &Authorization,
    session: &Session,
    act: &str,
    posted: &Posted,
) -> Result<Result<Redirect, (Stage, Option<Said>)>, Problem> {
    match act {
        "make" => Ok(Err((
            Stage::Look,
            make(app, authorization, session, posted).await?,
        ))),
        "send" => send(app, authorization, session).await.map(Err),
        "agree" => confirm(app, authorization, session, posted).await,
        _ => Err(Problem::BadRequest),
    }
}

/// Makes the key under the PIN that he chose.
async fn make(
    app: &App,
    authorization: &Authorization,
    session: &Session,
    posted: &Posted,
) -> Result<Option<Said>, Problem> {
    trusted(app)?;
    let holder = &session.holder;
    let Some(known) = app.authorizations.known(holder).await? else {
        return Ok(Some(Said::NoFactor));
    };
    let digits = |name| -> Zeroizing<String> {
        let text = posted.get(name).unwrap_or_default();
        Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect())
    };
    let (chosen, again) = (digits("pin"), digits("again"));
    if chosen != again {
        return Ok(Some(Said::OtherPin));
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let Ok(pin) = NewPin::choose(&chosen, &known) else {
        return Ok(Some(Said::WeakPin));
    };
    // He went back, and sent it again: it is made, and shown.
    let concerned = app.authorizations.concerned(authorization, &holder.id);
    if concerned.await?.is_none() {
        let made = app
            .authorizations
            .make(authorization, &holder.id, &pin, &app.by_holder);
        made.await?;
    }
    Ok(None)
}

async fn send(
    app: &App,
    authorization: &Authorization,
    session: &Session,
) -> Result<(Stage, Option<Said>), Problem> {
    let sent = app
        .authorizations
        .send_life_code(authorization, &session.holder.id);
    match sent.await {
        Ok(()) => Ok((Stage::Prove, Some(Said::Sent))),
        Err(Error::Factor(factor::Error::Offline)) => Ok((Stage::Prove, None)),
        Err(Error::Factor(error)) => match Said::of_sending(&error) {
            Some(said @ Said::TooSoon(_)) => Ok((Stage::Prove, Some(said))),
            Some(said) => Ok((Stage::Look, Some(said))),
            None => Err(Error::Factor(error).into()),
        },
        Err(error) => Err(error.into()),
    }
}

async fn confirm(
    app: &App,
    authorization: &Authorization,
    session: &Session,
    posted: &Posted,
) -> Result<Result<Redirect, (Stage, Option<Said>)>, Problem> {
    trusted(app)?;
    let approval = match proof::read(posted) {
        Ok(approval) => approval,
        Err(said) => return Ok(Err((Stage::Prove, Some(said)))),
    };
    let (holder, id) = (&session.holder.id, &session.id);
    let agreed = app
        .authorizations
        .agree(authorization, holder, approval, id);
    let error = match agreed.await {
        Ok(back) => return Ok(Ok(back)),
        Err(Error::Credential(error)) => error,
        Err(error) => return Err(error.into()),
    };
    match Said::of(&error) {
        Some(Said::WrongCode) => Ok(Err((Stage::Prove, Some(Said::WrongCode)))),
        Some(said) => Ok(Err((Stage::Look, Some(said)))),
        None => Err(Error::Credential(error).into()),
    }
}

/// Nothing begins or ends while nobody knows what time it is (SC-87).
fn trusted(app: &App) -> Result<(), Problem> {
    let trusted = app.time.check();
    trusted.map_err(|distrust| Problem::Unavailable(distrust.to_string()))
}
