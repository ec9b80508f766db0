//! What all pages have in common, and how one is answered.

use std::sync::Arc;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{language::Language, problem::Problem, texts::Texts, visitor::Visitor};
use crate::{app::App, clock::Millis};

/// What the layout of a page needs.
pub(super) struct Page {
    pub(super) language: Language,
    pub(super) t: &'static Texts,
    /// What the service calls itself.
    pub(super) service: String,
    pub(super) path: String,
    /// Who is logged in.
    pub(super) user: Option<String>,
    /// The token of forms.
    pub(super) token: String,
    /// Seconds until the page is asked for again by itself, where what it shows ends then.
    pub(super) refresh: Option<i64>,
}

impl Page {
    pub(super) fn of(app: &App, visitor: &Visitor) -> Self {
        let user = visitor.session().map(|session| {
            let holder = &session.holder;
            format!("{} {}", holder.given_name, holder.surname)
        });
        Self {
            language: visitor.language(),
            t: Texts::of(visitor.language()),
            service: app.info.name.clone(),
            path: visitor.path().to_owned(),
            user,
            token: visitor.token(),
            refresh: None,
        }
    }

    /// A page about a request that ends: it is asked for again then, and says so.
    pub(super) fn ending(app: &App, visitor: &Visitor, ends: Millis) -> Self {
        let seconds = (ends - app.clock.now()).max(0) / 1000 + 1;
        Self {
            refresh: Some(seconds),
            ..Self::of(app, visitor)
        }
    }

    /// The languages, and whether the page speaks it.
    pub(super) fn languages(&self) -> [(Language, bool); 2] {
        Language::ALL.map(|language| (language, language == self.language))
    }
}

/// A page.
pub fn respond(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => Problem::Internal(error.to_string()).into_response(),
    }
}

/// A page whose form ends at an application: browsers hold the redirect that answers a form against `form-action` too.
pub fn respond_leading_to(target: &str, template: &impl Template) -> Response {
    let mut response = respond(StatusCode::OK, template);
    let policy = policy(&format!("'self' {}", source(target)));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What is said when not even the visitor is known.
pub(super) fn bare(app: &App, problem: &Problem) -> Response {
    problem.log();
    let language = Language::parse(&app.info.lang).unwrap_or(Language::English);
    let text = Texts::of(language).unavailable_text;
    (problem.status(), text).into_response()
}

/// The headers of every page (SC-69).
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY)
        && let Ok(policy) = HeaderValue::from_str(&policy("'self'"))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Nothing but our own style sheet and picture; no script at all.
fn policy(form_action: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// Where a URL leads, as a source of a policy: its origin, or the scheme of an app on a phone.
fn source(target: &str) -> String {
    let Ok(url) = url::Url::parse(target) else {
        return String::new();
    };
    match url.scheme() {
        "https" | "http" => url.origin().ascii_serialization(),
        scheme => format!("{scheme}:"),
    }
}

impl Problem {
    /// The problem as a page.
    pub(super) fn page(self: Arc<Self>, app: &App, visitor: &Visitor) -> Response {
        #[derive(Template)]
        #[template(path = "problem.html")]
        struct Shown {
            page: Page,
            title: &'static str,
            text: &'static str,
            home: bool,
        }
        self.log();
        if let Self::LogIn(path) = &*self {
            return super::login::way_to(path);
        }
        let page = Page::of(app, visitor);
        let (title, text) = self.words(page.t);
        let shown = Shown {
            page,
            title,
            text,
            home: self.leads_home(),
        };
        respond(self.status(), &shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_the_origin_of_the_application_and_no_further() {
        assert_eq!(source("https://app.example/cb?x=1"), "https://app.example");
        assert_eq!(source("http://127.0.0.1:7000/cb"), "http://127.0.0.1:7000");
        assert_eq!(source("com.example.app:/cb"), "com.example.app:");
        assert_eq!(source("; script-src *"), "");
    }
}
