//! `credentials/list` (CSC API v1 11.4, v2 11.4).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V1, V2, Version, must},
        context::{Context, set},
        refusal::{absent, any, list, text},
    },
    Chapter, with,
};

const METHOD: &str = "credentials/list";

async fn listed(
    context: &Context<'_>,
    version: Version,
    more: &[(&str, Value)],
) -> Result<Value, Stop> {
    let mut body = context.list_body(version);
    for (name, value) in more {
        set(&mut body, name, value.clone());
    }
    context.call(version, METHOD, &body).await?.ok()
}

/// The identifiers in an answer.
fn ids(body: &Value) -> Result<Vec<String>, Stop> {
    let mut ids = Vec::new();
    for id in list(body, "/credentialIDs")? {
        let Some(id) = id.as_str().filter(|id| !id.is_empty()) else {
            return Err(super::super::check::broken(format!(
                "credentialIDs has {id}"
            )));
        };
        ids.push(id.to_owned());
    }
    Ok(ids)
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "list", ("11.4", "11.4"));
    chapter = chapter.needing(&[Need::Method(METHOD)]);
    let title = "credentialIDs is a list of names";
    chapter.check("C1.ids", title, async move |context| {
        ids(&listed(context, version, &[]).await?).map(|_| ())
    });
    let title = "no credential is listed twice";
    chapter.check("C1.once", title, async move |context| {
        let mut found = ids(&listed(context, version, &[]).await?)?;
        let count = found.len();
        found.sort();
        found.dedup();
        must!(
            found.len() == count,
            "{count} entries, {} different",
            found.len()
        );
        Ok(())
    });
    let title = "the credential under test is listed";
    let check = chapter.check("C1.own", title, async move |context| {
        let subject = context.subject(version)?;
        let found = ids(&listed(context, version, &[]).await?)?;
        must!(
            found.contains(&subject.id),
            "{} is not among {found:?}",
            subject.id
        );
        Ok(())
    });
    check.needs(Need::Credential);
    let title = "credentials/info takes every identifier of the list";
    let check = chapter.check("C1.known", title, async move |context| {
        for id in ids(&listed(context, version, &[]).await?)?
            .into_iter()
            .take(20)
        {
            let body = json!({"credentialID": id, "certificates": "none"});
            context
                .call(version, "credentials/info", &body)
                .await?
                .ok()?;
        }
        Ok(())
    });
    check.needs(Need::Method("credentials/info"));
    for value in [json!(null), json!("")] {
        let (name, what) = match value.is_null() {
            true => ("C3.null-user", "null"),
            false => ("C3.empty-user", "an empty text"),
        };
        let title = format!("with a user's own token, {what} for userID counts as none");
        let check = chapter.check(name, &title, async move |context| {
            let more = [("userID", value.clone())];
            listed(context, version, &more).await.map(|_| ())
        });
        check.needs(Need::UserToken);
    }
    let title = "a user's own token takes no userID";
    let good = async |_: &Context<'_>| Ok(json!({}));
    let must_be_null = text("userID parameter MUST be null");
    let change = with("userID", json!("somebody"));
    chapter
        .refuses("C3.user", title, METHOD, good, change, must_be_null.clone())
        .needs(Need::UserToken);
    let title = "a user's own token takes no userID, not even the user's own";
    let check = chapter.check("C3.own-user", title, async move |context| {
        let basic = context.session.settings.basic.as_ref();
        let user = basic.map_or("somebody", |basic| &basic.user);
        let body = json!({"userID": user});
        context
            .call(version, METHOD, &body)
            .await?
            .refused(&must_be_null)
    });
    check.needs(Need::UserToken);
    with_client(version, &mut chapter);
    match version {
        V1 => pages(&mut chapter),
        V2 => details(&mut chapter),
    }
}

/// With a token that belongs to no user.
fn with_client(version: Version, chapter: &mut Chapter<'_>) {
    let refused = [
        ("C3.client-no-user", "no userID", json!({})),
        (
            "C3.client-unknown-user",
            "an unknown userID",
            json!({"userID": "nobody-at-all"}),
        ),
        (
            "C3.client-user-number",
            "a number for userID",
            json!({"userID": 5}),
        ),
    ];
    for (name, what, body) in refused {
        let title = format!("with a client's token {what} is refused");
        let check = chapter.check(name, &title, async move |context| {
            let token = client_token(context).await?;
            let answer = context.call_with(version, METHOD, &token, &body).await?;
            answer.refused(&text("Invalid parameter userID"))
        });
        check.needs(Need::Client);
    }
    let title = "with a client's token the user's credentials are listed";
    let check = chapter.check("C3.client-user", title, async move |context| {
        let client = context.session.settings.client.as_ref();
        let Some(user) = client.and_then(|client| client.user_id.as_ref()) else {
            return Err(Stop::Skip("client.user_id is not set".to_owned()));
        };
        let token = client_token(context).await?;
        let body = json!({"userID": user});
        let answer = context.call_with(version, METHOD, &token, &body).await?;
        ids(&answer.ok()?).map(|_| ())
    });
    check.needs(Need::Client);
}

async fn client_token(context: &Context<'_>) -> Result<String, Stop> {
    let body = context.client_token().await?.ok()?;
    Ok(super::super::refusal::string(&body, "/access_token")?.to_owned())
}

fn pages(chapter: &mut Chapter<'_>) {
    let title = "maxResults bounds a page";
    chapter.check("C2.one", title, async |context| {
        let page = listed(context, V1, &[("maxResults", json!(1))]).await?;
        let found = ids(&page)?;
        must!(found.len() <= 1, "maxResults 1 gave {found:?}");
        Ok(())
    });
    let title = "pages of one show every credential once";
    chapter.check("C2.pages", title, async |context| {
        const PAGES: usize = 1000;
        let all = ids(&listed(context, V1, &[]).await?)?;
        let (mut seen, mut token) = (Vec::new(), None);
        for _ in 0..PAGES {
            let mut more = vec![("maxResults", json!(1))];
            more.extend(token.take().map(|token| ("pageToken", token)));
            let page = listed(context, V1, &more).await?;
            seen.extend(ids(&page)?);
            match page.get("nextPageToken") {
                None => break,
                Some(next) => token = Some(next.clone()),
            }
        }
        let mut expected = all.clone();
        expected.sort();
        seen.sort();
        must!(
            seen == expected,
            "the pages show {seen:?}, the list {all:?}"
        );
        Ok(())
    });
    let title = "the last page has no nextPageToken";
    chapter.check("C2.last-page", title, async |context| {
        let page = listed(context, V1, &[("maxResults", json!(1000))]).await?;
        must!(
            ids(&page)?.len() < 1000,
            "there are too many credentials for this check"
        );
        absent(&page, "/nextPageToken")
    });
    let sizes = [
        ("zero", json!(0)),
        ("negative", json!(-1)),
        ("huge", json!(1_000_000_000)),
        ("text", json!("x")),
        ("fraction", json!(1.5)),
    ];
    for (name, size) in sizes {
        let title = format!(
            "a maxResults that makes no sense is the server's own choice, no error: {size}"
        );
        chapter.check(&format!("C2.{name}"), &title, async move |context| {
            let page = listed(context, V1, &[("maxResults", size.clone())]).await?;
            ids(&page).map(|_| ())
        });
    }
    for (name, what, value) in [
        ("C2.unknown-page", "an unknown pageToken", json!("garbage")),
        ("C2.page-number", "a number for pageToken", json!(5)),
    ] {
        let good = async |context: &Context<'_>| Ok(context.list_body(V1));
        let refusal = text("Invalid parameter pageToken");
        let title = format!("{what} is refused");
        chapter.refuses(
            name,
            &title,
            METHOD,
            good,
            with("pageToken", value),
            refusal,
        );
    }
}

fn details(chapter: &mut Chapter<'_>) {
    let title = "no details come unasked";
    chapter.check("C4.plain", title, async |context| {
        absent(&listed(context, V2, &[]).await?, "/credentialInfos")
    });
    let title = "credentialInfo gives an entry for each credential, in the same order";
    chapter.check("C4.details", title, async |context| {
        let body = listed(context, V2, &[("credentialInfo", json!(true))]).await?;
        let of_entries = list(&body, "/credentialInfos")?.iter();
        let of_entries =
            of_entries.map(|entry| entry.get("credentialID").cloned().unwrap_or_default());
        let of_entries: Vec<_> = of_entries.collect();
        must!(
            Some(&json!(of_entries)) == body.get("credentialIDs"),
            "the entries are of {of_entries:?}"
        );
        Ok(())
    });
    for kind in ["none", "single", "chain"] {
        for detail in [false, true] {
            let name = format!("C4.{kind}{}", if detail { "-details" } else { "" });
            let title = format!(
                "an entry with certificates {kind}, details {detail}, is what credentials/info answers"
            );
            let check = chapter.check(&name, &title, async move |context| {
                same_as_info(context, kind, detail).await
            });
            check.needs(Need::Method("credentials/info"));
        }
    }
    let title = "onlyValid is confirmed when it was asked for";
    let check = chapter.check("C4.only-valid", title, async |context| {
        let body = listed(context, V2, &[("onlyValid", json!(true))]).await?;
        must!(
            body.get("onlyValid") == Some(&json!(true)),
            "onlyValid is {:?}",
            body.get("onlyValid")
        );
        Ok(())
    });
    check.should();
    let title = "onlyValid is not said when it was not asked for";
    chapter.check("C4.not-only-valid", title, async |context| {
        let body = listed(context, V2, &[]).await?;
        let found = body.get("onlyValid");
        must!(
            found.is_none() || found == Some(&json!(false)),
            "onlyValid is {found:?}"
        );
        Ok(())
    });
    for (name, value) in [("C4.kind", json!("all")), ("C4.kind-number", json!(5))] {
        let title = format!("{value} is no kind of certificates");
        let good = async |context: &Context<'_>| {
            let mut body = context.list_body(V2);
            set(&mut body, "credentialInfo", json!(true));
            Ok(body)
        };
        let refusal = text("Invalid parameter certificates");
        chapter.refuses(
            name,
            &title,
            METHOD,
            good,
            with("certificates", value),
            refusal,
        );
    }
    for name in ["credentialInfo", "certInfo", "authInfo", "onlyValid"] {
        let title = format!("{name} is a boolean");
        let good = async |context: &Context<'_>| Ok(context.list_body(V2));
        let change = with(name, json!("true"));
        chapter
            .refuses(
                &format!("C4.{name}-text"),
                &title,
                METHOD,
                good,
                change,
                any(),
            )
            .silent();
    }
}

async fn same_as_info(context: &Context<'_>, kind: &str, detail: bool) -> super::Verdict {
    let options = [
        ("certificates", json!(kind)),
        ("certInfo", json!(detail)),
        ("authInfo", json!(detail)),
    ];
    let mut more = vec![("credentialInfo", json!(true))];
    more.extend(options.clone());
    let body = listed(context, V2, &more).await?;
    let Some(mut entry) = body.pointer("/credentialInfos/0").cloned() else {
        return Err(Stop::Skip("there is no credential".to_owned()));
    };
    let mut asked = json!({"credentialID": entry.get("credentialID")});
    for (name, value) in options {
        set(&mut asked, name, value);
    }
    let mut info = context.call(V2, "credentials/info", &asked).await?.ok()?;
    for body in [&mut entry, &mut info] {
        if let Some(members) = body.as_object_mut() {
            members.remove("credentialID");
        }
    }
    must!(
        entry == info,
        "the entry is {entry}, credentials/info says {info}"
    );
    Ok(())
}
