//! DPoP (RFC 9449): a proof is for one method, one address, one token, now and once; a token bound to a key is worth nothing without it.

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, must},
        context::{Context, set},
        jws::{Key, digest, unsigned},
        refusal::string,
        wire::Answer,
    },
    Chapter,
};

const LIST: &str = "credentials/list";

/// A proof before it is signed.
struct Proof {
    header: Value,
    claims: Value,
}

impl Proof {
    /// A good one for a POST to this address.
    fn new(context: &Context<'_>, key: &Key, address: &str) -> Self {
        Self {
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public()}),
            claims: json!({
                "jti": hex::encode(context.random()), "htm": "POST", "htu": address, "iat": context.at(),
            }),
        }
    }

    fn with(mut self, claim: &str, value: Value) -> Self {
        set(&mut self.claims, claim, value);
        self
    }

    fn titled(mut self, name: &str, value: Value) -> Self {
        set(&mut self.header, name, value);
        self
    }

    fn signed(&self, key: &Key) -> Result<String, Stop> {
        key.sign(&self.header, &self.claims)
    }
}

/// The token endpoint as the server calls it.
fn endpoint(context: &Context<'_>) -> Result<String, Stop> {
    let metadata = context.session.facts(V2).metadata;
    Ok(string(&metadata, "/token_endpoint")?.to_owned())
}

/// Client credentials with these proofs.
async fn token(context: &Context<'_>, proofs: &[&str]) -> Result<Answer, Stop> {
    let (id, secret) = context.client()?;
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
    ];
    let request = context.oauth("token")?.form(&fields);
    let add = |request: super::super::wire::Request, proof: &&str| request.header("DPoP", *proof);
    context.send(proofs.iter().fold(request, add)).await
}

/// A token bound to this key.
async fn bound(context: &Context<'_>, key: &Key) -> Result<String, Stop> {
    let proof = Proof::new(context, key, &endpoint(context)?).signed(key)?;
    let body = token(context, &[&proof]).await?.ok()?;
    Ok(string(&body, "/access_token")?.to_owned())
}

/// A call of the API with this scheme, this token and this proof.
async fn call(
    context: &Context<'_>,
    scheme: &str,
    token: &str,
    proof: Option<&str>,
) -> Result<Answer, Stop> {
    let client = context.session.settings.client.as_ref();
    let user = client.and_then(|client| client.user_id.clone());
    let body = user.map_or(json!({}), |user| json!({ "userID": user }));
    let request = context.post(V2, LIST);
    let request = request.header("Authorization", format!("{scheme} {token}"));
    let request = match proof {
        Some(proof) => request.header("DPoP", proof),
        None => request,
    };
    context.send(request.json(&body)).await
}

/// A good proof for that call.
fn good(context: &Context<'_>, key: &Key, token: &str) -> Proof {
    let address = context.public(&context.post(V2, LIST).url);
    Proof::new(context, key, &address).with("ath", json!(digest(token)))
}

fn unauthorised(answer: &Answer) -> Verdict {
    answer.unauthorised(&["invalid_token", "invalid_dpop_proof"])
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "dpop", "RFC 9449");
    chapter = chapter.needing(&[Need::Client, Need::Metadata, Need::Dpop]);
    successes(&mut chapter);
    proofs(&mut chapter);
    calls(&mut chapter);
}

fn successes(chapter: &mut Chapter<'_>) {
    let title = "a token request with a proof gives a token of the type DPoP";
    chapter.check("D1.token", title, async |context| {
        let key = Key::new()?;
        let proof = Proof::new(context, &key, &endpoint(context)?).signed(&key)?;
        let body = token(context, &[&proof]).await?.ok()?;
        let kind = string(&body, "/token_type")?;
        must!(kind.eq_ignore_ascii_case("dpop"), "token_type is '{kind}'");
        Ok(())
    });
    let title = "the token and a proof for it open the API";
    let check = chapter.check("D1.opens", title, async |context| {
        let key = Key::new()?;
        let token = bound(context, &key).await?;
        let proof = good(context, &key, &token).signed(&key)?;
        let answer = call(context, "DPoP", &token, Some(&proof)).await?;
        answer.ok().map(|_| ())
    });
    check.needs(Need::Method(LIST));
    let title = "the query does not count in the address of a proof";
    let check = chapter.check("D1.query", title, async |context| {
        let key = Key::new()?;
        let address = format!("{}?x=1", endpoint(context)?);
        let proof = Proof::new(context, &key, &address).signed(&key)?;
        token(context, &[&proof]).await?.ok().map(|_| ())
    });
    check.silent();
}

fn proofs(chapter: &mut Chapter<'_>) {
    type Spoil = fn(Proof, u64) -> Proof;
    let rows: [(&str, &str, Spoil); 10] = [
        ("D2.method", "for another method", |proof, _| {
            proof.with("htm", json!("GET"))
        }),
        ("D2.address", "for another address", |proof, _| {
            proof.with("htu", json!("https://other.example/oauth2/token"))
        }),
        ("D2.stale", "an hour old", |proof, now| {
            proof.with("iat", json!(now - 3600))
        }),
        ("D2.early", "an hour ahead", |proof, now| {
            proof.with("iat", json!(now + 3600))
        }),
        ("D2.no-time", "without iat", |proof, _| {
            proof.with("iat", Value::Null)
        }),
        ("D2.no-name", "without jti", |proof, _| {
            proof.with("jti", Value::Null)
        }),
        ("D2.type", "of another type", |proof, _| {
            proof.titled("typ", json!("JWT"))
        }),
        ("D2.no-key", "without its key", |proof, _| {
            proof.titled("jwk", Value::Null)
        }),
        ("D2.symmetric", "with a symmetric algorithm", |proof, _| {
            proof.titled("alg", json!("HS256"))
        }),
        (
            "D2.private-key",
            "that shows the private key",
            |mut proof, _| {
                if let Some(key) = proof.header.get_mut("jwk") {
                    set(
                        key,
                        "d",
                        json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
                    );
                }
                proof
            },
        ),
    ];
    for (name, what, spoil) in rows {
        let title = format!("a proof {what} is refused");
        chapter.check(name, &title, async move |context| {
            let key = Key::new()?;
            let proof = Proof::new(context, &key, &endpoint(context)?);
            let proof = spoil(proof, context.at()).signed(&key)?;
            token(context, &[&proof]).await?.refused(&refusal())
        });
    }
    let title = "a proof with the algorithm none is refused";
    chapter.check("D2.none", title, async |context| {
        let key = Key::new()?;
        let proof = Proof::new(context, &key, &endpoint(context)?).titled("alg", json!("none"));
        let proof = unsigned(&proof.header, &proof.claims);
        token(context, &[&proof]).await?.refused(&refusal())
    });
    let title = "a proof signed by another key than it shows is refused";
    chapter.check("D2.signature", title, async |context| {
        let (key, other) = (Key::new()?, Key::new()?);
        let proof = Proof::new(context, &key, &endpoint(context)?).signed(&other)?;
        token(context, &[&proof]).await?.refused(&refusal())
    });
    let title = "what is no JWT is refused";
    chapter.check("D2.garbage", title, async |context| {
        token(context, &["x"]).await?.refused(&refusal())
    });
    let title = "two proofs in one request are refused";
    chapter.check("D2.two", title, async |context| {
        let key = Key::new()?;
        let address = endpoint(context)?;
        let first = Proof::new(context, &key, &address).signed(&key)?;
        let second = Proof::new(context, &key, &address).signed(&key)?;
        token(context, &[&first, &second])
            .await?
            .refused(&refusal())
    });
    let title = "a proof is good once";
    let check = chapter.check("D2.replay", title, async |context| {
        let key = Key::new()?;
        let proof = Proof::new(context, &key, &endpoint(context)?).signed(&key)?;
        token(context, &[&proof]).await?.ok()?;
        token(context, &[&proof]).await?.refused(&refusal())
    });
    check.should().clause("RFC 9449 11.1");
}

fn refusal() -> super::Refusal {
    super::super::refusal::code("invalid_dpop_proof")
}

fn calls(chapter: &mut Chapter<'_>) {
    type Spoil = fn(Proof, &str) -> Proof;
    let rows: [(&str, &str, Spoil); 4] = [
        ("D3.no-token", "that names no token", |proof, _| {
            proof.with("ath", Value::Null)
        }),
        ("D3.other-token", "for another token", |proof, _| {
            proof.with("ath", json!(digest("x")))
        }),
        (
            "D3.address",
            "for another method of the API",
            |proof, address| proof.with("htu", json!(address.replace(LIST, "credentials/info"))),
        ),
        ("D3.method", "for a GET", |proof, _| {
            proof.with("htm", json!("GET"))
        }),
    ];
    for (name, what, spoil) in rows {
        let title = format!("a call with a proof {what} is refused");
        let check = chapter.check(name, &title, async move |context| {
            let key = Key::new()?;
            let token = bound(context, &key).await?;
            let address = context.public(&context.post(V2, LIST).url);
            let proof = spoil(good(context, &key, &token), &address).signed(&key)?;
            unauthorised(&call(context, "DPoP", &token, Some(&proof)).await?)
        });
        check.needs(Need::Method(LIST));
    }
    for (name, scheme) in [("D3.no-proof", "DPoP"), ("D3.bearer", "Bearer")] {
        let title = format!("a bound token as {scheme} without a proof is refused");
        let check = chapter.check(name, &title, async move |context| {
            let token = bound(context, &Key::new()?).await?;
            unauthorised(&call(context, scheme, &token, None).await?)
        });
        check.needs(Need::Method(LIST)).clause("RFC 9449 7");
    }
    let title = "a call with the proof of another key is refused";
    let check = chapter.check("D3.other-key", title, async |context| {
        let token = bound(context, &Key::new()?).await?;
        let other = Key::new()?;
        let proof = good(context, &other, &token).signed(&other)?;
        unauthorised(&call(context, "DPoP", &token, Some(&proof)).await?)
    });
    check.needs(Need::Method(LIST));
    let title = "a proof for a call is good once";
    let check = chapter.check("D3.replay", title, async |context| {
        let key = Key::new()?;
        let token = bound(context, &key).await?;
        let proof = good(context, &key, &token).signed(&key)?;
        call(context, "DPoP", &token, Some(&proof)).await?.ok()?;
        unauthorised(&call(context, "DPoP", &token, Some(&proof)).await?)
    });
    check
        .needs(Need::Method(LIST))
        .should()
        .clause("RFC 9449 11.1");
}
