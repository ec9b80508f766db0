//! `credentials/authorizeCheck` (CSC API v2 11.7): a handle that nobody was given says nothing.

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2},
        context::Context,
        refusal::{code, text},
    },
    Chapter, with, without,
};

const METHOD: &str = "credentials/authorizeCheck";

async fn good(context: &Context<'_>) -> Result<Value, Stop> {
    Ok(json!({"handle": hex::encode(context.random())}))
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, V2, "authorizeCheck", ("", "11.7"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Token]);
    let rows = [
        ("Z8.no-handle", "no handle", without("handle")),
        (
            "Z8.handle-number",
            "a number for the handle",
            with("handle", json!(5)),
        ),
        ("Z8.empty", "an empty handle", with("handle", json!(""))),
    ];
    for (name, what, change) in rows {
        let title = format!("{what} is refused");
        chapter.refuses(name, &title, METHOD, good, change, code("invalid_request"));
    }
    let title = "an unknown handle is refused";
    let unknown = text("Invalid parameter handle");
    let change = super::Change(Vec::new());
    chapter.refuses("Z8.unknown", title, METHOD, good, change, unknown);
}
