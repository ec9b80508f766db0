//! The mandates for automatic signature that the holder gave: what each lets which application do, and the button that ends it at once. A
//! mandate is given with PIN and code, at the terminal (`csc-server mandate give`); to end one his log-in is enough, as it only takes away.

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{
    form::Posted,
    page::{Page, respond},
    problem::Problem,
    visitor::Visitor,
};
use crate::{
    app::App,
    clock::minute,
    credential::mandate::{Mandate, Standing},
    ids::{ActivationId, ClientId},
};

/// Mandates shown: those in force first.
const SHOWN: u32 = 100;

#[derive(Template)]
#[template(path = "mandates.html")]
struct Mandates {
    page: Page,
    /// What is said about the one he just stopped.
    stopped: Option<String>,
    mandates: Vec<Shown>,
}

struct Shown {
    id: String,
    client: String,
    state: &'static str,
    in_force: bool,
    used: String,
    rate: String,
    documents: String,
    given: String,
    until: String,
}

/// Shows them.
pub(super) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    page(&app, &visitor, None).await
}

/// Stops one.
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    posted: Posted,
) -> Result<Response, Problem> {
    let holder = &visitor.logged_in()?.holder.id;
    let id = posted.get("mandate").ok_or(Problem::Stale)?;
    let id = ActivationId::new(id);
    app.keys.stop_mandate(holder, &id).await?;
    page(&app, &visitor, Some(&id)).await
}

/// The page, after this one was stopped; it may have ended before.
async fn page(
    app: &App,
    visitor: &Visitor,
    stopped: Option<&ActivationId>,
) -> Result<Response, Problem> {
    let holder = &visitor.logged_in()?.holder.id;
    let page = Page::of(app, visitor);
    let mut mandates = Vec::new();
    let mut said = None;
    for mandate in app.keys.mandates(holder, SHOWN).await? {
        let client = ClientId::new(mandate.terms.client.as_str());
        let name = match app.clients.find(&client).await? {
            Some(client) => client.registration.name.clone(),
            None => client.to_string(),
        };
        if stopped == Some(&mandate.id) {
            said = Some(page.language.mandate_stopped(&name));
        }
        mandates.push(Shown::of(&page, mandate, name));
    }
    if stopped.is_some() && said.is_none() {
        return Err(Problem::NotFound);
    }
    let mandates = Mandates {
        page,
        stopped: said,
        mandates,
    };
    Ok(respond(StatusCode::OK, &mandates))
}

impl Shown {
    fn of(page: &Page, mandate: Mandate, client: String) -> Self {
        let (t, language) = (page.t, page.language);
        let used = language.used_of(mandate.used(), mandate.terms.count);
        let left = language.left(mandate.remaining);
        let (terms, standing) = (mandate.terms, mandate.standing);
        Self {
            id: mandate.id.to_string(),
            client,
            state: match standing {
                Standing::InForce => t.in_force,
                Standing::Ended => t.ended_mandate,
                Standing::UsedUp => t.used_up,
                Standing::Expired => t.expired,
            },
            in_force: standing == Standing::InForce,
            // What is left of one that has ended is nothing.
            used: match standing {
                Standing::InForce => format!("{used}, {left}"),
                _ => used,
            },
            rate: language.rate(terms.rate.count, terms.rate.period),
            documents: terms.documents.join(", "),
            given: minute(terms.issued),
            until: minute(terms.expires),
        }
    }
}
