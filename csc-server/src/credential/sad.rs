//! The SAD: signature activation data, `id.secret`. It opens one key for exactly the approved hashes, for minutes; the
//! database holds what it opens, never the secret.
//!
//! ```text
//! authorise(n) ─► active ─ sign k < n ─► spent ─ extend ─► active …        every hash at most once
//!                    └──── the last hash ─► used            expires, revoked: nothing more
//! ```
//!
//! `spent` is the strict reading of CSC v1 9.1: after each signHash the client must extend before it signs the rest. A client whose
//! registration says `sad_goes_on` need not.

use std::time::Duration;

use hsm_adapter::{Activation, Content, DigestAlgorithm, Secret, version_of};
use sha2::{Digest as _, Sha256};

use super::{
    Credential, Error, Hash, Issued, Keys, Kind, Mode, Work, lifecycle,
    permit::{Permit, Started},
    refusal::{Asked, refused},
};
use crate::{
    audit::{self, Act, Event},
    clock::Millis,
    ids::{ActivationId, ClientId, CredentialId},
    oauth::{
        ServiceAccess,
        switches::{self, Switch},
    },
    params,
    store::{Store, StoreError, Tx},
};

/// What the audit log vouches for of activations.
pub const TABLE: audit::Table = audit::table!(
    "activation",
    key ["id"],
    told ["version", "state", "remaining", "next_position", "period_start", "period_used"],
    recorded [
        "kind", "credential", "client", "grant_id", "secret_hash", "content", "wrapped", "expires", "ends", "created",
    ]
);

/// A SAD, a code or a credential token as a client presented it. Prints nothing but its identifier.
#[derive(Debug)]
pub(super) struct Sad {
    pub(super) id: ActivationId,
    pub(super) secret: Secret,
}

/// An activation as stored.
struct Stored {
    content: Content,
    octets: Vec<u8>,
    wrapped: Vec<u8>,
    remaining: i64,
    ends: Millis,
    /// It signed, and was not extended since.
    spent: bool,
    /// The positions that were signed.
    signed: Vec<usize>,
}

impl Sad {
    /// From the wire; [`Error::InvalidSad`] when it can be none of ours.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (id, secret) = text.split_once('.').ok_or(Error::InvalidSad)?;
        let secret = Secret::parse(secret).ok_or(Error::InvalidSad)?;
        Ok(Self {
            id: ActivationId::new(id),
            secret,
        })
    }

    async fn redeem(
        self,
        keys: &Keys,
        now: Millis,
        access: &ServiceAccess,
        credential: &Credential,
        work: Work,
        request: &str,
    ) -> Result<Permit, Error> {
        if credential.mode == Mode::Automatic {
            let redeemed = keys.redeem_mandate(self, now, access, credential, work, request);
            return redeemed.await;
        }
        let store = &keys.store;
        let stored = self.find(store, access, credential, now).await?;
        keys.may_sign(credential, now)?;
        // A token signs on without being extended: what it signed already, it does not sign again.
        let spent = stored.spent && access.sad_goes_on;
        // It may be spent by the time it is counted down: of calls at the same time the first spends it for the others.
        let goes_on = access.sad_goes_on || stored.content.kind == Kind::Token.name();
        let signed = match goes_on {
            true => stored.signed.as_slice(),
            false => &[],
        };
        let positions = positions(&stored.content, &work, signed)?;

        let secret_hash = secret_hash(&self.secret);
        let (id, client, of, request_id) = (
            self.id.clone(),
            access.client.clone(),
            credential.clone(),
            request.to_owned(),
        );
        let marks: Vec<(u32, Vec<u8>)> = positions
            .iter()
            .copied()
            .zip(
                work.approved()
                    .iter()
                    .map(|digest| digest.octets().to_vec()),
            )
            .collect();
        let derived = work.derived();
        let may_be_spent = i64::from(access.sad_goes_on);
        if spent {
            switches::used(&access.client, Switch::SadGoesOn);
        }
        let redeemed = store
            .write(async move |tx| {
                let counted = tx
                    .find(
                        "UPDATE activation
                         SET remaining = remaining - $5, state = CASE WHEN remaining = $5 THEN 'used' WHEN kind = 'token' THEN 'active' ELSE 'spent' END,
                             version = version + 1
                         WHERE id = $1 AND secret_hash = $2 AND client = $3 AND credential = $4
                             AND (state = 'active' OR (state = 'spent' AND $7 = 1))
                             AND remaining >= $5 AND expires > $6
                         RETURNING version, remaining, state",
                        params![&id, secret_hash, &client, &of.id, marks.len() as i64, now, may_be_spent],
                    )
                    .await?;
                let Some(mut counted) = counted else {
                    return Ok(false);
                };
                let started = Started {
                    id: &id,
                    credential: &of,
                    client: &client,
                    request: &request_id,
                    marks: &marks,
                    derived: &derived,
                    version: counted.get(0)?,
                    remaining: counted.get(1)?,
                    state: counted.get(2)?,
                };
                started.mark(tx, now).await?;
                Ok(true)
            })
            .await;
        match redeemed {
            Ok(true) => {}
            Ok(false) => return Err(Error::InvalidSad),
            // Another call was faster; of a SAD, somebody else has set the count back.
            Err(StoreError::Corrupt(_)) if goes_on => return Err(Error::NotAuthorised),
            Err(StoreError::Corrupt(_)) => return Err(Error::Damaged),
            Err(error) => return Err(error.into()),
        }
        let activation = Activation {
            content: stored.octets,
            wrapped: stored.wrapped,
            secret: self.secret,
        };
        Ok(Permit::new(
            self.id, credential, request, activation, work, positions,
        ))
    }

    /// The activation, if this is its secret and it was given to this client for this credential.
    async fn find(
        &self,
        store: &Store,
        access: &ServiceAccess,
        credential: &Credential,
        now: Millis,
    ) -> Result<Stored, Error> {
        const SQL: &str = "SELECT content, wrapped, state, expires, remaining, ends, kind, client, credential,
                               (SELECT string_agg(CAST(position AS TEXT), ' ') FROM signing WHERE activation = $1)
                           FROM activation WHERE id = $1 AND secret_hash = $2";
        let found = store
            .find(SQL, params![&self.id, secret_hash(&self.secret)])
            .await?;
        let mut row = found.ok_or(Error::InvalidSad)?;
        let octets: Vec<u8> = row.get(0)?;
        let (state, expires): (String, Millis) = (row.get(2)?, row.get(3)?);
        let content: Content = serde_json::from_slice(&octets).map_err(|_| Error::Damaged)?;
        // What was approved, and for whom, is what the key was wrapped for; the columns only repeat it.
        let of: [String; 3] = [row.get(6)?, row.get(7)?, row.get(8)?];
        if [&content.kind, &content.client, &content.credential] != of.each_ref()
            || content.expires != expires
        {
            return Err(Error::Damaged);
        }
        if content.client != access.client.as_str() || content.credential != credential.id.as_str()
        {
            return Err(Error::InvalidSad);
        }
        // A code opens nothing: it is traded for a token first. A token goes with its client's key.
        let goes = match Kind::parse(&content.kind) {
            Some(Kind::Sad) => true,
            Some(Kind::Token) => content.bound == access.confirmation,
            Some(Kind::Code) | None => false,
        };
        if !goes {
            return Err(Error::InvalidSad);
        }
        let spent = state == "spent";
        match state.as_str() {
            "active" | "spent" if expires <= now => return Err(Error::SadExpired),
            "active" | "spent" => {}
            _ => return Err(Error::InvalidSad),
        }
        if content.is_of_the_future(now) {
            return Err(Error::InvalidSad);
        }
        let signed = row.optional::<String>(9)?.unwrap_or_default();
        let signed = signed
            .split(' ')
            .filter_map(|position| position.parse().ok());
        Ok(Stored {
            content,
            octets,
            wrapped: row.get(1)?,
            remaining: row.get(4)?,
            ends: row.get(5)?,
            spent,
            signed: signed.collect(),
        })
    }
}

impl Keys {
    /// Redeems the SAD for a permit: one statement decides secret, client, credential, state, time and count; each approved hash is
    /// marked as signed; the intent is recorded. A mandate is redeemed the same way. When this returns, all of it is durable. A crash from here on loses at most
    /// the signature, never the count. A refusal is recorded too.
    ///
    /// # Errors
    /// [`Error::InvalidSad`], [`Error::SadExpired`], [`Error::NotAuthorised`], [`Error::Disabled`],
    /// [`Error::CertificateExpired`], or a failure of the database. Nothing is counted then.
    pub async fn redeem(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        sad: &str,
        work: impl Into<Work>,
        request: &str,
    ) -> Result<Permit, Error> {
        let work = work.into();
        let now = self.clock.now();
        let approved = work.approved();
        let hashes = approved
            .iter()
            .map(|digest| hex::encode(digest.octets()))
            .collect();
        let asked = Asked::Signatures { hashes, request };
        self.with(sad, access, Some(credential), asked, |sad| {
            sad.redeem(self, now, access, credential, work, request)
        })
        .await
    }

    /// Under which algorithm the digests of a live SAD were approved, when the client named one. A refusal is recorded.
    ///
    /// # Errors
    /// As [`Keys::redeem`].
    pub async fn approved_under(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        sad: &str,
    ) -> Result<Option<DigestAlgorithm>, Error> {
        let now = self.clock.now();
        let asked = Asked::Sad(Act::Sign);
        self.with(sad, access, Some(credential), asked, |sad| {
            self.look(access, credential, sad, now)
        })
        .await
    }

    async fn look(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        sad: Sad,
        now: Millis,
    ) -> Result<Option<DigestAlgorithm>, Error> {
        if credential.mode == Mode::Automatic {
            // A mandate names no digests; whether it is one, redeeming it says.
            return Ok(None);
        }
        let stored = sad.find(&self.store, access, credential, now).await?;
        self.may_sign(credential, now)?;
        Ok(stored.content.digest)
    }

    /// Which credential a live SAD is for. A refusal is recorded.
    ///
    /// # Errors
    /// [`Error::InvalidSad`] when this client has no such SAD.
    pub async fn credential_of(
        &self,
        access: &ServiceAccess,
        sad: &str,
    ) -> Result<CredentialId, Error> {
        let asked = Asked::Sad(Act::Sign);
        self.with(sad, access, None, asked, |sad| self.is_for(access, sad))
            .await
    }

    async fn is_for(&self, access: &ServiceAccess, sad: Sad) -> Result<CredentialId, Error> {
        const SQL: &str =
            "SELECT credential FROM activation WHERE id = $1 AND secret_hash = $2 AND client = $3";
        let of = params![&sad.id, secret_hash(&sad.secret), &access.client];
        let mut row = self.store.find(SQL, of).await?.ok_or(Error::InvalidSad)?;
        Ok(CredentialId::new(row.get::<String>(0)?))
    }

    /// Ends a SAD before its time (CSC v1 11.3 asks it of every token); its opened key is destroyed.
    ///
    /// # Errors
    /// [`Error::InvalidSad`] when this client has no such live SAD.
    pub async fn revoke(&self, access: &ServiceAccess, sad: &str) -> Result<(), Error> {
        let asked = Asked::Sad(Act::Revoke);
        self.with(sad, access, None, asked, |sad| self.end(access, sad))
            .await
    }

    async fn end(&self, access: &ServiceAccess, sad: Sad) -> Result<(), Error> {
        let (id, hash, now) = (sad.id.clone(), secret_hash(&sad.secret), self.clock.now());
        let client = access.client.clone();
        let revoked = self
            .store
            .write(async move |tx| {
                let revoked = tx
                    .find(
                        "UPDATE activation SET state = 'revoked', version = version + 1
                         WHERE id = $1 AND secret_hash = $2 AND client = $3 AND kind <> 'code' AND state IN ('active', 'spent')
                         RETURNING content, wrapped, credential, version, kind",
                        params![&id, hash, &client],
                    )
                    .await?;
                let Some(mut row) = revoked else { return Ok(None) };
                let (content, wrapped): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let credential: String = row.get(2)?;
                let person = lifecycle::pseudonym(tx, &credential).await?;
                let (kind, version): (String, i64) = (row.get(4)?, row.get(3)?);
                let (activation, client) = (id.to_string(), client.to_string());
                let event = lifecycle::ended(&kind, activation, credential, client, version);
                audit::record(tx, now, &person, &event);
                Ok(Some((content, wrapped)))
            })
            .await?;
        let (content, wrapped) = revoked.ok_or(Error::InvalidSad)?;
        self.vault
            .close(&Activation {
                content,
                wrapped,
                secret: sad.secret,
            })
            .await;
        Ok(())
    }

    /// Gives a new SAD for what is left of a live one; the old one is dead then. Only hashes that were approved and not yet signed may be
    /// named, so that nothing is signed that the holder did not see (SC-44).
    ///
    /// # Errors
    /// As [`Keys::redeem`].
    pub async fn extend(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        sad: &str,
        hashes: &[Hash],
    ) -> Result<Issued, Error> {
        let asked = Asked::Sad(Act::Extend);
        self.with(sad, access, Some(credential), asked, |sad| {
            self.replace(access, credential, sad, hashes)
        })
        .await
    }

    /// Does something with a SAD as it came from the wire; a refusal is recorded.
    async fn with<T, F: Future<Output = Result<T, Error>>>(
        &self,
        sad: &str,
        access: &ServiceAccess,
        credential: Option<&Credential>,
        asked: Asked<'_>,
        act: impl FnOnce(Sad) -> F,
    ) -> Result<T, Error> {
        let sad = Sad::parse(sad);
        let id = sad.as_ref().ok().map(|sad| sad.id.clone());
        let ended = match sad {
            Ok(sad) => act(sad).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(done) => Ok(done),
            Err(error) => {
                let (store, now) = (&self.store, self.clock.now());
                if let (Error::Damaged, Some(credential)) = (&error, credential) {
                    self.damaged(credential, now).await?;
                }
                Err(refused(store, now, access, credential, id.as_ref(), asked, error).await)
            }
        }
    }

    async fn replace(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        sad: Sad,
        hashes: &[Hash],
    ) -> Result<Issued, Error> {
        let now = self.clock.now();
        if credential.mode == Mode::Automatic {
            return Err(Error::InvalidSad);
        }
        let stored = sad.find(&self.store, access, credential, now).await?;
        self.may_sign(credential, now)?;
        let content = Content {
            hashes: narrowed(&stored.content.hashes, &stored.signed, hashes)?,
            issued: now,
            expires: (now + millis(self.policy.sad_lifetime)).min(stored.ends),
            ..stored.content
        };
        let octets =
            serde_json::to_vec(&content).map_err(|_| StoreError::Corrupt("an activation"))?;
        let secret = self.vault.secret().await?;
        let (old_hash, new_hash) = (secret_hash(&sad.secret), secret_hash(&secret));
        let from = Activation {
            content: stored.octets,
            wrapped: stored.wrapped,
            secret: sad.secret,
        };
        let wrapped = self
            .vault
            .extend(&credential.key, &from, &octets, &secret)
            .await?;
        self.vault.close(&from).await;

        let (id, of, client, expires) = (
            sad.id.clone(),
            credential.clone(),
            access.client.clone(),
            content.expires,
        );
        // What is left must still be what the narrowing was computed from.
        let remaining = stored.remaining;
        let extended = self
            .store
            .write(async move |tx| {
                let changed = tx
                    .find(
                        "UPDATE activation SET secret_hash = $3, content = $4, wrapped = $5, masters = $9, expires = $6, state = 'active',
                             version = version + 1
                         WHERE id = $1 AND secret_hash = $2 AND state IN ('active', 'spent') AND remaining = $8
                             AND remaining > 0 AND expires > $7
                         RETURNING version",
                        params![
                            &id,
                            old_hash,
                            new_hash,
                            octets.clone(),
                            wrapped.clone(),
                            expires,
                            now,
                            remaining,
                            version_of([wrapped.as_slice()])
                        ],
                    )
                    .await?;
                let Some(mut row) = changed else {
                    return Ok(false);
                };
                let event = Event::SadExtended {
                    activation: id.to_string(),
                    credential: of.id.to_string(),
                    client: client.to_string(),
                    expires,
                    version: row.get(0)?,
                    record: TABLE.record(tx, &id).await?,
                };
                audit::record(tx, now, &of.pseudonym, &event);
                Ok(true)
            })
            .await?;
        if !extended {
            return Err(Error::InvalidSad);
        }
        Ok(Issued {
            sad: wire(&sad.id, &secret),
            expires_in: (expires - now) / 1000,
        })
    }
}

/// The position of each digest among the approved hashes; one approved twice has two positions.
fn positions(content: &Content, work: &Work, signed: &[usize]) -> Result<Vec<u32>, Error> {
    let mut taken = vec![false; content.hashes.len()];
    for position in signed {
        if let Some(slot) = taken.get_mut(*position) {
            *slot = true;
        }
    }
    let digests = work.approved();
    let fits = content.hash_type.is_none_or(|of| of == work.hash_type())
        && content
            .digest
            .is_none_or(|made| digests.iter().all(|digest| digest.algorithm() == made));
    if !fits {
        return Err(Error::NotAuthorised);
    }
    digests
        .iter()
        .map(|digest| {
            let wanted = hex::encode(digest.octets());
            let free = content
                .hashes
                .iter()
                .zip(&taken)
                .position(|(hash, taken)| !taken && *hash == wanted);
            let position = free.ok_or(Error::NotAuthorised)?;
            if let Some(slot) = taken.get_mut(position) {
                *slot = true;
            }
            u32::try_from(position).map_err(|_| Error::NotAuthorised)
        })
        .collect()
}

/// The approved hashes with everything blanked that was signed or is not asked for: positions stay what they were.
fn narrowed(approved: &[String], signed: &[usize], asked: &[Hash]) -> Result<Vec<String>, Error> {
    let mut left = vec![String::new(); approved.len()];
    for hash in asked.iter().map(Hash::hex) {
        let free =
            approved
                .iter()
                .enumerate()
                .zip(&left)
                .position(|((position, approved), left)| {
                    *approved == hash && left.is_empty() && !signed.contains(&position)
                });
        let slot = free
            .and_then(|position| left.get_mut(position))
            .ok_or(Error::NotAuthorised)?;
        *slot = hash;
    }
    Ok(left)
}

/// Sets the count of wrong PINs back, and records that the PIN was right.
pub(super) async fn pin_was_right(
    tx: &mut Tx,
    credential: &Credential,
    client: &ClientId,
    now: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE credential SET pin_failures = 0, version = version + 1 WHERE id = $1 RETURNING version";
    let row = tx.find(SQL, params![&credential.id]).await?;
    let pin_ok = Event::PinOk {
        credential: credential.id.to_string(),
        client: client.to_string(),
        version: row
            .ok_or(StoreError::Corrupt("a credential in use"))?
            .get(0)?,
    };
    audit::record(tx, now, &credential.pseudonym, &pin_ok);
    Ok(())
}

pub(super) fn wire(id: &ActivationId, secret: &Secret) -> String {
    format!("{id}.{}", secret.expose())
}

pub(super) fn secret_hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.bits()).into()
}

pub(super) fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(octet: u8) -> Hash {
        Hash::new(vec![octet; 32]).unwrap()
    }

    fn approved(octets: &[u8]) -> Vec<String> {
        octets.iter().map(|octet| hash(*octet).hex()).collect()
    }

    #[test]
    fn an_extension_may_name_only_approved_hashes_that_are_not_signed_yet() {
        let all = approved(&[1, 2, 3]);
        assert_eq!(
            narrowed(&all, &[0], &[hash(3)]).unwrap(),
            [String::new(), String::new(), hash(3).hex()]
        );
        assert!(matches!(
            narrowed(&all, &[0], &[hash(1)]),
            Err(Error::NotAuthorised)
        ));
        assert!(matches!(
            narrowed(&all, &[], &[hash(4)]),
            Err(Error::NotAuthorised)
        ));
        assert!(matches!(
            narrowed(&all, &[], &[hash(2), hash(2)]),
            Err(Error::NotAuthorised)
        ));
    }

    #[test]
    fn a_hash_approved_twice_may_be_signed_twice() {
        let all = approved(&[7, 7]);
        assert_eq!(
            narrowed(&all, &[0], &[hash(7)]).unwrap(),
            [String::new(), hash(7).hex()]
        );
    }

    #[test]
    fn a_sad_prints_no_secret() {
        let secret = Secret::random().unwrap();
        let text = wire(&ActivationId::new("abc"), &secret);
        let printed = format!("{:?}", Sad::parse(&text).unwrap());
        assert!(printed.contains("abc") && !printed.contains(&secret.expose()));
    }
}
