//! Log-in by user name and password, and log-out. The log-in opens no key: whoever signs proves himself once more, with PIN and code.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, Uri};

use super::{
    form::Posted,
    page::{Page, respond},
    problem::Problem,
    visitor::{self, Visitor, parameter, with_cookie},
};
use crate::{app::App, holder, ids::ClientId, listener::PeerAddress, rates};

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    page: Page,
    next: String,
    user_name: String,
    failed: bool,
    /// He came here to answer an application.
    asked: bool,
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
    page(&app, &visitor, next, String::new(), false)
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
            return Ok(page(&app, &visitor, next, user_name.to_owned(), true));
        }
        Err(rates::Error::Store(error)) => return Err(holder::Error::Store(error).into()),
    }
    let client = ClientId::direct();
    let holder = match app.accounts.log_in(user_name, password, &client).await {
        Ok(holder) => holder,
        Err(holder::Error::NotLoggedIn) => {
            return Ok(page(&app, &visitor, next, user_name.to_owned(), true));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(earlier) = visitor.session() {
        app.sessions.end(earlier).await?;
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
        app.sessions.end(session).await?;
    }
    let home = Redirect::to("/portal/login");
    Ok(with_cookie(home, &visitor::end()))
}

fn page(app: &App, visitor: &Visitor, next: String, user_name: String, failed: bool) -> Response {
    let login = Login {
        page: Page::of(app, visitor),
        asked: next != Goal::HOME,
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
