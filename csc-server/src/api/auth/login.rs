//! auth/login (CSC v1 11.2, v2 11.2): a holder logs in by HTTP Basic, or with a refresh token.

use axum::{Extension, Json, extract::State};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    api::{
        basic::{BasicError, basic},
        fault::Fault,
        params::Params,
    },
    app::App,
    ids::ClientId,
    listener::PeerAddress,
    oauth::{
        Caller, Proven, ServiceAccess,
        token::{self, Issued},
    },
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Json<Value>, Fault> {
    params.check_free_text()?;
    let remember = params.flag("rememberMe")?;
    let issued = match (basic(&headers), params.has("refresh_token")) {
        (Some(_), true) => return Err(Fault::Malformed),
        (None, false) | (Some(Err(BasicError::Header)), false) => return Err(Fault::LoginHeader),
        (Some(Err(BasicError::Pair)), false) => return Err(Fault::LoginPair),
        (Some(Ok((user_name, password))), false) => {
            let address = peer.map(|Extension(PeerAddress(peer))| peer.ip());
            app.rates.log_in(&user_name, address).await?;
            let client = ClientId::direct();
            let holder = app.accounts.log_in(&user_name, &password, &client).await?;
            app.tokens
                .issue(&ServiceAccess::new(client, Some(holder.id)), remember)
                .await?
        }
        (None, true) => {
            let wrong_type = |_| Fault::Text("Invalid string parameter: refresh_token");
            let token = params.string("refresh_token").map_err(wrong_type)?;
            let nobody = Caller {
                proven: Proven::Not,
                confirmation: None,
            };
            app.tokens
                .refresh(token, &ClientId::direct(), nobody)
                .await
                .map_err(|error| match error {
                    token::Error::Unknown | token::Error::Expired | token::Error::Reused(_) => {
                        Fault::Text("Invalid refresh_token")
                    }
                    error => error.into(),
                })?
        }
    };
    Ok(Json(answer(issued)))
}

fn answer(issued: Issued) -> Value {
    let mut answer = json!({ "access_token": issued.access, "expires_in": issued.expires_in });
    if let (Some(refresh), Some(answer)) = (issued.refresh, answer.as_object_mut()) {
        answer.insert("refresh_token".into(), json!(refresh));
    }
    answer
}
