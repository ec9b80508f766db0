//! info (CSC v1 11.1, v2 11.1): public, says what this service does.

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use super::{
    algorithms,
    dialect::{Call, Method, Version},
    fault::Fault,
    leniency,
    params::Params,
    signatures::sign_doc::{FORMATS, LEVELS},
};
use crate::app::App;

/// Handles the call.
pub(super) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    params: Params,
) -> Result<Json<Value>, Fault> {
    params.optional_string("lang")?;
    Ok(Json(answer(&app, &call)))
}

/// Handles what is no POST.
pub(super) async fn handle_other(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    method: http::Method,
) -> Result<Json<Value>, Fault> {
    match method == http::Method::GET && leniency::get_info(&app).await? {
        true => Ok(Json(answer(&app, &call))),
        false => Err(Fault::MethodNotAllowed),
    }
}

fn answer(app: &App, call: &Call) -> Value {
    let info = &app.info;
    let mut methods: Vec<_> = Method::served(call.version)
        .into_iter()
        .map(Method::path)
        .collect();
    methods.extend(["oauth2/authorize", "oauth2/token", "oauth2/revoke"]);
    if call.version == Version::V2 {
        methods.push("oauth2/pushed_authorize");
    }
    let mut answer = json!({
        "specs": call.version.specs(),
        "name": info.name,
        "logo": info.logo.as_str(),
        "region": info.region,
        "lang": info.lang,
        "description": info.description,
        "authType": ["basic", "oauth2code", "oauth2client"],
        "oauth2": &*app.public_url,
        "methods": methods,
    });
    if let (Version::V2, Some(answer)) = (call.version, answer.as_object_mut()) {
        let (algos, params) = algorithms::all();
        answer.insert("asynchronousOperationMode".into(), json!(true));
        answer.insert("validationInfo".into(), json!(true));
        answer.insert(
            "signAlgorithms".into(),
            json!({ "algos": algos, "algoParams": params }),
        );
        answer.insert(
            "signature_formats".into(),
            json!({
                "formats": FORMATS.map(|(format, _)| format),
                "envelope_properties": FORMATS.map(|(_, properties)| properties),
                "allowMix": true,
            }),
        );
        let levels = LEVELS.map(|(level, _)| level);
        answer.insert("conformance_levels".into(), json!(levels));
        answer.insert("supportsRar".into(), json!(true));
        answer.insert("supportedHashTypes".into(), json!(["dtbsr", "sdr"]));
    }
    answer
}
