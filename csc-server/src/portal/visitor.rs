//! Whose browser it is. One cookie: random before the log-in, replaced by the secret of a session at the log-in, so that nobody logs in to a
//! session that somebody else began. Every form carries a token made from it.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{language::Language, page, problem::Problem};
use crate::{app::App, holder::Session, ids::random_id};

/// `__Host-`: of this host alone, over TLS alone, whatever a neighbour sets. Lax, not Strict: the redirect from an application brings
/// it along; a form of another site does not.
const COOKIE: &str = "__Host-csc";
const LANGUAGE: &str = "__Host-csc-language";
const KEPT: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// Who visits.
#[derive(Clone)]
pub struct Visitor(Arc<Inner>);

struct Inner {
    secret: Zeroizing<String>,
    session: Option<Session>,
    language: Language,
    /// By the visitor himself, on a page.
    chosen: bool,
    path: String,
    cookies: Vec<(String, Zeroizing<String>)>,
}

impl Visitor {
    async fn of(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(Self, Vec<String>), Problem> {
        let cookies = cookies(headers);
        let cookie = |name: &str| {
            let mut found = cookies.iter().filter(|(given, _)| given == name);
            // Twice: somebody put one beside ours.
            let first = found.next().map(|(_, value)| value.clone());
            first.filter(|_| found.next().is_none())
        };
        let mut answers = Vec::new();
        let secret = cookie(COOKIE).filter(|secret| (32..=128).contains(&secret.len()));
        let session = match &secret {
            Some(secret) => app.sessions.find(secret).await?,
            None => None,
        };
        let secret = secret.unwrap_or_else(|| {
            let fresh = Zeroizing::new(format!("{}{}", random_id(), random_id()));
            answers.push(kept(COOKIE, &fresh));
            fresh
        });

        let switched = parameter(uri, "lang").and_then(|tag| Language::parse(&tag));
        if let Some(language) = switched {
            answers.push(kept(LANGUAGE, language.tag()));
        }
        let chosen = switched.or_else(|| cookie(LANGUAGE).and_then(|tag| Language::parse(&tag)));
        let of_holder = || Language::parse(&session.as_ref()?.holder.language);
        let language = chosen
            .or_else(|| Language::of_browser(headers))
            .or_else(of_holder)
            .or_else(|| Language::parse(&app.info.lang));
        let visitor = Inner {
            secret,
            session,
            language: language.unwrap_or(Language::English),
            chosen: chosen.is_some(),
            path: uri.path().to_owned(),
            cookies,
        };
        Ok((Self(Arc::new(visitor)), answers))
    }

    /// The session of who is logged in.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.0.session.as_ref()
    }

    /// The session, or else the way to the log-in that leads back here.
    pub(crate) fn logged_in(&self) -> Result<&Session, Problem> {
        self.session()
            .ok_or_else(|| Problem::LogIn(self.0.path.clone()))
    }

    /// The language of his pages.
    pub(crate) fn language(&self) -> Language {
        self.0.language
    }

    /// The path of the page he asked for.
    pub(crate) fn path(&self) -> &str {
        &self.0.path
    }

    /// The value of another cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut found = self.0.cookies.iter().filter(|(given, _)| given == name);
        let first = found.next().map(|(_, value)| value.as_str());
        first.filter(|_| found.next().is_none())
    }

    /// The same visitor where an application asked for a language: what he chose himself goes first.
    pub fn asked(&self, tag: Option<&str>) -> Self {
        let asked = tag.and_then(Language::parse);
        match asked.filter(|_| !self.0.chosen) {
            Some(language) => Self(Arc::new(Inner {
                language,
                secret: self.0.secret.clone(),
                session: self.0.session.clone(),
                chosen: self.0.chosen,
                path: self.0.path.clone(),
                cookies: self.0.cookies.clone(),
            })),
            None => self.clone(),
        }
    }

    /// What every form of his pages carries, and nobody else can make (SC-42).
    pub(crate) fn token(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"form/1");
        hash.update(self.0.secret.as_bytes());
        hex::encode(hash.finalize())
    }

    /// Whether this is the token of his pages.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        self.token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or(Problem::NotFound)
    }
}

/// The layer of every page.
pub(super) async fn receive(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let visitor = Visitor::of(&app, request.uri(), request.headers()).await;
    let (visitor, cookies) = match visitor {
        Ok(visitor) => visitor,
        Err(problem) => return page::guarded(page::bare(&app, &problem)),
    };
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions().get::<Arc<Problem>>() {
        response = problem.clone().page(&app, &visitor);
    }
    for cookie in cookies {
        // What the handler set of the same name goes after, and counts.
        append_before(&mut response, &cookie);
    }
    page::guarded(response)
}

/// The cookie of a session that just began.
pub(crate) fn begin(secret: &str) -> String {
    kept(COOKIE, secret)
}

/// Takes the cookie of a session back.
pub(crate) fn end() -> String {
    forget(COOKIE)
}

/// Takes a cookie back.
pub(crate) fn forget(name: &str) -> String {
    format!("{name}=; Max-Age=0{KEPT}")
}

/// Adds a cookie to an answer.
pub(crate) fn with_cookie(response: impl IntoResponse, cookie: &str) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn append_before(response: &mut Response, cookie: &str) {
    let name = cookie.split('=').next().unwrap_or_default();
    let set = response.headers().get_all(header::SET_COOKIE);
    let ours = set.iter().any(|set| {
        let set = set.as_bytes();
        set.starts_with(name.as_bytes()) && set.get(name.len()) == Some(&b'=')
    });
    if let (false, Ok(value)) = (ours, HeaderValue::from_str(cookie)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A cookie of ours.
pub(crate) fn kept(name: &str, value: &str) -> String {
    format!("{name}={value}{KEPT}")
}

fn cookies(headers: &HeaderMap) -> Vec<(String, Zeroizing<String>)> {
    let lines = headers.get_all(header::COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs
        .take(64)
        .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
        .collect()
}

/// A parameter of the URL.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?.as_bytes();
    let mut pairs = url::form_urlencoded::parse(query);
    pairs
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.into_owned())
}
