//! Automatic signature: a holder gives a client a mandate, within whose terms it signs without him (SC-97, SC-98).
//!
//! A mandate is a row of `activation` whose content are its [`Terms`]: they go into the key-encryption key, so that edited terms
//! open nothing. Its secret is handed out once. On the wire it is the SAD of signatures/signHash: CSC v2 8.5 has automated seals
//! signed with one SAD for many signatures, made with a person once; credentials/authorize would ask each time for what nobody types.
//!
//! Count and rate go down in one statement. The holder ends it whenever he wants; a new PIN, a suspension, a revocation and the end of
//! the certificate end it too, and a blocked holder's signs nothing.

use std::time::Duration;

use hsm_adapter::{Activation, Factor as Proven, Rate, Secret, Terms, version_of};
use sha2::{Digest as _, Sha256};

use super::{
    Approval, Credential, Error, Keys, Mode, Work,
    permit::{Permit, Started},
    sad::{self, Sad},
};
use crate::{
    audit::{self, Event},
    clock::Millis,
    factor::Purpose,
    ids::{ActivationId, ClientId, HolderId},
    oauth::ServiceAccess,
    params,
    store::{Store, StoreError, Tx},
};

mod held;

pub use held::{Mandate, Standing};

/// The longest a mandate lasts.
const YEAR: Millis = 365 * DAY;
const DAY: Millis = 86_400_000;
/// Kinds of documents that one may name, and characters of each.
const DOCUMENTS: (usize, usize) = (20, 100);

/// What a holder wants to allow.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How many signatures in all.
    pub count: u32,
    /// How many in a while.
    pub rate: Rate,
    /// What kinds of documents, in his words.
    pub documents: Vec<String>,
    /// When it ends.
    pub expires: Millis,
}

/// A mandate that was just given: the only time its value exists on this side.
pub struct Given {
    /// `id.secret`, for the client.
    pub mandate: String,
    /// Its identifier, for the holder.
    pub id: ActivationId,
}

impl Wanted {
    fn check(&self, credential: &Credential, now: Millis) -> Result<(), Error> {
        let (kinds, length) = DOCUMENTS;
        if self.count == 0 || self.rate.count == 0 {
            return Err(Error::Terms("a mandate is for at least one signature"));
        }
        if !(1_000..=31 * DAY).contains(&self.rate.period) {
            return Err(Error::Terms(
                "the period of a mandate's rate is between a second and 31 days",
            ));
        }
        if self.expires <= now || self.expires > (now + YEAR).min(credential.not_after) {
            return Err(Error::Terms(
                "a mandate ends within a year, and before its certificate",
            ));
        }
        let named = |kind: &String| !kind.trim().is_empty() && kind.chars().count() <= length;
        if !(1..=kinds).contains(&self.documents.len()) || !self.documents.iter().all(named) {
            return Err(Error::Terms(
                "a mandate names 1 to 20 kinds of documents, each in at most 100 characters",
            ));
        }
        Ok(())
    }
}

impl Keys {
    /// Gives this client a mandate: PIN and a code asked for this, as for a signature.
    ///
    /// # Errors
    /// [`Error::WrongMode`] for a credential that is not for automatic signature, [`Error::Terms`], and as
    /// [`Keys::authorise`].
    pub async fn give_mandate(
        &self,
        credential: &Credential,
        client: &ClientId,
        wanted: Wanted,
        approval: Approval,
    ) -> Result<Given, Error> {
        let now = self.clock.now();
        if credential.mode != Mode::Automatic {
            return Err(Error::WrongMode);
        }
        self.may_sign(credential, now)?;
        wanted.check(credential, now)?;
        let factor = self.factor(credential).await?;
        let claim = self
            .factors
            .judge(&factor, credential, &approval.otp, Purpose::Mandate)
            .await?;
        let id = ActivationId::random();
        let proven = |kind: &str, id: &str| Proven {
            kind: kind.into(),
            id: id.into(),
            time: now,
        };
        let terms = Terms {
            version: Terms::VERSION,
            id: id.to_string(),
            kind: Terms::KIND.into(),
            holder: credential.holder.to_string(),
            credential: credential.id.to_string(),
            generation: credential.key.generation,
            certificate: credential.certificate_hash(),
            client: client.to_string(),
            count: wanted.count,
            rate: wanted.rate,
            documents: wanted.documents,
            factors: vec![
                proven(factor.kind.name(), factor.id.as_str()),
                proven("pin", credential.id.as_str()),
            ],
            issued: now,
            expires: wanted.expires,
        };
        let octets = serde_json::to_vec(&terms).map_err(|_| StoreError::Corrupt("a mandate"))?;
        let direct = ClientId::direct();
        let bound_to = Sha256::digest(&octets).into();
        let taken = self.take_factors(&direct, credential, None, bound_to, claim, now);
        let tried = taken.await?;
        let secret = self.vault.secret().await?;
        match self
            .vault
            .authorise(&credential.key, &approval.pin, &octets, &secret)
            .await
        {
            Ok(wrapped) => {
                self.store_mandate(&id, terms, octets, wrapped, &secret, credential)
                    .await?;
                self.refresh_seal(credential, &approval.pin).await;
                Ok(Given {
                    mandate: sad::wire(&id, &secret),
                    id,
                })
            }
            Err(error) => Err(self
                .not_authorised(&direct, credential, error.into(), tried, now)
                .await?),
        }
    }

    async fn store_mandate(
        &self,
        id: &ActivationId,
        terms: Terms,
        octets: Vec<u8>,
        wrapped: Vec<u8>,
        secret: &Secret,
        credential: &Credential,
    ) -> Result<(), StoreError> {
        let (id, credential, client) = (
            id.clone(),
            credential.clone(),
            ClientId::new(terms.client.as_str()),
        );
        let secret_hash = sad::secret_hash(secret);
        self.store
            .write(async move |tx| {
                sad::pin_was_right(tx, &credential, &ClientId::direct(), terms.issued).await?;
                tx.execute(
                    "INSERT INTO activation (id, version, kind, credential, client, grant_id, secret_hash, content, wrapped, masters, state,
                         remaining, expires, ends, created, next_position, period_start, period_used)
                     VALUES ($1, 1, $2, $3, $4, $1, $5, $6, $7, $8, 'active', $9, $10, $10, $11, 0, $11, 0)",
                    params![
                        &id,
                        Terms::KIND,
                        &credential.id,
                        &client,
                        secret_hash,
                        octets.clone(),
                        wrapped.clone(),
                        version_of([wrapped.as_slice()]),
                        terms.count,
                        terms.expires,
                        terms.issued
                    ],
                )
                .await?;
                link(tx, &client, &credential.holder, &credential.pseudonym, terms.issued).await?;
                let created = Event::MandateCreated {
                    activation: id.to_string(),
                    credential: credential.id.to_string(),
                    client: client.to_string(),
                    count: terms.count,
                    rate: terms.rate.count,
                    period: terms.rate.period,
                    expires: terms.expires,
                    record: sad::TABLE.record(tx, &id).await?,
                };
                audit::record(tx, terms.issued, &credential.pseudonym, &created);
                Ok(())
            })
            .await
    }

    /// Counts a mandate down for a permit; one statement decides secret, client, credential, state, time, count and rate.
    pub(super) async fn redeem_mandate(
        &self,
        mandate: Sad,
        now: Millis,
        access: &ServiceAccess,
        credential: &Credential,
        work: Work,
        request: &str,
    ) -> Result<Permit, Error> {
        let found = find(&self.store, &mandate, &access.client, credential).await?;
        let Found {
            terms,
            octets,
            wrapped,
            state,
        } = found;
        if !access.is_strong() {
            return Err(Error::WeakClient);
        }
        if state != "active" {
            return Err(Error::InvalidSad);
        }
        if terms.expires <= now {
            return Err(Error::SadExpired);
        }
        self.may_sign(credential, now)?;
        let (id, client, of, request_id) = (
            mandate.id.clone(),
            access.client.clone(),
            credential.clone(),
            request.to_owned(),
        );
        let approved = work.approved();
        let many = approved.len();
        let hashes = approved.iter().map(|digest| digest.octets().to_vec());
        let (hashes, derived): (Vec<_>, _) = (hashes.collect(), work.derived());
        let (rate, secret_hash) = (terms.rate, sad::secret_hash(&mandate.secret));
        let redeemed = self
            .store
            .write(async move |tx| {
                const REDEEM: &str = "UPDATE activation
                    SET remaining = remaining - $5, state = CASE WHEN remaining = $5 THEN 'used' ELSE 'active' END,
                        version = version + 1, next_position = next_position + $5,
                        period_used = CASE WHEN period_start + $8 <= $6 THEN $5 ELSE period_used + $5 END,
                        period_start = CASE WHEN period_start + $8 <= $6 THEN $6 ELSE period_start END
                    WHERE id = $1 AND secret_hash = $2 AND client = $3 AND credential = $4 AND state = 'active' AND kind = 'mandate'
                        AND remaining >= $5 AND expires > $6
                        AND CASE WHEN period_start + $8 <= $6 THEN $5 ELSE period_used + $5 END <= $7
                    RETURNING version, remaining, next_position, period_start, period_used";
                const WHY: &str = "SELECT period_start FROM activation
                    WHERE id = $1 AND state = 'active' AND remaining >= $2 AND expires > $3";
                let many = i64::try_from(hashes.len()).unwrap_or(i64::MAX);
                let counted = tx
                    .find(
                        REDEEM,
                        params![&id, secret_hash, &client, &of.id, many, now, rate.count, rate.period],
                    )
                    .await?;
                let Some(mut counted) = counted else {
                    let why = tx.find(WHY, params![&id, many, now]).await?;
                    let start = why.map(|mut row| row.get::<Millis>(0)).transpose()?;
                    return Ok(Err(start.map(|start| start + rate.period)));
                };
                let (version, remaining): (i64, i64) = (counted.get(0)?, counted.get(1)?);
                let next: u32 = counted.get(2)?;
                let first = next.saturating_sub(u32::try_from(hashes.len()).unwrap_or(u32::MAX));
                let marks: Vec<_> = (first..next).zip(hashes.iter().cloned()).collect();
                let started = Started {
                    id: &id,
                    credential: &of,
                    client: &client,
                    request: &request_id,
                    marks: &marks,
                    derived: &derived,
                    version,
                    remaining,
                    state: if remaining == 0 { "used" } else { "active" }.to_owned(),
                };
                started.mark(tx, now).await?;
                let used = Event::MandateUsed {
                    activation: id.to_string(),
                    credential: of.id.to_string(),
                    client: client.to_string(),
                    request: request_id.clone(),
                    version,
                    remaining,
                    next_position: i64::from(next),
                    period_start: counted.get(3)?,
                    period_used: counted.get(4)?,
                };
                audit::record(tx, now, &of.pseudonym, &used);
                Ok(Ok((first..next).collect::<Vec<_>>()))
            })
            .await;
        let positions = match redeemed {
            Ok(Ok(positions)) => positions,
            Ok(Err(Some(_))) if many > rate.count as usize => {
                // More than any period will have.
                return Err(Error::NotAuthorised);
            }
            Ok(Err(Some(next))) => {
                let left = u64::try_from(next - now).unwrap_or_default();
                return Err(Error::TooSoon {
                    retry_after: Duration::from_millis(left),
                });
            }
            Ok(Err(None)) => return Err(Error::InvalidSad),
            Err(StoreError::Corrupt(_)) => return Err(Error::Damaged),
            Err(error) => return Err(error.into()),
        };
        let activation = Activation {
            content: octets,
            wrapped,
            secret: mandate.secret,
        };
        Ok(Permit::new(
            mandate.id, credential, request, activation, work, positions,
        ))
    }
}

/// A mandate as stored.
struct Found {
    terms: Terms,
    octets: Vec<u8>,
    wrapped: Vec<u8>,
    state: String,
}

/// The mandate, if this is its secret and it was given to this client for this credential.
async fn find(
    store: &Store,
    mandate: &Sad,
    client: &ClientId,
    credential: &Credential,
) -> Result<Found, Error> {
    const SQL: &str =
        "SELECT content, wrapped, state, expires, kind, client, credential FROM activation
                       WHERE id = $1 AND secret_hash = $2";
    let params = params![&mandate.id, sad::secret_hash(&mandate.secret)];
    let mut row = store.find(SQL, params).await?.ok_or(Error::InvalidSad)?;
    let octets: Vec<u8> = row.get(0)?;
    let terms: Terms = serde_json::from_slice(&octets).map_err(|_| Error::Damaged)?;
    // The columns only repeat what the key was wrapped for.
    let of: [String; 3] = [row.get(4)?, row.get(5)?, row.get(6)?];
    if [&terms.kind, &terms.client, &terms.credential] != of.each_ref()
        || terms.expires != row.get::<Millis>(3)?
    {
        return Err(Error::Damaged);
    }
    if terms.client != client.as_str() || terms.credential != credential.id.as_str() {
        return Err(Error::InvalidSad);
    }
    Ok(Found {
        terms,
        octets,
        wrapped: row.get(1)?,
        state: row.get(2)?,
    })
}

/// A client sees the holder who gave it a mandate.
async fn link(
    tx: &mut Tx,
    client: &ClientId,
    holder: &HolderId,
    person: &str,
    now: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO client_holder (client, holder, created) VALUES ($1, $2, $3)
                       ON CONFLICT (client, holder) DO NOTHING";
    if tx.execute(SQL, params![client, holder, now]).await? == 1 {
        let linked = Event::ClientLinked {
            client: client.to_string(),
            holder: holder.to_string(),
        };
        audit::record(tx, now, person, &linked);
    }
    Ok(())
}
