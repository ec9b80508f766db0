//! Before the first check: `info`, a service token and the credential of each version.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    check::{Stop, Version, broken},
    context::{Context, said},
    keys::{Algorithm, KeyKind, key_of},
    session::{CodeObject, Subject},
    wire::{Answer, Request},
};

/// The name of the metadata (RFC 8414 3).
pub(super) const METADATA: &str = "oauth-authorization-server";

impl Context<'_> {
    /// Finds out what a version says of itself, logs in and looks at the credential.
    pub(super) async fn prepare(&self, version: Version) {
        if let Err(stop) = self.aside(self.discover(version)).await {
            let why = match stop {
                Stop::Finding(_, why) | Stop::Skip(why) => why,
            };
            self.session.change(version, |facts| {
                facts.trouble = Some(format!("{} cannot be used: {why}", version.name()));
            });
        }
    }

    async fn discover(&self, version: Version) -> Result<(), Stop> {
        let answer = self
            .send(self.post(version, "info").json(&json!({})))
            .await?;
        let info = answer.json();
        if answer.status != 200 || !info.is_object() {
            return Err(broken(format!("info: {}", said(&answer))));
        }
        self.session.change(version, |facts| {
            facts.info = info;
            facts.trouble = None;
        });
        let metadata = self.metadata(METADATA).await.ok();
        let metadata = metadata.filter(|answer| answer.status == 200);
        self.session.change(version, |facts| {
            facts.metadata = metadata.map(|answer| answer.json()).unwrap_or_default();
        });
        self.log_in(version).await?;
        if let Some(id) = self.credential_id(version).await? {
            let subject = self.look_at(version, &id).await?;
            self.session
                .change(version, |facts| facts.credential = Some(subject));
        }
        Ok(())
    }

    async fn log_in(&self, version: Version) -> Result<(), Stop> {
        let facts = self.session.facts(version);
        let settings = &self.session.settings;
        let (token, of_user) = if let Some(bearer) = &settings.bearer {
            (bearer.value().to_owned(), true)
        } else if facts.offers("basic") && settings.basic.is_some() {
            (
                token_in(&self.basic_login(version, &json!({})).await?)?,
                true,
            )
        } else if facts.offers("oauth2client") && settings.client.is_some() {
            (token_in(&self.client_token().await?)?, false)
        } else {
            return Ok(());
        };
        self.session.change(version, |facts| {
            facts.token = Some(token);
            facts.user_token = of_user;
        });
        Ok(())
    }

    /// auth/login with name and password.
    pub(super) async fn basic_login(&self, version: Version, body: &Value) -> Result<Answer, Stop> {
        let basic = self.session.settings.basic.as_ref();
        let basic = basic.ok_or_else(|| Stop::Skip("the settings have no [basic]".to_owned()))?;
        let request = self.post(version, "auth/login");
        let header = basic_header(&basic.user, basic.password.value());
        self.send(request.header("Authorization", header).json(body))
            .await
    }

    /// oauth2/token with client credentials, the secret in the body.
    pub(super) async fn client_token(&self) -> Result<Answer, Stop> {
        let (id, secret) = self.client()?;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &id),
            ("client_secret", &secret),
        ];
        self.send(self.oauth("token")?.form(&fields)).await
    }

    /// The client of the settings.
    pub(super) fn client(&self) -> Result<(String, String), Stop> {
        let client = self.session.settings.client.as_ref();
        let client =
            client.ok_or_else(|| Stop::Skip("the settings have no [client]".to_owned()))?;
        Ok((client.id.clone(), client.secret.value().to_owned()))
    }

    /// A POST to an endpoint of the authorization server.
    pub(super) fn oauth(&self, endpoint: &str) -> Result<Request, Stop> {
        let settings = &self.session.settings;
        let said = settings.versions().find_map(|version| {
            let info = self.session.facts(version).info;
            info.get("oauth2")
                .and_then(Value::as_str)
                .map(str::to_owned)
        });
        let base = settings.server.oauth2.clone().or(said);
        let base = base.ok_or_else(|| {
            Stop::Skip("info has no oauth2, and server.oauth2 is not set".to_owned())
        })?;
        let base = base.trim_end_matches('/');
        Ok(Request::post(format!("{base}/oauth2/{endpoint}")))
    }

    /// What `info` says where the authorization server is, without a slash at its end.
    pub(super) fn issuer(&self) -> Option<String> {
        let mut versions: Vec<_> = self.session.settings.versions().collect();
        versions.reverse();
        versions.into_iter().find_map(|version| {
            let info = self.session.facts(version).info;
            let named = info.get("oauth2Issuer").or_else(|| info.get("oauth2"))?;
            Some(named.as_str()?.trim_end_matches('/').to_owned())
        })
    }

    /// An address as the server calls it, where the settings know another way there.
    pub(super) fn public(&self, url: &str) -> String {
        let here = self.session.settings.server.oauth2.as_deref();
        let rest = here.and_then(|here| url.strip_prefix(here.trim_end_matches('/')));
        match (rest, self.issuer()) {
            (Some(rest), Some(issuer)) => format!("{issuer}{rest}"),
            _ => url.to_owned(),
        }
    }

    /// The metadata under one of its names (RFC 8414 3.1): the name stands between host and path.
    pub(super) async fn metadata(&self, name: &str) -> Result<Answer, Stop> {
        let base = self.session.settings.server.oauth2.clone();
        let base = base.or_else(|| self.issuer());
        let none = || Stop::Skip("info names no authorization server".to_owned());
        let mut url = Url::parse(&base.ok_or_else(none)?).map_err(|_| none())?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("/.well-known/{name}{path}"));
        self.send(Request::get(url.into())).await
    }

    /// The user that credentials/list asks for where the token belongs to none.
    pub(super) fn list_body(&self, version: Version) -> Value {
        let client = self.session.settings.client.as_ref();
        let user = client.and_then(|client| client.user_id.as_ref());
        match user {
            Some(user) if !self.session.facts(version).user_token => json!({"userID": user}),
            _ => json!({}),
        }
    }

    async fn credential_id(&self, version: Version) -> Result<Option<String>, Stop> {
        let named = &self.session.settings.credential.id;
        if named.is_some() || !self.session.facts(version).lists("credentials/list") {
            return Ok(named.clone());
        }
        let body = self.list_body(version);
        let answer = self.call(version, "credentials/list", &body).await?;
        if answer.status != 200 {
            return Err(broken(format!("credentials/list: {}", said(&answer))));
        }
        let first = answer.json();
        let first = first.pointer("/credentialIDs/0").and_then(Value::as_str);
        Ok(first.map(str::to_owned))
    }

    /// credentials/info with everything it tells, or with what the server can tell.
    pub(super) async fn look_at(&self, version: Version, id: &str) -> Result<Subject, Stop> {
        let body = json!({"credentialID": id, "certificates": "chain", "authInfo": true});
        let answer = self.call(version, "credentials/info", &body).await?;
        if answer.status != 200 {
            return Err(broken(format!("credentials/info: {}", said(&answer))));
        }
        let info = answer.json();
        let certificates = info.pointer("/cert/certificates").and_then(Value::as_array);
        let certificates = certificates.into_iter().flatten().filter_map(Value::as_str);
        let certificates: Vec<_> = certificates
            .filter_map(|text| STANDARD.decode(text).ok())
            .collect();
        let key = certificates.first().map_or(KeyKind::Other, |der| {
            X509Certificate::from_der(der).map_or(KeyKind::Other, |(_, read)| key_of(&read).0)
        });
        let algorithms = info.pointer("/key/algo").and_then(Value::as_array);
        let algorithms = algorithms.into_iter().flatten().filter_map(Value::as_str);
        let algorithms: Vec<_> = algorithms.map(str::to_owned).collect();
        let (pin, code) = match version {
            Version::V1 => factors_v1(&info),
            Version::V2 => factors_v2(&info),
        };
        let mode = version.pick("/authMode", "/auth/mode");
        Ok(Subject {
            id: id.to_owned(),
            explicit: info.pointer(mode) == Some(&json!("explicit")),
            scal2: info.get("SCAL") == Some(&json!("2")),
            multisign: info.get("multisign").and_then(Value::as_u64).unwrap_or(1),
            pin,
            code,
            algorithm: Algorithm::of(&algorithms, key),
            certificates,
            key,
            algorithms,
        })
    }
}

/// `PIN` and `OTP` of v1.
fn factors_v1(info: &Value) -> (Option<String>, Option<CodeObject>) {
    let asked = |name: &str| {
        let presence = info.get(name).and_then(|group| group.get("presence"));
        presence.is_some_and(|presence| presence != "false")
    };
    let code = asked("OTP").then(|| CodeObject {
        id: "OTP".to_owned(),
        online: info.pointer("/OTP/type") == Some(&json!("online")),
    });
    (asked("PIN").then(|| "PIN".to_owned()), code)
}

/// The authentication objects of v2: a password without a generator is the PIN, any other in-band object a code.
fn factors_v2(info: &Value) -> (Option<String>, Option<CodeObject>) {
    let objects = info.pointer("/auth/objects").and_then(Value::as_array);
    let (mut pin, mut code) = (None, None);
    for object in objects.into_iter().flatten() {
        let of = |name: &str| object.get(name).and_then(Value::as_str);
        let Some(id) = of("id") else { continue };
        match (of("type"), of("generator")) {
            (Some("Password"), None) => pin = Some(id.to_owned()),
            (Some(kind @ ("Password" | "ChallengeResponse")), _) => {
                code = Some(CodeObject {
                    id: id.to_owned(),
                    online: kind == "ChallengeResponse",
                });
            }
            _ => {}
        }
    }
    (pin, code)
}

/// An `Authorization` header of HTTP Basic.
pub(super) fn basic_header(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn token_in(answer: &Answer) -> Result<String, Stop> {
    let body = answer.json();
    let token = body.get("access_token").and_then(Value::as_str);
    let token = token.ok_or_else(|| broken(format!("the log-in failed: {}", said(answer))))?;
    Ok(token.to_owned())
}
