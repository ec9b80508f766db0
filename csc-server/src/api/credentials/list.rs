//! credentials/list (CSC v1 11.4, v2 11.4).

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use super::view::{Detail, view};
use crate::{
    api::{
        dialect::{Call, Version},
        fault::Fault,
        params::Params,
    },
    app::App,
    credential::Credential,
    ids::HolderId,
    oauth::{ServiceAccess, switches::Switch},
};

/// The most credentials of one page.
const PAGE: u32 = 100;

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    access: ServiceAccess,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let user = params
        .optional_string("userID")?
        .filter(|user| !user.is_empty());
    params.check_free_text()?;
    match call.version {
        Version::V1 => {
            let (limit, after) = page(&params)?;
            let holder = holder(&app, &access, user).await?;
            let mut found = Credential::of_holder(&app.store, &holder, &after, limit + 1).await?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let ids: Vec<_> = found
                .iter()
                .map(|credential| credential.id.as_str())
                .collect();
            let mut answer = json!({ "credentialIDs": ids });
            if let (true, Some(last), Some(answer)) = (more, ids.last(), answer.as_object_mut()) {
                answer.insert("nextPageToken".into(), json!(last));
            }
            Ok(Json(answer))
        }
        Version::V2 => {
            let detail = Detail::read(&params, app.info.lang.as_str())?;
            let (with_info, only_valid) =
                (params.flag("credentialInfo")?, params.flag("onlyValid")?);
            let holder = holder(&app, &access, user).await?;
            let now = app.clock.now();
            let asked = params.has("maxResults") || params.has("pageToken");
            let paged = asked && params.leniency.has(Switch::PagingInV2);
            // Without paging in v2 the bound stands for all.
            let (limit, after) = match paged {
                true => page(&params)?,
                false => (10 * PAGE, String::new()),
            };
            let mut found = Credential::of_holder(&app.store, &holder, &after, limit + 1).await?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let last = found.last().map(|credential| credential.id.to_string());
            found.retain(|credential| !only_valid || app.keys.may_sign(credential, now).is_ok());
            let ids: Vec<_> = found
                .iter()
                .map(|credential| credential.id.as_str())
                .collect();
            let mut answer = json!({ "credentialIDs": ids });
            let Some(members) = answer.as_object_mut() else {
                return Ok(Json(answer));
            };
            if let (true, true, Some(last)) = (paged, more, last) {
                members.insert("nextPageToken".into(), json!(last));
            }
            if only_valid {
                members.insert("onlyValid".into(), json!(true));
            }
            if with_info {
                let mut infos = Vec::new();
                for credential in &found {
                    let mut info = view(&app, credential, &detail, Version::V2).await?;
                    params.leniency.describe(&mut info);
                    info.insert("credentialID".into(), json!(credential.id.as_str()));
                    infos.push(info);
                }
                members.insert("credentialInfos".into(), json!(infos));
            }
            Ok(Json(answer))
        }
    }
}

/// Whose credentials: the one who logged in, or for a client the one it names, if it may see him.
async fn holder(app: &App, access: &ServiceAccess, user: Option<&str>) -> Result<HolderId, Fault> {
    match (&access.holder, user) {
        (Some(_), Some(_)) => Err(Fault::Text("userID parameter MUST be null")),
        (Some(holder), None) => Ok(holder.clone()),
        (None, None) => Err(Fault::Invalid("userID")),
        (None, Some(user)) => {
            let holder = app
                .accounts
                .by_user_name(user)
                .await?
                .ok_or(Fault::Invalid("userID"))?;
            if app.clients.sees(&access.client, &holder).await? {
                Ok(holder.id)
            } else {
                Err(Fault::Invalid("userID"))
            }
        }
    }
}

/// How many credentials, and after which one. Missing or useless, a number is the server's own maximum, and no error (CSC v1 11.4).
fn page(params: &Params) -> Result<(u32, String), Fault> {
    let limit = params
        .hint("maxResults")
        .and_then(|limit| u32::try_from(limit).ok());
    let limit = limit
        .filter(|limit| (1..=PAGE).contains(limit))
        .unwrap_or(PAGE);
    Ok((limit, page_start(params.optional_string("pageToken")?)?))
}

/// A page token is the last identifier of the page before.
fn page_start(token: Option<&str>) -> Result<String, Fault> {
    let Some(token) = token else {
        return Ok(String::new());
    };
    let ours = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if ours {
        Ok(token.to_owned())
    } else {
        Err(Fault::Invalid("pageToken"))
    }
}
