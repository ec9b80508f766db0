//! Metadata of the authorization server (RFC 8414), under both well-known names: clients of OpenID Connect look under the other one.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{app::App, authorization::TYPES, oauth::statement};

/// How clients prove who they are.
const METHODS: [&str; 5] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "self_signed_tls_client_auth",
    "none",
];

/// Handles the call.
pub(crate) async fn handle(State(app): State<App>) -> Json<Value> {
    let base = &*app.public_url;
    let at = |path: &str| format!("{base}/oauth2/{path}");
    Json(json!({
        "issuer": base,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "pushed_authorization_request_endpoint": at("pushed_authorize"),
        "revocation_endpoint": at("revoke"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "scopes_supported": ["service", "credential"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_details_types_supported": TYPES,
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": statement::NAMES,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": statement::NAMES,
        "dpop_signing_alg_values_supported": statement::NAMES,
        "tls_client_certificate_bound_access_tokens": true,
        "require_pushed_authorization_requests": false,
        "ui_locales_supported": ["it", "en"],
    }))
}
