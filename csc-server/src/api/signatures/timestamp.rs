//! signatures/timestamp (CSC v1 11.10, v2 11.13).

use ades::timestamp::{Imprint, Nonce};
use axum::{Extension, Json, extract::State};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    api::{algorithms, dialect::Call, fault::Fault, params::Params},
    app::App,
    oauth::ServiceAccess,
    signing::document::digest_in_documents,
    timestamp::Asker,
};

/// Hexadecimal digits of the longest nonce.
const NONCE: usize = 64;

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    access: ServiceAccess,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let hash = params.string("hash")?;
    if hash.is_empty() {
        return Err(Fault::Text("Empty hash parameter"));
    }
    let hash = BASE64_STANDARD
        .decode(hash)
        .map_err(|_| Fault::Text("Invalid Base64 hash string parameter"))?;
    let algorithm = algorithms::digest(params.string("hashAlgo")?, "hashAlgo")?;
    let imprint = Imprint::new(digest_in_documents(algorithm), hash)
        .map_err(|_| Fault::Text("Invalid digest value length"))?;
    let nonce = params.optional_string("nonce")?.map(nonce).transpose()?;
    params.check_free_text()?;

    let person = match &access.holder {
        Some(holder) => app.accounts.by_id(holder).await?,
        None => None,
    };
    let asker = Asker {
        client: access.client.as_str(),
        person: person.as_ref().map_or("", |holder| &holder.pseudonym),
        request: &call.request,
    };
    let token = app.tsa.stamp(&imprint, nonce, asker).await?;
    Ok(Json(json!({ "timestamp": BASE64_STANDARD.encode(token) })))
}

/// A number in hexadecimal, of odd length or with leading zeros or not.
fn nonce(text: &str) -> Result<Nonce, Fault> {
    let invalid = Fault::Invalid("nonce");
    if text.is_empty() || text.len() > NONCE {
        return Err(invalid);
    }
    let even = format!("{}{text}", if text.len() % 2 == 1 { "0" } else { "" });
    let octets = hex::decode(even).map_err(|_| Fault::Invalid("nonce"))?;
    Nonce::new(&octets).map_err(|_| invalid)
}
