//! `Authorization: Bearer …` → [`ServiceAccess`].

use axum::extract::FromRequestParts;
use http::{header, request::Parts};

use super::{fault::Fault, leniency::Caller};
use crate::{
    app::App,
    oauth::{ServiceAccess, switches::Switch},
};

impl FromRequestParts<App> for ServiceAccess {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Fault::Header);
        };
        let (scheme, token) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or(Fault::Header)?;
        if !scheme.eq_ignore_ascii_case("bearer")
            || token.is_empty()
            || token.contains(char::is_whitespace)
        {
            return Err(Fault::Header);
        }
        let mut access = app.tokens.access(token).await?;
        if let Some(caller) = parts.extensions.get::<Caller>() {
            caller.is(&access.client);
        }
        let client = app.clients.find(&access.client).await?;
        let client = client.ok_or(Fault::InvalidToken)?;
        app.rates.client(&client).await?;
        access.sad_goes_on = client.registration.switches.has(Switch::SadGoesOn);
        Ok(access)
    }
}
