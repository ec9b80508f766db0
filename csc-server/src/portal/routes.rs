//! Every URL of a page.

use axum::{Router, middleware::from_fn_with_state};

use super::{assets, authorize, home, login, mandates, question, visitor};
use crate::{app::App, routes::Routes};

/// The pages.
pub fn routes() -> Routes<App> {
    Routes::new()
        .get(authorize::PATH, authorize::show)
        .post(authorize::PATH, authorize::decide)
        .get("/portal", home::show)
        .get("/portal/mandates", mandates::show)
        .post("/portal/mandates", mandates::decide)
        .get("/portal/login", login::show)
        .post("/portal/login", login::decide)
        .get("/approve/{link}", question::show)
        .post("/approve/{link}", question::decide)
        .post("/portal/logout", login::log_out)
        .get("/portal/style.css", assets::style)
        .get("/portal/icon.svg", assets::icon)
}

/// Gives pages what all have in common: who visits, the headers that keep others out, words for a [`super::Problem`].
pub fn under_one_roof(pages: Routes<App>, app: &App) -> Router<App> {
    let roof = from_fn_with_state(app.clone(), visitor::receive);
    pages.into_router().layer(roof)
}
