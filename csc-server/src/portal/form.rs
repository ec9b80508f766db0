//! What a page posts. Believed only when the browser says that it comes from a page of ours, and when it carries the token of this
//! visitor's pages (OWASP ASVS 3.5.1).

use std::collections::HashMap;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::{HeaderMap, Uri, header};
use http_body_util::{BodyExt, Limited};
use zeroize::Zeroizing;

use super::{problem::Problem, visitor::Visitor};
use crate::app::App;

/// Largest form taken, in octets.
const FORM: usize = 16 * 1024;
/// The hidden field with the token.
const TOKEN: &str = "token";

/// The fields of a form, each given once.
pub(crate) struct Posted {
    fields: HashMap<String, Zeroizing<String>>,
}

impl Posted {
    /// A field without the spaces around it; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.exact(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// A field as it was typed.
    pub(crate) fn exact(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.as_str())
    }
}

impl FromRequest<App> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        if !is_ours(&parts.headers, &parts.uri, &app.public_url) {
            return Err(Problem::Stale);
        }
        let body = Limited::new(body, FORM).collect().await;
        let body = Zeroizing::new(body.map_err(|_| Problem::Stale)?.to_bytes().to_vec());
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&body) {
            let value = Zeroizing::new(value.into_owned());
            if fields.insert(name.into_owned(), value).is_some() {
                return Err(Problem::Stale);
            }
        }
        let posted = Self { fields };
        match posted.exact(TOKEN) {
            Some(token) if visitor.has_token(token) => Ok(posted),
            _ => Err(Problem::Stale),
        }
    }
}

/// Whether the browser says that a page of this service sent it. Browsers that do not say so at all rest on the token alone; our own
/// pages send no origin, because they send no referrer.
fn is_ours(headers: &HeaderMap, uri: &Uri, public_url: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-fetch-site") {
        return text(header::HeaderName::from_static("sec-fetch-site")) == Some("same-origin");
    }
    let Some(origin) = text(header::ORIGIN).filter(|origin| *origin != "null") else {
        return !headers.contains_key(header::ORIGIN) || text(header::ORIGIN) == Some("null");
    };
    let host = text(header::HOST).or_else(|| uri.authority().map(|host| host.as_str()));
    origin == public_url || host.is_some_and(|host| origin.strip_prefix("https://") == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        is_ours(
            &map,
            &Uri::from_static("/portal/login"),
            "https://sign.example",
        )
    }

    #[test]
    fn a_form_of_another_site_is_not_ours() {
        assert!(ours(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "null")
        ]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!ours(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(ours(&[("origin", "https://sign.example")]));
        assert!(ours(&[
            ("origin", "https://localhost:1"),
            ("host", "localhost:1")
        ]));
        assert!(!ours(&[
            ("origin", "http://localhost:1"),
            ("host", "localhost:1")
        ]));
        assert!(!ours(&[
            ("origin", "https://evil.example"),
            ("host", "sign.example")
        ]));
        assert!(ours(&[]));
        assert!(ours(&[("origin", "null")]));
    }
}
