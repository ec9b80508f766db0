//! Requests as they rest: pushed by the client, then in the hands of one browser.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use hsm_adapter::Secret;

use super::{
    Arrived, Asked, Authorization, Authorizations, Error, Redirect, Refusal, Scope,
    request::{Request, redirect_uri},
    with_query,
};
use crate::{
    clock::Millis,
    credential::{self, Credential, Order},
    ids::{ClientId, HolderId, RequestId},
    oauth::{account, client::Client, fields::Fields},
    params,
    store::{Store, StoreError},
};

/// RFC 9126 2.2: how a `request_uri` begins.
const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// A request that was pushed.
pub struct Pushed {
    /// Its name, for one use.
    pub request_uri: String,
    /// Seconds it can be used in.
    pub expires_in: u64,
}

impl Authorizations {
    /// A request of a browser: checked, kept, and bound to it.
    ///
    /// # Errors
    /// [`Error::UnknownClient`] and [`Error::BadRedirect`]: the browser must not be sent anywhere. Everything else that is wrong is told
    /// to the client.
    pub async fn arrive(&self, fields: &Fields) -> Result<Arrived, Error> {
        let id = fields.get("client_id").ok_or(Error::UnknownClient)?;
        let client = self.clients.find(&ClientId::new(id)).await?;
        let client = client.ok_or(Error::UnknownClient)?;
        if let Some(uri) = fields.get("request_uri") {
            return self.pick_up(&client, uri).await;
        }
        let uri = redirect_uri(&client.registration, fields.get("redirect_uri"));
        let uri = uri.ok_or(Error::BadRedirect)?;
        let request = Request {
            client: &client,
            fields,
            pushed: false,
            limit: self.policy.documents,
        };
        match self.checked(&request, uri.clone()).await {
            Ok(asked) => {
                let (id, secret) = (RequestId::random(), self.vault.secret().await?);
                let browser = Some(browser(&secret));
                let lifetime = self.policy.request_lifetime;
                self.keep(&id, &client, &asked, "pending", browser, lifetime)
                    .await?;
                Ok(Arrived::Page {
                    cookie: format!("{id}.{}", secret.expose()),
                })
            }
            Err(Error::Refused(refusal)) => {
                let state = fields.get("state");
                Ok(Arrived::Back(self.back(&uri, state, &refusal)))
            }
            Err(error) => Err(error),
        }
    }

    /// A request that a client pushes (RFC 9126): checked and kept until a browser comes with its name.
    ///
    /// # Errors
    /// [`Error::Refused`] with what is wrong with it.
    pub async fn push(&self, client: &Arc<Client>, fields: &Fields) -> Result<Pushed, Error> {
        if fields.get("request_uri").is_some() {
            return Err(Error::Refused(Refusal::invalid("request_uri")));
        }
        let uri = redirect_uri(&client.registration, fields.get("redirect_uri"));
        let uri = uri.ok_or_else(|| Error::Refused(Refusal::invalid("redirect_uri")))?;
        let request = Request {
            client,
            fields,
            pushed: true,
            limit: self.policy.documents,
        };
        let asked = self.checked(&request, uri).await?;
        let id = RequestId::random();
        let lifetime = self.policy.push_lifetime;
        self.keep(&id, client, &asked, "pushed", None, lifetime)
            .await?;
        Ok(Pushed {
            request_uri: format!("{URN}{id}"),
            expires_in: lifetime.as_secs(),
        })
    }

    /// Everything that can be checked before anybody logs in.
    async fn checked(&self, request: &Request<'_>, redirect_uri: String) -> Result<Asked, Error> {
        let mut asked = request.read(redirect_uri).map_err(Error::Refused)?;
        if let Scope::Deletion(id) = &asked.scope {
            let known = Credential::by_id(&self.store, id).await?;
            known.ok_or_else(|| Error::Refused(Refusal::invalid("credentialID")))?;
        }
        if let Scope::Credential(wanted) = &asked.scope
            && let Some(id) = &wanted.credential
        {
            let unknown = || Error::Refused(Refusal::invalid("credentialID"));
            let credential = Credential::by_id(&self.store, id).await?;
            let credential = credential.ok_or_else(unknown)?;
            let order = Order::new(&credential, wanted.count(), wanted.hashes(), wanted.digest);
            order.map_err(|error| match error {
                credential::Error::TooMany => Error::Refused(Refusal::new(
                    "invalid_request",
                    "Numbers of signatures is too high",
                )),
                error => error.into(),
            })?;
        }
        asked.account = self.account(request).await?;
        Ok(asked)
    }

    /// The only account that may log in, where the client named one; its token is taken once.
    async fn account(&self, request: &Request<'_>) -> Result<Option<HolderId>, Error> {
        const NAME: &str = "account_token";
        let Some(token) = request.fields.get(NAME) else {
            return match request.client.registration.require_account_token {
                true => Err(Error::Refused(Refusal::missing(NAME))),
                false => Ok(None),
            };
        };
        let invalid = || Error::Refused(Refusal::invalid(NAME));
        let now = self.clock.now();
        let token = account::read(request.client, token, now).ok_or_else(invalid)?;
        let holder = match self.accounts.by_user_name(&token.account).await? {
            Some(holder) => Some(holder),
            None => {
                let id = HolderId::new(token.account.as_str());
                self.accounts.by_id(&id).await?
            }
        };
        let holder = holder.ok_or_else(invalid)?;
        let name = token.name;
        let first = self.store.write(async move |tx| name.take(tx, now).await);
        if !first.await? {
            return Err(invalid());
        }
        Ok(Some(holder.id))
    }

    /// A browser comes with the name of a pushed request, once.
    async fn pick_up(&self, client: &Client, uri: &str) -> Result<Arrived, Error> {
        const SQL: &str = "UPDATE oauth_request SET state = 'pending', browser = $3, expires = $4
                           WHERE id = $1 AND client = $2 AND state = 'pushed' AND expires > $5 RETURNING id";
        let id = RequestId::new(uri.strip_prefix(URN).ok_or(Error::Unknown)?);
        let (secret, now) = (self.vault.secret().await?, self.clock.now());
        let (key, by, hash) = (id.clone(), client.id.clone(), browser(&secret));
        let expires = now + millis(self.policy.request_lifetime);
        let found = self
            .store
            .write(async move |tx| {
                let found = tx.find(SQL, params![&key, &by, hash, expires, now]).await?;
                Ok(found.is_some())
            })
            .await?;
        if !found {
            return Err(Error::Unknown);
        }
        Ok(Arrived::Page {
            cookie: format!("{id}.{}", secret.expose()),
        })
    }

    async fn keep(
        &self,
        id: &RequestId,
        client: &Client,
        asked: &Asked,
        state: &'static str,
        browser: Option<[u8; 32]>,
        lifetime: Duration,
    ) -> Result<(), Error> {
        let text = serde_json::to_string(asked).map_err(|_| StoreError::Corrupt("a request"))?;
        let (id, client, now) = (id.clone(), client.id.clone(), self.clock.now());
        let expires = now + millis(lifetime);
        self.store
            .write(async move |tx| {
                // What nobody answered in time is nothing any more; what was answered is traded by then, or never.
                tx.execute(
                    "DELETE FROM oauth_request WHERE expires < $1",
                    params![now - FORGOTTEN],
                )
                .await?;
                tx.execute(
                    "INSERT INTO oauth_request (id, client, request, state, browser, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    params![&id, &client, text.as_str(), state, browser, now, expires],
                )
                .await?;
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// The request of the browser that has this cookie.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Ended`], or a failure of database or HSM.
    pub async fn find(&self, cookie: &str) -> Result<Authorization, Error> {
        const SQL: &str = "SELECT client, request, state, expires FROM oauth_request WHERE id = $1 AND browser = $2";
        let (id, secret) = cookie.split_once('.').ok_or(Error::Unknown)?;
        let secret = Secret::parse(secret).ok_or(Error::Unknown)?;
        let id = RequestId::new(id);
        let row = self.store.find(SQL, params![&id, browser(&secret)]).await?;
        let mut row = row.ok_or(Error::Unknown)?;
        let (client, text): (String, String) = (row.get(0)?, row.get(1)?);
        let (state, expires): (String, Millis) = (row.get(2)?, row.get(3)?);
        if state != "pending" || expires <= self.clock.now() {
            return Err(Error::Ended);
        }
        let client = self.clients.find(&ClientId::new(client)).await?;
        let client = client.ok_or(Error::UnknownClient)?;
        let asked: Asked =
            serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("a request"))?;
        // The row is anybody's to write: where the browser goes, the registration says.
        redirect_uri(&client.registration, Some(&asked.redirect_uri)).ok_or(Error::BadRedirect)?;
        Ok(Authorization {
            bound: bound(&client.id, &text),
            id,
            client,
            asked,
            expires,
        })
    }

    /// The way back with an error (RFC 6749 4.1.2.1).
    pub(super) fn back(&self, uri: &str, state: Option<&str>, refusal: &Refusal) -> Redirect {
        let mut parameters = vec![
            ("error", refusal.error),
            ("error_description", &*refusal.text),
            ("iss", &*self.issuer),
        ];
        parameters.extend(
            state
                .filter(|state| state.len() <= 255)
                .map(|state| ("state", state)),
        );
        Redirect {
            location: with_query(uri, &parameters),
        }
    }
}

/// How long after its end a request may still be asked for: longer than a code lives.
const FORGOTTEN: Millis = 3_600_000;

/// Digest of client and request, hexadecimal.
pub(super) fn bound(client: &ClientId, request: &str) -> String {
    let mut digest = Sha256::new();
    digest.update((client.as_str().len() as u64).to_be_bytes());
    digest.update(client.as_str());
    digest.update(request);
    hex::encode(digest.finalize())
}

fn browser(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.bits()).into()
}

pub(super) fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// The request that a code answers: its text, and when it was answered.
pub(super) async fn answered_by(
    store: &Store,
    client: &ClientId,
    code: &str,
) -> Result<Option<(Asked, String)>, StoreError> {
    const SQL: &str =
        "SELECT request FROM oauth_request WHERE code = $1 AND client = $2 AND state = 'answered'";
    let Some(mut row) = store.find(SQL, params![code, client]).await? else {
        return Ok(None);
    };
    let text: String = row.get(0)?;
    let asked = serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("a request"))?;
    Ok(Some((asked, bound(client, &text))))
}
