//! What an application may do in the holder's name (scope `service`): yes or no. It lets nothing sign.

use askama::Template;
use axum::response::Response;

use super::{
    page::{Page, respond_leading_to},
    visitor::Visitor,
};
use crate::{app::App, authorization::Authorization};

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent {
    page: Page,
    title: String,
    request: String,
    description: Option<String>,
    allow: String,
}

/// Shows the page.
pub(super) fn page(app: &App, visitor: &Visitor, authorization: &Authorization) -> Response {
    let page = Page::ending(app, visitor, authorization.expires);
    let client = &authorization.client.registration.name;
    let consent = Consent {
        title: page.language.asks_access(client),
        allow: page.language.allow(client),
        request: authorization.id.to_string(),
        description: authorization.asked.description.clone(),
        page,
    };
    respond_leading_to(&authorization.asked.redirect_uri, &consent)
}
