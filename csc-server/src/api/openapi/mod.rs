//! /openapi.json: both versions of the API and the OAuth endpoints, in OpenAPI 3.1.
//!
//! It describes the strict service: what a client's registration lets it leave out or misspell is not in it. Requests may have members that are
//! not described, and they are ignored; answers have none. `methods.rs` says what each method takes and gives, by one `match` over the methods
//! that are served, so that none can be forgotten; `oauth2.rs` does the same for the forms.

mod methods;
mod oauth2;
mod schema;

use std::sync::LazyLock;

use axum::Json;
use serde_json::{Map, Value, json};

use super::dialect::{Method, Version};

/// What is called, what it takes, and what it gives.
struct Operation {
    summary: &'static str,
    security: Security,
    parameters: Vec<Value>,
    body: Option<Body>,
    answers: Vec<Answer>,
}

/// Who may call.
enum Security {
    /// Everybody.
    Public,
    /// Who shows this; nobody without.
    Shown(&'static str),
    /// Everybody, with a browser: what is refused is said on a page.
    Browser,
    /// Who shows this, or proves himself in the body.
    ShownOrInBody(&'static str),
}

/// A request's body.
struct Body {
    media_type: &'static str,
    required: bool,
    schema: Value,
}

/// A status, what it means, its body and the headers that come with it.
struct Answer {
    status: u16,
    meaning: &'static str,
    schema: Option<Value>,
    headers: &'static [&'static str],
}

/// Handles the call.
pub(super) async fn handle() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    Json(&DOCUMENT)
}

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    let mut put = |path: String, method: &str, id: String, tag: &str, operation: Operation| {
        let path = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(method.to_owned(), operation.render(&id, tag));
        }
    };
    for (version, tag) in [(Version::V1, "v1"), (Version::V2, "v2")] {
        for method in Method::served(version) {
            let (path, id) = (method.path(), method.path().replace('/', "."));
            let operation = methods::operation(method, version);
            put(
                format!("/csc/{tag}/{path}"),
                "post",
                format!("{tag}.{id}"),
                tag,
                operation,
            );
        }
    }
    for (method, path, operation) in oauth2::operations() {
        let id = path.trim_start_matches('/').replace('/', ".");
        put(path.to_owned(), method, id, "oauth2", operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Remote signing: Cloud Signature Consortium API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Versions 1.0.4.0 and 2.0 to 2.2, side by side. null is absence; members that nobody knows are ignored.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schema::named(),
            "headers": {
                "Retry-After": { "description": "Seconds.", "required": true, "schema": { "type": "integer", "minimum": 1 } },
                "WWW-Authenticate": { "required": true, "schema": { "type": "string" } },
                "Location": { "required": true, "schema": { "type": "string" } },
                "Set-Cookie": { "required": true, "schema": { "type": "string" } },
                "Pragma": { "required": true, "schema": { "type": "string", "enum": ["no-cache"] } },
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An access token of auth/login or oauth2/token." },
                "holder": { "type": "http", "scheme": "basic", "description": "User name and password of a holder." },
                "client": { "type": "http", "scheme": "basic", "description": "client_id and client_secret." },
            },
        },
    })
}

impl Operation {
    /// As OpenAPI has it, with the answers that every request may get.
    fn render(self, id: &str, tag: &str) -> Value {
        let refusals = [
            Answer::refusal(400, "Refused: the text names the parameter.", &[]),
            Answer::refusal(413, "The body is too large.", &[]),
            Answer::refusal(429, "Asked too often.", &["Retry-After"]),
            Answer::refusal(500, "A failure of the service.", &[]),
            Answer::refusal(503, "Full, or a part is not there.", &["Retry-After"]),
        ];
        let (security, public) = match self.security {
            Security::Public | Security::Browser => (json!([]), true),
            Security::Shown(scheme) => (json!([{ scheme: [] }]), false),
            Security::ShownOrInBody(scheme) => (json!([{ scheme: [] }, {}]), false),
        };
        let unauthorised = (!public).then(|| {
            Answer::refusal(
                401,
                "Not known, or not known any more.",
                &["WWW-Authenticate"],
            )
        });
        let pages = matches!(self.security, Security::Browser);
        let refusals = refusals.into_iter().chain(unauthorised).map(|refusal| {
            let (status, mut answer) = (refusal.status, refusal.render());
            if let (true, Some(content)) = (pages, answer.pointer_mut("/content")) {
                content["text/html"] = json!({ "schema": { "type": "string" } });
            }
            (status.to_string(), answer)
        });
        let answers = self.answers.into_iter();
        let answers = answers.map(|answer| (answer.status.to_string(), answer.render()));
        let responses: Map<_, _> = answers.chain(refusals).collect();
        let mut operation = json!({
            "operationId": id, "tags": [tag], "summary": self.summary, "security": security, "responses": responses,
        });
        if let Some(members) = operation.as_object_mut() {
            if !self.parameters.is_empty() {
                members.insert("parameters".into(), json!(self.parameters));
            }
            if let Some(body) = self.body {
                let content = json!({ body.media_type: { "schema": body.schema } });
                let body = json!({ "required": body.required, "content": content });
                members.insert("requestBody".into(), body);
            }
        }
        operation
    }
}

impl Body {
    fn json(schema: Value, required: bool) -> Option<Self> {
        Some(Self {
            media_type: "application/json",
            required,
            schema,
        })
    }
}

impl Answer {
    fn new(status: u16, meaning: &'static str, schema: Value) -> Self {
        Self {
            status,
            meaning,
            schema: Some(schema),
            headers: &[],
        }
    }

    fn ok(schema: Value) -> Vec<Self> {
        vec![Self::new(200, "Done.", schema)]
    }

    fn created(schema: Value) -> Vec<Self> {
        vec![Self::new(201, "Made.", schema)]
    }

    fn empty(meaning: &'static str) -> Vec<Self> {
        vec![Self {
            status: 204,
            meaning,
            schema: None,
            headers: &[],
        }]
    }

    fn refusal(status: u16, meaning: &'static str, headers: &'static [&'static str]) -> Self {
        Self {
            headers,
            ..Self::new(status, meaning, schema::reference("Error"))
        }
    }

    fn render(self) -> Value {
        let mut answer = json!({ "description": self.meaning });
        if let Some(members) = answer.as_object_mut() {
            if let Some(schema) = self.schema {
                let content = json!({ "application/json": { "schema": schema } });
                members.insert("content".into(), content);
            }
            if !self.headers.is_empty() {
                let headers: Map<_, _> = self
                    .headers
                    .iter()
                    .map(|name| {
                        (
                            (*name).to_owned(),
                            json!({ "$ref": format!("#/components/headers/{name}") }),
                        )
                    })
                    .collect();
                members.insert("headers".into(), Value::Object(headers));
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api, timekeeper::TimeTrust};

    /// What is of the API and not a page.
    const DESCRIBED: [&str; 4] = ["/csc/", "/oauth2/", "/.well-known/", "/revoke"];

    #[test]
    fn every_url_of_the_api_is_described_and_nothing_else() {
        let document = document();
        let mut described: Vec<String> = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            let methods = methods.as_object().expect("methods").keys();
            described.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        described.sort();
        let listed = api::routes(&TimeTrust::default()).listed();
        let of_the_api = listed.iter().filter(|route| {
            let answers = route.method != "ANY";
            answers
                && DESCRIBED
                    .iter()
                    .any(|prefix| route.path.starts_with(prefix))
        });
        let mut served: Vec<_> = of_the_api
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        served.sort();
        assert_eq!(described, served);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split(r##""$ref":"#"##).skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
