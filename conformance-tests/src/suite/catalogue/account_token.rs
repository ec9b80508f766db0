//! `account_token` (CSC API v1 8.3.1, v2 8.4.1): the application says for which account it opens the pages.

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop},
        context::{Context, set},
        jws::{under_secret, unsigned},
    },
    Chapter,
};

/// A token before it is signed.
struct AccountToken {
    header: Value,
    claims: Value,
}

impl AccountToken {
    /// A good one.
    fn new(context: &Context<'_>) -> Result<Self, Stop> {
        let application = context.application()?;
        let account = application.account.as_deref().unwrap_or_default();
        Ok(Self {
            header: json!({"typ": "JWT", "alg": "HS256"}),
            claims: json!({
                "sub": account, "iat": context.at(), "jti": hex::encode(context.random()),
                "iss": "csc-conformance", "azp": application.id,
            }),
        })
    }

    fn with(mut self, claim: &str, value: Value) -> Self {
        set(&mut self.claims, claim, value);
        self
    }

    fn signed(&self, secret: &str) -> String {
        under_secret(secret, &self.header, &self.claims)
    }
}

fn secret(context: &Context<'_>) -> Result<String, Stop> {
    Ok(context.application()?.secret.value().to_owned())
}

async fn refused(context: &Context<'_>, token: &str) -> super::Verdict {
    let asking = context.asking()?.with("account_token", token);
    let errors = ["invalid_request", "access_denied"];
    context.is_sent_back(&context.ask(&asking).await?, &errors)
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "account-token", "v1 8.3.1, v2 8.4.1");
    chapter = chapter.needing(&[Need::Application, Need::Account]);
    let title = "an account token that the application made leads to the page";
    chapter.check("A7.good", title, async |context| {
        let token = AccountToken::new(context)?.signed(&secret(context)?);
        let asking = context.asking()?.with("account_token", token);
        context.is_taken(&context.ask(&asking).await?)
    });
    type Spoil = fn(AccountToken, u64) -> AccountToken;
    let rows: [(&str, &str, Spoil); 9] = [
        ("A7.other-client", "for another client", |token, _| {
            token.with("azp", json!("other"))
        }),
        ("A7.no-client", "without azp", |token, _| {
            token.with("azp", Value::Null)
        }),
        ("A7.stale", "a day old", |token, now| {
            token.with("iat", json!(now - 86_400))
        }),
        ("A7.early", "a day ahead", |token, now| {
            token.with("iat", json!(now + 86_400))
        }),
        ("A7.no-time", "without iat", |token, _| {
            token.with("iat", Value::Null)
        }),
        ("A7.no-name", "without jti", |token, _| {
            token.with("jti", Value::Null)
        }),
        ("A7.unknown", "for an account nobody knows", |token, _| {
            token.with("sub", json!("nobody-at-all"))
        }),
        ("A7.no-account", "without sub", |token, _| {
            token.with("sub", Value::Null)
        }),
        (
            "A7.algorithm",
            "that says another algorithm",
            |mut token, _| {
                set(&mut token.header, "alg", json!("HS512"));
                token
            },
        ),
    ];
    for (name, what, spoil) in rows {
        let title = format!("an account token {what} is refused");
        chapter.check(name, &title, async move |context| {
            let token = spoil(AccountToken::new(context)?, context.at());
            refused(context, &token.signed(&secret(context)?)).await
        });
    }
    let title = "an account token under another secret is refused";
    chapter.check("A7.signature", title, async |context| {
        refused(context, &AccountToken::new(context)?.signed("other")).await
    });
    let title = "an account token with the algorithm none is refused";
    chapter.check("A7.none", title, async |context| {
        let mut token = AccountToken::new(context)?;
        set(&mut token.header, "alg", json!("none"));
        refused(context, &unsigned(&token.header, &token.claims)).await
    });
    let title = "what is no JWT is refused";
    chapter.check("A7.garbage", title, async |context| {
        refused(context, "x").await
    });
    let title = "an account token is good once";
    let check = chapter.check("A7.replay", title, async |context| {
        let token = AccountToken::new(context)?.signed(&secret(context)?);
        let asking = context.asking()?.with("account_token", &token);
        context.is_taken(&context.ask(&asking).await?)?;
        refused(context, &token).await
    });
    check.should();
}
