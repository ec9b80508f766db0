//! What answers must be: successes and refusals.

use serde_json::Value;

use super::{
    check::{Level, Stop, Verdict, broken, must, should},
    context::said,
    wire::Answer,
};

/// The common description of `invalid_request`, verbatim (CSC API v1 table 3).
pub(super) const COMMON: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a \
                                 parameter more than once, or is otherwise malformed.";

/// How a request must be refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: Vec<u16>,
    error: Option<&'static str>,
    text: Option<String>,
}

/// 400 `invalid_request` with this description.
pub(super) fn text(description: impl Into<String>) -> Refusal {
    coded("invalid_request", description)
}

/// 400 with this code and description.
pub(super) fn coded(error: &'static str, description: impl Into<String>) -> Refusal {
    Refusal {
        status: vec![400],
        error: Some(error),
        text: Some(description.into()),
    }
}

/// 400 with this code, whatever the description.
pub(super) fn code(error: &'static str) -> Refusal {
    Refusal {
        status: vec![400],
        error: Some(error),
        text: None,
    }
}

/// Any 4xx with an error body.
pub(super) fn any() -> Refusal {
    Refusal {
        status: (400..500).collect(),
        error: None,
        text: None,
    }
}

impl Refusal {
    /// With another status.
    pub(super) fn status(mut self, status: &[u16]) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

impl Answer {
    /// A success with content: 200 and a JSON object.
    pub(super) fn ok(&self) -> Result<Value, Stop> {
        must!(self.status == 200, "200 was expected: {}", said(self));
        must!(
            self.says_json(),
            "Content-Type is {:?}, not application/json",
            self.header("content-type")
        );
        let body = self.json();
        must!(
            body.is_object(),
            "the body is no JSON object: {}",
            said(self)
        );
        Ok(body)
    }

    /// A success without content: 204 and nothing else.
    pub(super) fn done(&self) -> Verdict {
        must!(self.status == 204, "204 was expected: {}", said(self));
        must!(self.body.is_empty(), "a 204 has no body: {}", said(self));
        Ok(())
    }

    /// A refusal: status and code must be right, the description should.
    pub(super) fn refused(&self, refusal: &Refusal) -> Verdict {
        must!(
            !(200..400).contains(&self.status),
            "the request was not refused: {}",
            said(self)
        );
        must!(
            refusal.status.contains(&self.status),
            "{} was expected: {}",
            expected(&refusal.status),
            said(self)
        );
        self.is_error()?;
        let body = self.json();
        let (error, description) = (body.get("error"), body.get("error_description"));
        if let Some(code) = refusal.error {
            must!(
                error.and_then(Value::as_str) == Some(code),
                "the error '{code}' was expected: {}",
                said(self)
            );
        }
        if let Some(text) = &refusal.text {
            should!(
                description.and_then(Value::as_str) == Some(text),
                "the description '{text}' was expected: {}",
                said(self)
            );
        }
        Ok(())
    }

    /// The error body of the specification.
    pub(super) fn is_error(&self) -> Verdict {
        must!(
            self.says_json(),
            "an error is JSON, Content-Type is {:?}: {}",
            self.header("content-type"),
            said(self)
        );
        let body = self.json();
        must!(
            body.get("error").is_some_and(Value::is_string),
            "an error has the member 'error', a string: {}",
            said(self)
        );
        must!(
            body.get("error_description").is_none_or(Value::is_string),
            "'error_description' is a string: {}",
            said(self)
        );
        Ok(())
    }

    /// 401 with one of these codes; the challenge of RFC 9110 should be there.
    pub(super) fn unauthorised(&self, codes: &[&str]) -> Verdict {
        must!(self.status == 401, "401 was expected: {}", said(self));
        self.is_error()?;
        let body = self.json();
        let error = body
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or_default();
        must!(
            codes.contains(&error),
            "one of {codes:?} was expected: {}",
            said(self)
        );
        should!(
            self.header("www-authenticate").is_some(),
            "a 401 carries WWW-Authenticate (RFC 9110 15.5.2)"
        );
        Ok(())
    }
}

fn expected(status: &[u16]) -> String {
    match status {
        [] => String::new(),
        [one] => format!("status {one}"),
        [first, .., last] => format!("a status from {first} to {last}"),
    }
}

/// A string member, by JSON pointer.
pub(super) fn string<'v>(body: &'v Value, pointer: &str) -> Result<&'v str, Stop> {
    let found = body.pointer(pointer);
    let found = found.ok_or_else(|| broken(format!("{pointer} is missing")))?;
    found
        .as_str()
        .ok_or_else(|| broken(format!("{pointer} is no string: {found}")))
}

/// A list member, by JSON pointer.
pub(super) fn list<'v>(body: &'v Value, pointer: &str) -> Result<&'v Vec<Value>, Stop> {
    let found = body.pointer(pointer);
    let found = found.ok_or_else(|| broken(format!("{pointer} is missing")))?;
    found
        .as_array()
        .ok_or_else(|| broken(format!("{pointer} is no array: {found}")))
}

/// A member is not there.
pub(super) fn absent(body: &Value, pointer: &str) -> Verdict {
    match body.pointer(pointer) {
        None => Ok(()),
        Some(found) => Err(Stop::Finding(
            Level::Must,
            format!("{pointer} should not be there: {found}"),
        )),
    }
}
