//! Error tables of the specification, row by row.

use serde_json::{Value, json};

use crate::wire::{Api, Version};

/// One row: how a good request is spoilt, and what it gets.
pub struct Refusal {
    change: Value,
    status: u16,
    error: &'static str,
    description: String,
}

impl Refusal {
    /// A row with status 400 and `invalid_request`. The members of `change` replace those of the good request;
    /// null takes a member away.
    pub fn new(change: Value, description: impl Into<String>) -> Self {
        Self {
            change,
            status: 400,
            error: "invalid_request",
            description: description.into(),
        }
    }

    /// A row with another error code.
    pub fn error(change: Value, error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            ..Self::new(change, description)
        }
    }
}

/// Sends the good request once for each row, spoilt as the row says; panics with all rows that got something else.
pub async fn assert_refusals(
    api: &Api,
    version: Version,
    method: &str,
    token: &str,
    good: &Value,
    rows: impl IntoIterator<Item = Refusal>,
) {
    let mut wrong = String::new();
    for row in rows {
        let mut request = good.clone();
        for (name, value) in row.change.as_object().into_iter().flatten() {
            match value {
                Value::Null => request
                    .as_object_mut()
                    .and_then(|request| request.remove(name)),
                value => request
                    .as_object_mut()
                    .and_then(|request| request.insert(name.clone(), value.clone())),
            };
        }
        let answer = api.call(version, method, token, request).await;
        let expected = json!({"error": row.error, "error_description": row.description});
        if answer.status != row.status || answer.body != expected {
            let found = (answer.status, answer.body);
            wrong += &format!(
                "\n{}: expected {} {expected}\n    found {found:?}",
                row.change, row.status
            );
        }
    }
    assert!(wrong.is_empty(), "{version:?} {method}:{wrong}");
}
