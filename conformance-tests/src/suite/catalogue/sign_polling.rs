//! Asynchronous signHash and `signatures/signPolling` (CSC API v2 11.10 and 11.12).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2, broken},
        context::{Context, Document, said, set},
        refusal::{any, string, text},
        wire::Answer,
    },
    Chapter,
    sign_hash::verify,
    with, without,
};

const METHOD: &str = "signatures/signPolling";

/// Hands an order in: what is signed, and the name of the answer.
async fn handed_in(context: &Context<'_>) -> Result<(Vec<Document>, String), Stop> {
    let documents = context.documents(1);
    let sad = context.sad(V2, &documents).await?;
    let mut order = context.order(V2, &sad.value, &documents)?;
    set(&mut order, "operationMode", json!("A"));
    let answer = context
        .call(V2, "signatures/signHash", &order)
        .await?
        .ok()?;
    Ok((documents, string(&answer, "/responseID")?.to_owned()))
}

async fn good(_: &Context<'_>) -> Result<Value, Stop> {
    Ok(json!({"requestID": "unknown"}))
}

/// An order on a SAD that nobody spends, to be carried out later.
async fn idle(context: &Context<'_>) -> Result<Value, Stop> {
    let sad = context.idle_sad(V2).await?;
    let mut order = context.order(V2, &sad.value, &sad.documents)?;
    set(&mut order, "operationMode", json!("A"));
    Ok(order)
}

async fn polled(context: &Context<'_>, request: &str) -> Result<Answer, Stop> {
    const TRIES: usize = 60;
    for _ in 0..TRIES {
        let body = json!({"requestID": request});
        let answer = context.call(V2, METHOD, &body).await?;
        if answer.status != 202 {
            return Ok(answer);
        }
        if answer.json().get("error") != Some(&json!("accepted_request")) {
            return Err(broken(format!(
                "a 202 says accepted_request: {}",
                said(&answer)
            )));
        }
        context.wait(1).await?;
    }
    Err(broken("the signature was not done within a minute"))
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, V2, "signPolling", ("", "11.12"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::UserToken]);
    let title = "signHash in mode A gives the name of an answer to come";
    let check = chapter.check("S7.response-id", title, async |context| {
        handed_in(context).await.map(|_| ())
    });
    check.needs(Need::Factors);
    let title = "the answer comes, and the signature verifies under the certificate";
    let check = chapter.check("P1.signed", title, async |context| {
        let (documents, request) = handed_in(context).await?;
        let answer = polled(context, &request).await?;
        verify(context, V2, &context.algorithm(V2)?, &documents, &answer)
    });
    check.needs(Need::Factors);
    let missing = "Missing (or invalid type) string parameter requestID";
    let rows = [
        (
            "P2.no-request",
            "no requestID",
            without("requestID"),
            missing,
        ),
        (
            "P2.number",
            "a number for requestID",
            with("requestID", json!(5)),
            missing,
        ),
        (
            "P2.unknown",
            "an unknown requestID",
            with("requestID", json!("unknown")),
            "Invalid parameter requestID",
        ),
        (
            "P2.client-data",
            "a number for clientData",
            with("clientData", json!(5)),
            "Invalid parameter clientData",
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        chapter.refuses(name, &title, METHOD, good, change, text(words));
    }
    let title = "a user's own token takes no userID";
    let change = with("userID", json!("somebody"));
    let refusal = text("userID parameter SHALL be null");
    chapter.refuses("P2.user", title, METHOD, good, change, refusal);
    for (name, what, change) in [
        (
            "S7.period-text",
            "a text for validity_period",
            with("validity_period", json!("x")),
        ),
        (
            "S7.period-zero",
            "a validity_period of nothing",
            with("validity_period", json!(0)),
        ),
        (
            "S7.uri",
            "a response_uri that is no URI",
            with("response_uri", json!("done")),
        ),
        (
            "S7.uri-http",
            "a response_uri without TLS",
            with("response_uri", json!("http://app.example/done")),
        ),
    ] {
        let title = format!("{what} is refused");
        let check = chapter.refuses(name, &title, "signatures/signHash", idle, change, any());
        check.needs(Need::Factors);
    }
}
