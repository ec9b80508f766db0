//! What an application does: it sends a person's browser to the authorization server, or pushes its request before.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    check::{Stop, V2, Verdict, broken, must},
    context::{Context, Document, said},
    prepare::basic_header,
    settings::Application,
    wire::{Answer, Request},
};

/// The parameters of an authorization request.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    fields: Vec<(String, String)>,
    /// What answers its code_challenge.
    pub(super) verifier: String,
}

impl Asking {
    /// With a parameter that has this value, and no other.
    pub(super) fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    /// Without a parameter.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// Nothing but the name of this request, which was pushed.
    pub(super) fn named(self, name: &str) -> Self {
        let client = self
            .fields
            .into_iter()
            .filter(|(name, _)| name == "client_id");
        Self {
            fields: client.collect(),
            verifier: self.verifier,
        }
        .with("request_uri", name)
    }

    /// With one more parameter, whether it is there already or not.
    pub(super) fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.fields.iter();
        pairs.map(|(name, value)| (&**name, &**value)).collect()
    }
}

impl Context<'_> {
    /// The application of the settings.
    pub(super) fn application(&self) -> Result<&Application, Stop> {
        let application = self.session.settings.application.as_ref();
        application.ok_or_else(|| Stop::Skip("the settings have no [application]".to_owned()))
    }

    /// A good request for the scope service, with PKCE (RFC 7636).
    pub(super) fn asking(&self) -> Result<Asking, Stop> {
        let application = self.application()?;
        let verifier = BASE64_URL_SAFE_NO_PAD.encode(self.random());
        let challenge = challenge(&verifier);
        let fields = [
            ("response_type", "code"),
            ("client_id", &application.id),
            ("redirect_uri", &application.redirect_uri),
            ("scope", "service"),
            ("state", STATE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Asking {
            fields: fields.into(),
            verifier,
        })
    }

    /// A good request for signatures of these documents, as v2 has it.
    pub(super) fn asking_to_sign(&self, documents: &[Document]) -> Result<Asking, Stop> {
        let (subject, algorithm) = (self.subject(V2)?, self.algorithm(V2)?);
        let hashes = documents.iter();
        let hashes = hashes.map(|document| url_safe(&document.hash(&algorithm)));
        let hashes: Vec<_> = hashes.collect();
        let asking = self.asking()?.with("scope", "credential");
        Ok(asking
            .with("credentialID", subject.id)
            .with("numSignatures", documents.len().to_string())
            .with("hashes", hashes.join(","))
            .with("hashAlgorithmOID", algorithm.hash.oid))
    }

    /// What is asked for these documents as one object (RFC 9396).
    pub(super) fn details(&self, documents: &[Document]) -> Result<Value, Stop> {
        let (subject, algorithm) = (self.subject(V2)?, self.algorithm(V2)?);
        let digests = documents.iter().enumerate();
        let digests = digests.map(|(index, document)| {
            json!({"hash": document.hash(&algorithm), "label": format!("Document {}", index + 1)})
        });
        Ok(json!({
            "type": "credential",
            "credentialID": subject.id,
            "numSignatures": documents.len(),
            "documentDigests": digests.collect::<Vec<_>>(),
            "hashAlgorithmOID": algorithm.hash.oid,
        }))
    }

    /// A request with `authorization_details`.
    pub(super) fn asking_by(&self, details: &Value) -> Result<Asking, Stop> {
        let asking = self.asking()?.without("scope");
        Ok(asking.with("authorization_details", details.to_string()))
    }

    /// Sends the browser to oauth2/authorize.
    pub(super) async fn ask(&self, asking: &Asking) -> Result<Answer, Stop> {
        self.send(Request::get(self.address(asking)?)).await
    }

    /// The address of oauth2/authorize with this request.
    pub(super) fn address(&self, asking: &Asking) -> Result<String, Stop> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asking.pairs());
        Ok(format!(
            "{}?{}",
            self.oauth("authorize")?.url,
            query.finish()
        ))
    }

    /// Pushes a request, as the application.
    pub(super) async fn push(&self, asking: &Asking) -> Result<Answer, Stop> {
        let application = self.application()?;
        let header = basic_header(&application.id, application.secret.value());
        self.push_with(asking, &header).await
    }

    /// Pushes a request with this `Authorization` header.
    pub(super) async fn push_with(&self, asking: &Asking, header: &str) -> Result<Answer, Stop> {
        let request = self.oauth("pushed_authorize")?;
        let request = request.header("Authorization", header);
        self.send(request.form(&asking.pairs())).await
    }

    /// Pushes a request without saying who one is by header.
    pub(super) async fn push_openly(&self, asking: &Asking) -> Result<Answer, Stop> {
        let request = self.oauth("pushed_authorize")?;
        self.send(request.form(&asking.pairs())).await
    }

    /// Pushes a good request and gives its name.
    pub(super) async fn pushed(&self, asking: &Asking) -> Result<String, Stop> {
        let answer = self.push(asking).await?;
        must!(answer.status == 201, "201 was expected: {}", said(&answer));
        let body = answer.json();
        let name = super::refusal::string(&body, "/request_uri")?;
        Ok(name.to_owned())
    }

    /// Sends the browser to oauth2/authorize with the name of a pushed request.
    pub(super) async fn pick_up(&self, client: &str, name: &str) -> Result<Answer, Stop> {
        let asking = self.asking()?.with("client_id", client);
        self.ask(&asking.named(name)).await
    }

    /// Where the answer sends the browser back to the application: the parameters of the address.
    pub(super) fn back(
        &self,
        answer: &Answer,
    ) -> Result<Option<BTreeMap<String, Vec<String>>>, Stop> {
        let registered = &self.application()?.redirect_uri;
        let location = answer.header("location").unwrap_or_default();
        let redirect = (300..400).contains(&answer.status) && location.starts_with(&**registered);
        if !redirect {
            return Ok(None);
        }
        let url = Url::parse(location);
        let url = url.map_err(|_| broken(format!("Location is no URL: {location}")))?;
        let mut found = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in url.query_pairs() {
            if name == "code" && value.len() > 5 {
                self.session.secrets.borrow_mut().push(value.to_string());
            }
            let values = found.entry(name.into_owned()).or_default();
            values.push(value.into_owned());
        }
        Ok(Some(found))
    }

    /// The request was taken: the browser sees a page, or is led to one of the server's own.
    pub(super) fn is_taken(&self, answer: &Answer) -> Verdict {
        let back = self.back(answer)?;
        must!(
            back.is_none_or(|found| !found.contains_key("error")),
            "the request was refused: {}",
            answer.header("location").unwrap_or_default()
        );
        must!(
            (200..400).contains(&answer.status),
            "a page or a redirect was expected: {}",
            said(answer)
        );
        Ok(())
    }

    /// The browser is sent back with one of these errors, and with the state it came with.
    pub(super) fn is_sent_back(&self, answer: &Answer, errors: &[&str]) -> Verdict {
        self.is_refused(answer, errors)?;
        let back = self.back(answer)?.unwrap_or_default();
        let state = back.get("state").map(Vec::as_slice);
        let same = matches!(state, Some([state]) if state == STATE);
        must!(same, "state is {state:?}, not '{STATE}'");
        Ok(())
    }

    /// The browser is sent back with one of these errors and no code.
    pub(super) fn is_refused(&self, answer: &Answer, errors: &[&str]) -> Verdict {
        let location = answer.header("location").unwrap_or_default();
        let back = self.back(answer)?;
        let Some(back) = back else {
            return Err(broken(format!(
                "the browser should go back to the application with {errors:?}: {}, Location '{location}'",
                said(answer)
            )));
        };
        let one = |name: &str| match back.get(name).map(Vec::as_slice) {
            Some([one]) => Some(one.as_str()),
            _ => None,
        };
        must!(
            one("error").is_some_and(|error| errors.contains(&error)),
            "one of {errors:?} was expected: {location}"
        );
        must!(
            !back.contains_key("code"),
            "a code beside the error: {location}"
        );
        self.names_issuer(&back)
    }

    /// Nobody is sent anywhere: the server says so on a page of its own (RFC 6749 4.1.2.1).
    pub(super) fn is_nowhere(&self, answer: &Answer) -> Verdict {
        must!(
            (400..500).contains(&answer.status),
            "an error page was expected: {}",
            said(answer)
        );
        must!(
            answer.header("location").is_none(),
            "the browser is sent to {}",
            answer.header("location").unwrap_or_default()
        );
        Ok(())
    }

    /// The answer says who gave it, where the metadata promises it (RFC 9207 2).
    pub(super) fn names_issuer(&self, back: &BTreeMap<String, Vec<String>>) -> Verdict {
        let metadata = self.session.facts(V2).metadata;
        let promised = metadata.get("authorization_response_iss_parameter_supported");
        if promised != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let issuer = metadata.get("issuer").and_then(Value::as_str);
        let said = back.get("iss").map(Vec::as_slice);
        let fits = matches!((said, issuer), (Some([said]), Some(issuer)) if said == issuer);
        must!(fits, "iss is {said:?}, the issuer is {issuer:?}");
        Ok(())
    }
}

/// What every request has for `state`.
pub(super) const STATE: &str = "af0ifjsldkj";

/// The challenge of a verifier, by S256 (RFC 7636 4.2).
pub(super) fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Base64 as URLs have it (CSC API v1 8.3.2).
pub(super) fn url_safe(base64: &str) -> String {
    let text = base64.replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}
