//! Log-in by user name and password, and log-out. The log-in opens no key: whoever signs proves himself once more, with PIN and code.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, Uri};

use super::{
    authorize,
    form::Posted,
    page::{Page, respond},
    problem::Problem,
    visitor::{self, Visitor, parameter, with_cookie},
};
use crate::{
    app::App,
    authorization::Authorizations,
    holder::{self, Session},
    ids::ClientId,
    listener::PeerAddress,
    rates,
};

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    page: Page,
    next: String,
    user_name: String,
    failed: bool,
    /// He came here to answer an application.
    asked: Option<String>,
}

/// Where a log-in leads: a page of ours, never another site.
struct Goal(String);

impl Goal {
    const HOME: &str = "/portal";

    fn parse(path: Option<&str>) -> Self {
        let ours = |path: &&str| {
            let plain = |c: u8| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'/' | b'-' | b'_')
            };
            path.len() <= 128
                && path.starts_with('/')
                && !path.contains("//")
                && path.bytes().all(plain)
        };
        Self(path.filter(ours).unwrap_or(Self::HOME).to_owned())
    }
}

/// The way to the log-in that leads back to this path.
pub(super) fn way_to(path: &str) -> Response {
    let Goal(path) = Goal::parse(Some(path));
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", &path)
        .finish();
    Redirect::to(&format!("/portal/login?{query}")).into_response()
}

/// Shows the page.
pub(super) async fn show(State(app): State<App>, visitor: Visitor, uri: Uri) -> Response {
    let Goal(next) = Goal::parse(parameter(&uri, "next").as_deref());
    if visitor.session().is_some() {
        return Redirect::to(&next).into_response();
    }
    page(&app, &visitor, next, String::new(), false).await
}

/// Logs in: the secret of the browser changes, and the session that was there ends.
pub(super) async fn decide(
    State(app): State<App>,
    peer: Option<Extension<PeerAddress>>,
    visitor: Visitor,
    posted: Posted,
) -> Result<Response, Problem> {
    let Goal(next) = Goal::parse(posted.get("next"));
    let user_name = posted.get("user").unwrap_or_default();
    let password = posted.exact("password").unwrap_or_default();
    let address = peer.map(|Extension(PeerAddress(peer))| peer.ip());
    match app.rates.log_in(user_name, address).await {
        Ok(()) => {}
        Err(rates::Error::TooOften { .. }) => {
            return Ok(page(&app, &visitor, next, user_name.to_owned(), true).await);
        }
        Err(rates::Error::Store(error)) => return Err(holder::Error::Store(error).into()),
    }
    let client = ClientId::direct();
    let holder = match app.accounts.log_in(user_name, password, &client).await {
        Ok(holder) => holder,
        Err(holder::Error::NotLoggedIn) => {
            return Ok(page(&app, &visitor, next, user_name.to_owned(), true).await);
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(earlier) = visitor.session() {
        end(&app, earlier).await?;
    }
    let secret = app.sessions.begin(&holder).await?;
    Ok(with_cookie(Redirect::to(&next), &visitor::begin(&secret)))
}

/// Ends the session.
pub(super) async fn log_out(
    State(app): State<App>,
    visitor: Visitor,
    _posted: Posted,
) -> Result<Response, Problem> {
    if let Some(session) = visitor.session() {
        end(&app, session).await?;
    }
    let home = Redirect::to("/portal/login");
    Ok(with_cookie(home, &visitor::end()))
}

/// Ends a session, and before it the codes of applications that were given under it and not traded yet (SC-46).
async fn end(app: &App, session: &Session) -> Result<(), Problem> {
    let id = session.id.clone();
    let codes = app
        .store
        .write(async move |tx| Authorizations::end_session(tx, &id).await);
    codes.await?;
    Ok(app.sessions.end(session).await?)
}

async fn page(
    app: &App,
    visitor: &Visitor,
    next: String,
    user_name: String,
    failed: bool,
) -> Response {
    // Who asks, and in which language, where he comes from an application.
    let asked = match next.as_str() {
        authorize::PATH => authorize::pending(app, visitor).await.ok(),
        _ => None,
    };
    let language = asked
        .as_ref()
        .and_then(|asked| asked.asked.language.as_deref());
    let page = Page::of(app, &visitor.asked(language));
    let login = Login {
        asked: asked.map(|asked| page.language.log_in_asked(&asked.client.registration.name)),
        page,
        next,
        // Enough to know it again.
        user_name: user_name.chars().take(64).collect(),
        failed,
    };
    let status = match failed {
        true => StatusCode::FORBIDDEN,
        false => StatusCode::OK,
    };
    respond(status, &login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_to_no_other_site() {
        for path in [
            "https://evil.example",
            "//evil.example",
            "/portal//x",
            "/\\evil.example",
            "/a?b",
            "x",
            "",
        ] {
            assert_eq!(Goal::parse(Some(path)).0, Goal::HOME, "{path}");
        }
        assert_eq!(Goal::parse(Some("/authorize")).0, "/authorize");
        assert_eq!(Goal::parse(None).0, Goal::HOME);
    }
}
