//! Both factors for exactly one order: with the call (CSC v1 11.6, v2 11.6), or on our own pages.

use std::time::Duration;

use hsm_adapter::{Content, Factor as Proven, Pin, Secret, version_of};

use super::{
    Credential, Error, Keys, Kind, Mode, Order,
    refusal::{Asked, refused},
    sad,
};
use crate::{
    audit::{self, Act, Event},
    clock::Millis,
    factor::{Claim, Factor, Otp, Purpose, Taken},
    ids::{ActivationId, ClientId},
    jobs::{Job, Notice},
    oauth::ServiceAccess,
    params,
    store::StoreError,
};

/// What the holder proves himself with.
#[derive(Debug)]
pub struct Approval {
    /// What he knows.
    pub pin: Pin,
    /// What he has.
    pub otp: Otp,
}

/// What an approval becomes.
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) purpose: Purpose,
    /// What else belongs to it.
    pub(super) bound: Option<String>,
    pub(super) lifetime: Duration,
    /// Until when it may be extended.
    pub(super) ends_after: Duration,
}

/// A SAD that was just issued: the only time its value exists on this side.
pub struct Issued {
    /// `id.secret`.
    pub sad: String,
    /// Seconds until it ends.
    pub expires_in: i64,
}

impl Keys {
    /// Takes both factors for exactly this order and issues a SAD.
    ///
    /// The OTP goes first: without it nobody can try PINs. Taking it counts the PIN try too, in one transaction and before the PIN is
    /// looked at, so that a crash or parallel guesses cannot save a try; the right PIN sets the count back. A wrong PIN has
    /// spent the OTP. A refusal is recorded.
    ///
    /// # Errors
    /// [`Error::Disabled`], [`Error::CertificateExpired`], [`Error::OtpLocked`], [`Error::PinLocked`], [`Error::WrongOtp`],
    /// [`Error::WrongPin`], [`Error::Damaged`], or a failure of database or HSM (which counts no try).
    pub async fn authorise(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        order: &Order,
        approval: Approval,
    ) -> Result<Issued, Error> {
        let form = Form {
            kind: Kind::Sad,
            // Asked on our own page, a code is for these signatures alone.
            purpose: match credential.mode {
                Mode::Implicit => Purpose::Approve(order.fingerprint()),
                Mode::Explicit | Mode::Code | Mode::Automatic => Purpose::Sign,
            },
            bound: None,
            lifetime: self.policy.sad_lifetime,
            ends_after: self.policy.authorization_lifetime,
        };
        self.authorise_as(access, credential, order, approval, form)
            .await
    }

    /// The same, for a SAD or a code.
    pub(super) async fn authorise_as(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        order: &Order,
        approval: Approval,
        form: Form,
    ) -> Result<Issued, Error> {
        let now = self.clock.now();
        let approved = self
            .approve(access, credential, order, approval, form, now)
            .await;
        match approved {
            Ok(issued) => Ok(issued),
            Err(error) => {
                let asked = Asked::Sad(Act::Authorize);
                Err(refused(
                    &self.store,
                    now,
                    access,
                    Some(credential),
                    None,
                    asked,
                    error,
                )
                .await)
            }
        }
    }

    /// Whether the credential may be used now; a refusal is recorded.
    ///
    /// # Errors
    /// [`Error::Disabled`], [`Error::CertificateExpired`].
    pub async fn usable(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        match self.may_sign(credential, now) {
            Ok(()) => Ok(()),
            Err(error) => {
                let asked = Asked::Sad(Act::Authorize);
                Err(refused(
                    &self.store,
                    now,
                    access,
                    Some(credential),
                    None,
                    asked,
                    error,
                )
                .await)
            }
        }
    }

    async fn approve(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        order: &Order,
        approval: Approval,
        form: Form,
        now: Millis,
    ) -> Result<Issued, Error> {
        if credential.mode == Mode::Automatic {
            return Err(Error::WrongMode);
        }
        self.may_sign(credential, now)?;
        let factor = self.factor(credential).await?;
        let claim = self
            .factors
            .judge(&factor, credential, &approval.otp, form.purpose)
            .await?;
        let client = &access.client;
        let asked = Event::AuthzAsked {
            credential: credential.id.to_string(),
            client: client.to_string(),
            count: order.count(),
            hashes: order.hashes().iter().map(super::Hash::hex).collect(),
        };
        let bound_to = order.fingerprint();
        // Before a try is taken: what fails from then on gives it back.
        let secret = self.vault.secret().await?;
        let tried = self
            .take_factors(client, credential, Some(asked), bound_to, claim, now)
            .await?;

        let id = ActivationId::random();
        let proven = |kind: &str, id: &str| Proven {
            kind: kind.into(),
            id: id.into(),
            time: now,
        };
        let content = Content {
            version: 1,
            id: id.to_string(),
            kind: form.kind.name().into(),
            holder: credential.holder.to_string(),
            credential: credential.id.to_string(),
            generation: credential.key.generation,
            certificate: credential.certificate_hash(),
            client: access.client.to_string(),
            bound: form.bound.clone(),
            digest: order.digest(),
            hash_type: order.hash_type(),
            hashes: order.hashes().iter().map(super::Hash::hex).collect(),
            count: order.count(),
            factors: vec![
                proven(factor.kind.name(), factor.id.as_str()),
                proven("pin", credential.id.as_str()),
            ],
            issued: now,
            expires: now + sad::millis(form.lifetime),
        };
        let octets =
            serde_json::to_vec(&content).map_err(|_| StoreError::Corrupt("an activation"))?;
        match self
            .vault
            .authorise(&credential.key, &approval.pin, &octets, &secret)
            .await
        {
            Ok(wrapped) => {
                let ends = now + sad::millis(form.ends_after);
                self.issue(
                    &id, &content, octets, wrapped, &secret, credential, access, form.kind, ends,
                )
                .await?;
                self.refresh_seal(credential, &approval.pin).await;
                Ok(Issued {
                    sad: sad::wire(&id, &secret),
                    expires_in: (content.expires - now) / 1000,
                })
            }
            Err(error) => Err(self
                .not_authorised(client, credential, error.into(), tried, now)
                .await?),
        }
    }

    /// The factor of a credential.
    pub(super) async fn factor(&self, credential: &Credential) -> Result<Factor, Error> {
        if let Some(factor) = self.factors.find(&credential.factor).await? {
            return Ok(factor);
        }
        Err(self.damaged(credential, self.clock.now()).await?)
    }

    /// Takes the OTP and reserves a PIN try; `asked` is recorded with it. Gives the number of the try: wrong ones in a row, with this one.
    pub(super) async fn take_factors(
        &self,
        client: &ClientId,
        credential: &Credential,
        asked: Option<Event>,
        bound_to: [u8; 32],
        claim: Claim,
        now: Millis,
    ) -> Result<i64, Error> {
        let (credential, client) = (credential.clone(), client.clone());
        let limit = i64::from(self.policy.max_pin_failures);
        self.store
            .write(async move |tx| {
                if let Some(asked) = &asked {
                    audit::record(tx, now, &credential.pseudonym, asked);
                }
                // A locked PIN is said before the OTP is spent on it.
                let locked = "SELECT pin_failures FROM credential WHERE id = $1 AND pin_failures >= $2";
                if tx.find(locked, params![&credential.id, limit]).await?.is_some() {
                    return Ok(Err(Error::PinLocked));
                }
                match claim.consume(tx, &credential, &client, &bound_to, now).await? {
                    Taken::Right => {}
                    Taken::Wrong => return Ok(Err(Error::WrongOtp)),
                    Taken::Locked => return Ok(Err(Error::OtpLocked)),
                }
                let reserved = tx
                    .find(
                        "UPDATE credential SET pin_failures = pin_failures + 1, version = version + 1
                         WHERE id = $1 AND pin_failures < $2 RETURNING version, pin_failures",
                        params![&credential.id, limit],
                    )
                    .await?;
                let Some(mut row) = reserved else {
                    return Ok(Err(Error::PinLocked));
                };
                let (version, failures) = (row.get(0)?, row.get(1)?);
                let tried = Event::PinTried {
                    credential: credential.id.to_string(),
                    client: client.to_string(),
                    version,
                    failures,
                };
                audit::record(tx, now, &credential.pseudonym, &tried);
                Ok(Ok(failures))
            })
            .await?
    }

    #[expect(clippy::too_many_arguments, reason = "the row of an activation")]
    async fn issue(
        &self,
        id: &ActivationId,
        content: &Content,
        octets: Vec<u8>,
        wrapped: Vec<u8>,
        secret: &Secret,
        credential: &Credential,
        access: &ServiceAccess,
        kind: Kind,
        ends: Millis,
    ) -> Result<(), StoreError> {
        let (id, content, credential) = (id.clone(), content.clone(), credential.clone());
        let ServiceAccess { client, grant, .. } = access.clone();
        let secret_hash = sad::secret_hash(secret);
        self.store
            .write(async move |tx| {
                sad::pin_was_right(tx, &credential, &client, content.issued).await?;
                tx.execute(
                    "INSERT INTO activation (id, version, kind, credential, client, grant_id, secret_hash, content, wrapped, masters, state, remaining,
                         expires, ends, created)
                     VALUES ($1, 1, $13, $2, $3, $11, $4, $5, $6, $12, 'active', $7, $8, $9, $10)",
                    params![
                        &id,
                        &credential.id,
                        &client,
                        secret_hash,
                        octets.clone(),
                        wrapped.clone(),
                        content.count,
                        content.expires,
                        ends,
                        content.issued,
                        grant.as_str(),
                        version_of([wrapped.as_slice()]),
                        kind.name()
                    ],
                )
                .await?;
                let (activation, of) = (id.to_string(), credential.id.to_string());
                let (client, hashes) = (client.to_string(), content.hashes.clone());
                let record = sad::TABLE.record(tx, &id).await?;
                let issued = match kind {
                    Kind::Code => Event::CodeIssued {
                        activation,
                        credential: of,
                        client,
                        count: content.count,
                        hashes,
                        expires: content.expires,
                        record,
                    },
                    Kind::Sad | Kind::Token => Event::SadIssued {
                        activation,
                        credential: of,
                        client,
                        count: content.count,
                        hashes,
                        expires: content.expires,
                        record,
                    },
                };
                audit::record(tx, content.issued, &credential.pseudonym, &issued);
                Ok(())
            })
            .await
    }

    /// Records why there is no SAD; a failure that is not the holder's gives the PIN try back. Of wrong PINs at the same instant the one whose
    /// number is the last that was allowed has locked, and tells the holder.
    pub(super) async fn not_authorised(
        &self,
        client: &ClientId,
        credential: &Credential,
        error: Error,
        tried: i64,
        now: Millis,
    ) -> Result<Error, StoreError> {
        let wrong_pin = matches!(error, Error::WrongPin);
        if matches!(error, Error::Damaged) {
            self.damaged(credential, now).await?;
        }
        let (credential, client) = (credential.clone(), client.to_string());
        let limit = i64::from(self.policy.max_pin_failures);
        self.store
            .write(async move |tx| {
                let id = credential.id.to_string();
                if wrong_pin {
                    const SQL: &str = "SELECT pin_failures FROM credential WHERE id = $1";
                    let failures = match tx.find(SQL, params![&credential.id]).await? {
                        Some(mut row) => row.get::<i64>(0)?,
                        None => 0,
                    };
                    let fail = Event::PinFail { credential: id.clone(), client: client.clone(), failures };
                    audit::record(tx, now, &credential.pseudonym, &fail);
                    if tried == limit && failures >= limit {
                        audit::record(tx, now, &credential.pseudonym, &Event::PinLocked { credential: id });
                        Job::notice(&Notice::pin_locked(&credential.id), now).enqueue(tx, now).await?;
                    }
                    return Ok(());
                }
                let returned = tx
                    .find(
                        "UPDATE credential SET pin_failures = pin_failures - 1, version = version + 1
                         WHERE id = $1 AND pin_failures > 0 RETURNING version, pin_failures",
                        params![&credential.id],
                    )
                    .await?;
                if let Some(mut row) = returned {
                    let returned = Event::PinTryReturned {
                        credential: id.clone(),
                        version: row.get(0)?,
                        failures: row.get(1)?,
                    };
                    audit::record(tx, now, &credential.pseudonym, &returned);
                }
                Ok(())
            })
            .await?;
        Ok(error)
    }
}
