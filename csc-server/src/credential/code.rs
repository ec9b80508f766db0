//! Authorization codes and credential tokens (CSC v1 8.3, v2 8.4): activations as a SAD is one. What opens the key goes with the code
//! through the holder's browser to the client, and at the token endpoint is re-wrapped under the token's secret; between the two, as
//! before and after, nothing on this side opens it.

use hsm_adapter::{Activation, Content, version_of};

use super::{
    Approval, Credential, Error, Issued, Keys, Order,
    authorise::Form,
    sad::{self, Sad, TABLE, millis, secret_hash, wire},
};
use crate::{
    audit::{self, Event},
    clock::Millis,
    factor::Purpose,
    ids::{ActivationId, ClientId, CredentialId, HolderId},
    oauth::ServiceAccess,
    params,
    store::{Row, StoreError},
};

/// What an activation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Signature activation data.
    Sad,
    /// An authorization code: good for one token, and for no signature.
    Code,
    /// A credential token.
    Token,
}

impl Kind {
    /// The name in the database and in what was approved.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sad => "sad",
            Self::Code => "code",
            Self::Token => "token",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Sad, Self::Code, Self::Token]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What a code became.
pub struct Traded {
    /// The credential token: the only time its value exists on this side.
    pub token: Issued,
    /// What it opens.
    pub credential: CredentialId,
}

/// A credential token that came as a bearer token: a service token for what concerns its credential, and its own SAD.
#[derive(Debug)]
pub struct TokenAccess {
    /// Who calls, and for whom.
    pub service: ServiceAccess,
    /// Which credential it is for.
    pub credential: CredentialId,
}

/// A code as it stands.
struct StoredCode {
    content: Content,
    octets: Vec<u8>,
    wrapped: Vec<u8>,
    grant: String,
    state: String,
}

impl StoredCode {
    fn read(row: &mut Row) -> Result<Self, Error> {
        let octets: Vec<u8> = row.get(0)?;
        Ok(Self {
            content: serde_json::from_slice(&octets).map_err(|_| Error::Damaged)?,
            octets,
            wrapped: row.get(1)?,
            grant: row.get(2)?,
            state: row.get(3)?,
        })
    }
}

impl Keys {
    /// Takes both factors on our own page for exactly this order, and gives the code that goes to the client. It answers one request,
    /// `bound`, whose every octet the key is wrapped with.
    ///
    /// # Errors
    /// As [`Keys::authorise`].
    pub async fn authorise_code(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        order: &Order,
        approval: Approval,
        bound: String,
    ) -> Result<Issued, Error> {
        let form = Form {
            kind: Kind::Code,
            purpose: Purpose::Approve(order.fingerprint()),
            bound: Some(bound),
            lifetime: self.policy.code_lifetime,
            ends_after: self.policy.code_lifetime,
        };
        self.authorise_as(access, credential, order, approval, form)
            .await
    }

    /// Trades a code for a credential token, once; `confirmation` is the key that the token is bound to from then on. A code that comes a
    /// second time ends what the first time gave: one of the two was a thief.
    ///
    /// # Errors
    /// [`Error::InvalidSad`] also for a code of another client or of another request, [`Error::SadExpired`], and when the credential may not
    /// sign any more.
    pub async fn trade(
        &self,
        client: &ClientId,
        code: &str,
        bound: &str,
        confirmation: Option<String>,
    ) -> Result<Traded, Error> {
        const SQL: &str = "SELECT content, wrapped, grant_id, state FROM activation
                           WHERE id = $1 AND secret_hash = $2 AND client = $3 AND kind = 'code'";
        let code = Sad::parse(code)?;
        let now = self.clock.now();
        let found = self
            .store
            .find(SQL, params![&code.id, secret_hash(&code.secret), client])
            .await?;
        let stored = StoredCode::read(&mut found.ok_or(Error::InvalidSad)?)?;
        let content = &stored.content;
        let id = CredentialId::new(content.credential.as_str());
        let credential = Credential::by_id(&self.store, &id).await?;
        let credential = credential.ok_or(Error::InvalidSad)?;
        if content.kind != Kind::Code.name()
            || content.id != code.id.as_str()
            || content.client != client.as_str()
            || content.bound.as_deref() != Some(bound)
        {
            return Err(Error::InvalidSad);
        }
        match stored.state.as_str() {
            "active" => {}
            "used" => {
                self.used_again(&code.id, &stored.grant, &credential, client, now)
                    .await?;
                return Err(Error::InvalidSad);
            }
            _ => return Err(Error::InvalidSad),
        }
        if content.expires <= now || content.is_of_the_future(now) {
            return Err(Error::SadExpired);
        }
        self.may_sign(&credential, now)?;
        self.rewrap(client, &credential, code, stored, confirmation, now)
            .await
    }

    async fn rewrap(
        &self,
        client: &ClientId,
        credential: &Credential,
        code: Sad,
        stored: StoredCode,
        confirmation: Option<String>,
        now: Millis,
    ) -> Result<Traded, Error> {
        let token = Sad {
            id: ActivationId::random(),
            secret: self.vault.secret().await?,
        };
        let content = Content {
            id: token.id.to_string(),
            kind: Kind::Token.name().to_owned(),
            bound: confirmation,
            issued: now,
            expires: now + millis(self.policy.sad_lifetime),
            ..stored.content
        };
        let octets =
            serde_json::to_vec(&content).map_err(|_| StoreError::Corrupt("an activation"))?;
        let code_hash = secret_hash(&code.secret);
        let from = Activation {
            content: stored.octets,
            wrapped: stored.wrapped,
            secret: code.secret,
        };
        let wrapped = self
            .vault
            .extend(&credential.key, &from, &octets, &token.secret)
            .await;
        let wrapped = match wrapped.map_err(Error::from) {
            Err(Error::Damaged) => return Err(self.damaged(credential, now).await?),
            wrapped => wrapped?,
        };

        let ends = now + millis(self.policy.authorization_lifetime);
        let (of, by, grant) = (credential.clone(), client.clone(), stored.grant.clone());
        let (code_id, token_id) = (code.id.clone(), token.id.clone());
        let (token_hash, expires) = (secret_hash(&token.secret), content.expires);
        let traded = self
            .store
            .write(async move |tx| {
                let used = tx
                    .find(
                        "UPDATE activation SET state = 'used', version = version + 1
                         WHERE id = $1 AND secret_hash = $2 AND kind = 'code' AND state = 'active' AND expires > $3
                         RETURNING version",
                        params![&code_id, code_hash, now],
                    )
                    .await?;
                let Some(mut used) = used else {
                    return Ok(false);
                };
                tx.execute(
                    "INSERT INTO activation (id, version, kind, credential, client, grant_id, secret_hash, content, wrapped, masters, state, remaining,
                         expires, ends, created)
                     VALUES ($1, 1, 'token', $2, $3, $4, $5, $6, $7, $8, 'active', $9, $10, $11, $12)",
                    params![
                        &token_id,
                        &of.id,
                        &by,
                        grant.as_str(),
                        token_hash,
                        octets.clone(),
                        wrapped.clone(),
                        version_of([wrapped.as_slice()]),
                        content.count,
                        expires,
                        ends,
                        now
                    ],
                )
                .await?;
                let event = Event::CodeTraded {
                    code: code_id.to_string(),
                    code_version: used.get(0)?,
                    activation: token_id.to_string(),
                    credential: of.id.to_string(),
                    client: by.to_string(),
                    count: content.count,
                    hashes: content.hashes.clone(),
                    expires,
                    record: TABLE.record(tx, &token_id).await?,
                };
                audit::record(tx, now, &of.pseudonym, &event);
                Ok(true)
            })
            .await?;
        if !traded {
            // It was used, or ended, between look and trade.
            self.used_again(&code.id, &stored.grant, credential, client, now)
                .await?;
            return Err(Error::InvalidSad);
        }
        Ok(Traded {
            token: Issued {
                sad: wire(&token.id, &token.secret),
                expires_in: (expires - now) / 1000,
            },
            credential: credential.id.clone(),
        })
    }

    /// Ends what a code gave that comes once more.
    async fn used_again(
        &self,
        code: &ActivationId,
        grant: &str,
        credential: &Credential,
        client: &ClientId,
        now: Millis,
    ) -> Result<(), StoreError> {
        let (grant, person) = (grant.to_owned(), credential.pseudonym.clone());
        let event = Event::CodeReused {
            activation: code.to_string(),
            credential: credential.id.to_string(),
            client: client.to_string(),
        };
        self.store
            .write(async move |tx| {
                audit::record(tx, now, &person, &event);
                super::lifecycle::end_grant(tx, &grant, now).await
            })
            .await
    }

    /// Who a credential token speaks for; `None` when it is none.
    ///
    /// # Errors
    /// [`Error::SadExpired`] when it was good once, or a failure of the database.
    pub async fn bearer(&self, token: &str) -> Result<Option<TokenAccess>, Error> {
        const SQL: &str = "SELECT a.content, a.grant_id, a.state, h.status FROM activation a
                           JOIN credential c ON c.id = a.credential JOIN holder h ON h.id = c.holder
                           WHERE a.id = $1 AND a.secret_hash = $2 AND a.kind = 'token'";
        let Ok(token) = Sad::parse(token) else {
            return Ok(None);
        };
        let found = self
            .store
            .find(SQL, params![&token.id, secret_hash(&token.secret)])
            .await?;
        let Some(mut row) = found else {
            return Ok(None);
        };
        let content: Content =
            serde_json::from_slice(&row.get::<Vec<u8>>(0)?).map_err(|_| Error::Damaged)?;
        let (state, holder): (String, String) = (row.get(2)?, row.get(3)?);
        let now = self.clock.now();
        if !matches!(state.as_str(), "active" | "spent")
            || holder != "active"
            || content.expires <= now
        {
            return Err(Error::SadExpired);
        }
        Ok(Some(TokenAccess {
            credential: CredentialId::new(content.credential),
            service: ServiceAccess {
                grant: row.get(1)?,
                confirmation: content.bound,
                ..ServiceAccess::new(
                    ClientId::new(content.client),
                    Some(HolderId::new(content.holder)),
                )
            },
        }))
    }

    /// Whether this has the form of a SAD, a code or a credential token.
    pub fn is_activation(text: &str) -> bool {
        sad::Sad::parse(text).is_ok_and(|sad| sad.id.is_well_formed())
    }
}
