//! credentials/create (CSC v2.2): the client takes up the credential that the holder had made for it on our page. What it asks for is compared with
//! what was made; a request that does not go with it leaves the token good.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::view::{Detail, said, view};
use crate::{
    api::{bearer::Life, dialect::Version, fault::Fault, params::Params},
    app::App,
    credential::{self, Credential},
    holder::Holder,
};

const REQUEST: &str = "credentialCreationRequest";

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    access: Life<false>,
    params: Params,
) -> Result<Response, Fault> {
    let wanted = params.object(REQUEST)?;
    let detail = Detail::read(&params, app.info.lang.as_str())?;
    let with_info = params.flag("credentialInfo")?;
    params.check_free_text()?;
    let id = access.credential();
    let found = Credential::by_id(&app.store, &id).await?;
    let credential = found.ok_or(Fault::ExpiredToken)?;
    let holder = app.accounts.by_id(&credential.holder).await?;
    let holder = holder.ok_or(Fault::ExpiredToken)?;
    fits(wanted, &credential, &holder)?;
    // One of two calls at once takes it up.
    match app.keys.take_up(&credential).await {
        Ok(()) => access.use_up(&app).await?,
        Err(credential::Error::WrongState(_)) => return Err(Fault::ExpiredToken),
        Err(error) => return Err(error.into()),
    }

    let credential = Credential::owned_by(&app.store, &access.service, &id).await?;
    let mut answer = Map::new();
    if with_info {
        answer = view(&app, &credential, &detail, Version::V2).await?;
        params.leniency.describe(&mut answer);
    }
    answer.insert("credentialID".into(), json!(id.as_str()));
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Whether the certificate is of the policy that is asked for, and the holder the one who is described.
fn fits(
    wanted: &Map<String, Value>,
    credential: &Credential,
    holder: &Holder,
) -> Result<(), Fault> {
    let text = |object: &Map<String, Value>, name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    };
    if let Some(policy) =
        text(wanted, "certificatePolicy").map_err(|()| Fault::Invalid("certificatePolicy"))?
    {
        let said = said(credential)?;
        if !said.policies.iter().any(|one| one.to_string() == policy) {
            return Err(Fault::Invalid("certificatePolicy"));
        }
    }
    const SUBJECT: &str = "subjectData";
    let subject = match wanted.get(SUBJECT) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(subject)) => subject,
        Some(_) => return Err(Fault::Invalid(SUBJECT)),
    };
    // The names of OpenID Connect Core 5.1; what the service does not know of him it does not vouch for.
    let name = format!("{} {}", holder.given_name, holder.surname);
    let known = [
        ("given_name", holder.given_name.as_str()),
        ("family_name", holder.surname.as_str()),
        ("name", name.as_str()),
        ("email", holder.email.as_str()),
    ];
    for claim in subject.keys() {
        let said = text(subject, claim).map_err(|()| Fault::Invalid(SUBJECT))?;
        let is = known.iter().find(|(name, _)| name == claim);
        let is = is.map(|(_, value)| (*value).to_owned());
        if said.is_some() && said != is {
            return Err(Fault::Invalid(SUBJECT));
        }
    }
    Ok(())
}
