//! The token of the scope credential (CSC API v1 8.3.3, v2 8.4.4 and 11.10): it signs what the person approved and nothing else.

use serde_json::json;

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, broken, must},
        code_flow::Code,
        context::{Context, Document, set},
        refusal::{absent, any, code, list, string, text},
        wire::Answer,
    },
    Chapter, sign_hash,
};

const METHOD: &str = "signatures/signHash";

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "credential-token", "v2 8.4.4 and 11.10");
    let needs = [Need::Application, Need::Pages, Need::Scal2];
    chapter = chapter.needing(&needs);
    tokens(&mut chapter);
    details(&mut chapter);
    chapter = chapter.needing(&[Need::Method(METHOD)]);
    signs(&mut chapter);
    refuses(&mut chapter);
}

async fn code_for(context: &Context<'_>, documents: &[Document]) -> Result<Code, Stop> {
    context.code(&context.asking_to_sign(documents)?).await
}

/// A credential token for these documents.
async fn token(context: &Context<'_>, documents: &[Document]) -> Result<String, Stop> {
    let code = code_for(context, documents).await?;
    let body = context.trade(&code).await?.ok()?;
    Ok(string(&body, "/access_token")?.to_owned())
}

/// signHash with the token alone, the way v2 has it.
async fn sign(context: &Context<'_>, token: &str, documents: &[Document]) -> Result<Answer, Stop> {
    let mut body = context.order(V2, token, documents)?;
    if let Some(members) = body.as_object_mut() {
        members.remove("SAD");
    }
    context.call_with(V2, METHOD, token, &body).await
}

/// As many signatures as documents, each of its own.
fn signed(context: &Context<'_>, answer: &Answer, documents: &[Document]) -> Verdict {
    let algorithm = context.algorithm(V2)?;
    sign_hash::verify(context, V2, &algorithm, documents, answer)
}

fn tokens(chapter: &mut Chapter<'_>) {
    let title = "the code gives a token of the type Bearer, and no refresh token";
    chapter.check("T1.token", title, async |context| {
        let code = code_for(context, &context.documents(1)).await?;
        let body = context.trade(&code).await?.ok()?;
        must!(
            !string(&body, "/access_token")?.is_empty(),
            "access_token is empty"
        );
        let kind = string(&body, "/token_type")?;
        must!(kind == "Bearer", "token_type is '{kind}'");
        absent(&body, "/refresh_token")
    });
    let title = "the code for signatures is good once";
    chapter.check("A9.twice", title, async |context| {
        let given = code_for(context, &context.documents(1)).await?;
        context.trade(&given).await?.ok()?;
        let again = context.trade(&given).await?;
        again.refused(&code("invalid_grant"))
    });
    let title = "another verifier gets no token for signatures";
    chapter.check("T2.other-verifier", title, async |context| {
        let given = code_for(context, &context.documents(1)).await?;
        let spoilt = given.with(
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
        let answer = context.trade(&spoilt).await?;
        answer.refused(&code("invalid_grant"))
    });
    let title = "the person's no gives access_denied";
    let check = chapter.check("A2.denied", title, async |context| {
        let asking = context.asking_to_sign(&context.documents(1))?;
        let back = context.denied(&asking).await?;
        let error = back.get("error");
        must!(
            error == Some(&vec!["access_denied".to_owned()]),
            "error is {error:?}"
        );
        must!(
            !back.contains_key("code"),
            "a code beside the error: {back:?}"
        );
        Ok(())
    });
    check.needs(Need::Refuse);
}

fn details(chapter: &mut Chapter<'_>) {
    let title = "the answer to a request by authorization_details repeats them";
    let check = chapter.check("T5.echo", title, async |context| {
        let details = context.details(&context.documents(1))?;
        let code = context.code(&context.asking_by(&json!([details]))?).await?;
        let code = code.with("authorization_details", &json!([details]).to_string());
        let body = context.trade(&code).await?.ok()?;
        let granted = list(&body, "/authorization_details")?;
        let [granted] = granted.as_slice() else {
            return Err(broken(format!("one element was expected: {granted:?}")));
        };
        for member in [
            "type",
            "credentialID",
            "documentDigests",
            "hashAlgorithmOID",
        ] {
            must!(
                granted.get(member) == details.get(member),
                "{member} is {:?}",
                granted.get(member)
            );
        }
        Ok(())
    });
    check.needs(Need::Details);
    let title = "a token request without the authorization_details of the request is refused";
    let check = chapter.check("T5.left-out", title, async |context| {
        let details = json!([context.details(&context.documents(1))?]);
        let code = context.code(&context.asking_by(&details)?).await?;
        let refusal = any().status(&[400]);
        context.trade(&code).await?.refused(&refusal)
    });
    check.needs(Need::Details);
    let title = "a token request for other documents than were approved is refused";
    let check = chapter.check("T5.others", title, async |context| {
        let details = json!([context.details(&context.documents(1))?]);
        let code = context.code(&context.asking_by(&details)?).await?;
        let others = json!([context.details(&context.documents(1))?]);
        let code = code.with("authorization_details", &others.to_string());
        let refusal = any().status(&[400]);
        context.trade(&code).await?.refused(&refusal)
    });
    check.needs(Need::Details);
}

fn signs(chapter: &mut Chapter<'_>) {
    let title = "the token signs what was approved";
    chapter.check("S6.bearer", title, async |context| {
        let documents = context.documents(1);
        let token = token(context, &documents).await?;
        signed(
            context,
            &sign(context, &token, &documents).await?,
            &documents,
        )
    });
    let title = "the token is a SAD beside a service token of the application";
    chapter.check("S6.as-sad", title, async |context| {
        let documents = context.documents(1);
        let code = context.code(&context.asking()?).await?;
        let service = context.trade(&code).await?.ok()?;
        let token = token(context, &documents).await?;
        let body = context.order(V2, &token, &documents)?;
        let service = string(&service, "/access_token")?;
        let answer = context.call_with(V2, METHOD, service, &body).await?;
        signed(context, &answer, &documents)
    });
    let title = "the token signs several documents, in their order";
    let check = chapter.check("S6.several", title, async |context| {
        let documents = context.documents(2);
        let token = token(context, &documents).await?;
        signed(
            context,
            &sign(context, &token, &documents).await?,
            &documents,
        )
    });
    check.needs(Need::Multisign(2));
}

fn refuses(chapter: &mut Chapter<'_>) {
    let title = "the token signs once what was approved once";
    chapter.check("S6.twice", title, async |context| {
        let documents = context.documents(1);
        let token = token(context, &documents).await?;
        sign(context, &token, &documents).await?.ok()?;
        sign(context, &token, &documents).await?.refused(&any())
    });
    let title = "the token signs no other document";
    chapter.check("S6.other-hash", title, async |context| {
        let token = token(context, &context.documents(1)).await?;
        let others = context.documents(1);
        sign(context, &token, &others).await?.refused(&any())
    });
    let title = "the token signs none of several documents of which one was not approved";
    let check = chapter.check("S6.one-more", title, async |context| {
        let documents = context.documents(1);
        let token = token(context, &documents).await?;
        let more = [documents.clone(), context.documents(1)].concat();
        sign(context, &token, &more).await?.refused(&any())?;
        signed(
            context,
            &sign(context, &token, &documents).await?,
            &documents,
        )
    });
    check.needs(Need::Multisign(2));
    let title = "the token is for one credential";
    chapter.check("S6.other-credential", title, async |context| {
        let documents = context.documents(1);
        let token = token(context, &documents).await?;
        let mut body = context.order(V2, &token, &documents)?;
        set(&mut body, "credentialID", json!("unknown"));
        let answer = context.call_with(V2, METHOD, &token, &body).await?;
        answer.refused(&any())
    });
    let title = "the token opens no other method than those of its credential";
    let check = chapter.check("S6.other-method", title, async |context| {
        let token = token(context, &context.documents(1)).await?;
        let method = "credentials/list";
        let answer = context.call_with(V2, method, &token, &json!({})).await?;
        answer.refused(&any())
    });
    check.needs(Need::Method("credentials/list")).silent();
    let title = "a service token alone signs nothing";
    chapter.check("S6.service", title, async |context| {
        let documents = context.documents(1);
        let code = context.code(&context.asking()?).await?;
        let service = context.trade(&code).await?.ok()?;
        let service = string(&service, "/access_token")?;
        let refusal = text("Missing (or invalid type) string parameter SAD");
        sign(context, service, &documents).await?.refused(&refusal)
    });
    let title = "a revoked token signs nothing";
    chapter.check("R5.revoked", title, async |context| {
        let documents = context.documents(1);
        let token = token(context, &documents).await?;
        let revoked = context
            .as_application("revoke", &[("token", &token)])
            .await?;
        revoked.done()?;
        sign(context, &token, &documents).await?.refused(&any())
    });
}
