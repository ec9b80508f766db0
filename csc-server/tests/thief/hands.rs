//! What a database and a session of an HSM let somebody do: the same calls for the service, for a thief, and for the thief who is given what he
//! was missing.

use std::{path::Path, time::Duration};

use csc_server::{
    app::{factor_policy, stretcher},
    audit::Chain,
    ca::{self, Ca},
    clock::Clock,
    config::{Config, PukPolicy, Role, StoreUrl},
    credential::{self, Credential, Error, Keys, Mode, SignOrder, Status},
    enrolment::{Enrolment, NewPin, Request},
    factor::Factors,
    holder::{Accounts, NewHolder},
    ids::{ClientId, CredentialId},
    oauth::ServiceAccess,
    params,
    rotation::Rotation,
    signing::Signer,
    store::{Location, Store},
};
use hsm_adapter::{
    Activation, Content, Digest, DigestAlgorithm, Issuer, KeyAlgorithm, Pin, Pool, Scheme,
    SealedKey, Secret, Vault, VaultError,
};
use sha2::{Digest as _, Sha256};

use crate::installation::sessions;

pub(crate) const ECDSA: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
const NEVER: i64 = i64::MAX / 2;

/// A database and a session of an HSM.
pub(crate) struct Hands {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) accounts: Accounts,
    keys: Keys,
    factors: Factors,
    config: Config,
}

impl Hands {
    /// Those of the installation: everything the service has.
    pub(crate) async fn of(dir: &Path) -> Self {
        Self::on(dir, sessions(dir, Role::Holder)).await
    }

    /// The database that the configuration in `dir` names, and this HSM.
    pub(crate) async fn on(dir: &Path, hsm: Pool) -> Self {
        let config = Config::load(&dir.join("csc-server.toml")).unwrap();
        let StoreUrl::Sqlite(file) = &config.store.url else {
            panic!("the installation is on SQLite");
        };
        let journal = Box::new(Chain::start());
        let store = Store::open(&Location::Sqlite(file.clone()), 1, journal).await;
        let slot = config.slots(Role::Holder).next().unwrap();
        let (store, clock) = (store.unwrap(), Clock::System);
        let vault = Vault::new(hsm, stretcher(&config), slot.open_keys);
        let policy = factor_policy(&config);
        let factors = Factors::new(store.clone(), clock.clone(), vault.clone(), policy);
        let policy = credential::Policy {
            max_pin_failures: config.pin.max_failures,
            sad_lifetime: config.lifetime.sad,
            authorization_lifetime: config.lifetime.authorization,
            code_lifetime: config.lifetime.code,
            algorithms: config.algorithms,
        };
        Self {
            accounts: Accounts::new(
                store.clone(),
                clock.clone(),
                vault.clone(),
                stretcher(&config),
            ),
            keys: Keys::new(store.clone(), clock, vault.clone(), factors.clone(), policy),
            factors,
            store,
            vault,
            config,
        }
    }

    /// Makes an empty database one of the same HSM and the same CA.
    pub(crate) async fn sets_up(&self, like: &Self) {
        let (store, request) = (self.store.clone(), Duration::from_secs(30));
        let rotation = Rotation::new(store, Clock::System, self.vault.clone(), request);
        rotation.register().await.unwrap();
        let sql = "SELECT certificate FROM issuer";
        let row = like.store.find(sql, &[]).await.unwrap();
        let certificate: Vec<u8> = row.unwrap().get(0).unwrap();
        let written = self.store.write(async move |tx| {
            let sql = "INSERT INTO issuer (label, certificate, created) VALUES ($1, $2, 0)";
            tx.execute(sql, params![ca::LABEL, certificate.clone()])
                .await
        });
        written.await.unwrap();
    }

    /// A holder gets a credential under this PIN, as the registration officer's commands make it.
    pub(crate) async fn enrols(
        &self,
        dir: &Path,
        name: &str,
        password: &str,
        pin: &str,
    ) -> CredentialId {
        let new = NewHolder {
            user_name: name.into(),
            given_name: name.into(),
            surname: "Rossi".into(),
            email: format!("{name}@example.test"),
            language: "it".into(),
        };
        let id = self.accounts.add(new, password).await.unwrap();
        let holder = self.accounts.by_id(&id).await.unwrap().unwrap();
        let sql = "SELECT certificate FROM issuer WHERE label = $1";
        let row = self.store.find(sql, params![ca::LABEL]).await.unwrap();
        let certificate = row.unwrap().get(0).unwrap();
        let issuer = Issuer::new(sessions(dir, Role::Issuer));
        let enrolment = Enrolment {
            store: self.store.clone(),
            clock: Clock::System,
            vault: self.vault.clone(),
            ca: Ca::open(issuer, ca::LABEL, certificate).await.unwrap(),
            profile: (&self.config.certificate).into(),
            algorithms: self.config.algorithms,
        };
        let request = Request {
            id: CredentialId::random(),
            status: Status::Active,
            algorithm: KeyAlgorithm::P256,
            mode: Mode::Explicit,
            factor: self.factors.enrol_mail(&holder).await.unwrap(),
            description: "Firma".into(),
            multisign: 1,
            country: "IT".into(),
            puk: PukPolicy::Unblock,
            terms: None,
        };
        let pin = NewPin::choose(pin, &[]).unwrap();
        let (credential, _puk) = enrolment.credential(&holder, &pin, request).await.unwrap();
        credential
    }

    async fn credential(&self, id: &CredentialId) -> Credential {
        Credential::by_id(&self.store, id).await.unwrap().unwrap()
    }

    pub(crate) async fn key(&self, id: &CredentialId) -> SealedKey {
        self.credential(id).await.key
    }

    /// An approval as the service writes it, of one signature.
    pub(crate) async fn content(&self, id: &CredentialId, digest: &Digest) -> Content {
        let credential = self.credential(id).await;
        Content {
            version: Content::VERSION,
            id: "activation".into(),
            kind: "sad".into(),
            holder: credential.holder.to_string(),
            credential: id.to_string(),
            generation: credential.key.generation,
            certificate: credential.certificate_hash(),
            client: ClientId::direct().to_string(),
            digest: Some(digest.algorithm()),
            bound: None,
            hash_type: None,
            hashes: vec![hex::encode(digest.octets())],
            count: 1,
            factors: Vec::new(),
            issued: 0,
            expires: NEVER,
        }
    }

    /// What the PIN is good for: an approval of this content.
    pub(crate) async fn approves(
        &self,
        key: &SealedKey,
        pin: &str,
        content: &Content,
    ) -> Result<Activation, VaultError> {
        let (content, secret) = (octets(content), Secret::random()?);
        let pin = Pin::parse(pin).unwrap();
        let wrapped = self.vault.authorise(key, &pin, &content, &secret).await?;
        Ok(Activation {
            content,
            wrapped,
            secret,
        })
    }

    /// From a PIN to a signature of this digest, without asking any factor, limit or log: how far the cryptography alone lets him.
    pub(crate) async fn signs(
        &self,
        id: &CredentialId,
        pin: &str,
        digest: &Digest,
    ) -> Result<(), VaultError> {
        let (key, content) = (self.key(id).await, self.content(id, digest).await);
        let live = self.approves(&key, pin, &content).await?;
        let digests = [digest.clone()];
        let signed = self.vault.sign(&key, &live, ECDSA, &digests, 0).await?;
        assert_eq!(signed.len(), 1);
        Ok(())
    }

    /// What the service writes when a holder has approved with both factors; gives the SAD.
    pub(crate) async fn holder_approves(
        &self,
        id: &CredentialId,
        pin: &str,
        content: &Content,
    ) -> String {
        let key = self.key(id).await;
        let live = self.approves(&key, pin, content).await.unwrap();
        let hash: [u8; 32] = Sha256::digest(live.secret.bits()).into();
        let (row, id, wrapped) = (content.id.clone(), id.clone(), live.wrapped.clone());
        let octets = live.content.clone();
        let written = self.store.write(async move |tx| {
            tx.execute("DELETE FROM activation", params![]).await?;
            tx.execute(
                "INSERT INTO activation (id, version, kind, credential, client, grant_id, secret_hash, content, wrapped, state, remaining,
                     expires, ends, created)
                 VALUES ($1, 1, 'sad', $2, $3, 'grant', $4, $5, $6, 'active', 1, $7, $7, 0)",
                params![row.as_str(), &id, &ClientId::direct(), hash, octets.clone(), wrapped.clone(), NEVER],
            )
            .await
        });
        assert_eq!(written.await.unwrap(), 1);
        format!("{}.{}", content.id, live.secret.expose())
    }

    /// The path of every signature of the service.
    pub(crate) async fn redeems(
        &self,
        id: &CredentialId,
        sad: &str,
        digest: &Digest,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let credential = self.credential(id).await;
        let access = ServiceAccess::new(ClientId::direct(), Some(credential.holder.clone()));
        let order = SignOrder {
            scheme: ECDSA,
            digests: vec![digest.clone()],
        };
        let permit = self
            .keys
            .redeem(&access, &credential, sad, order, "request");
        let signer = Signer::new(self.store.clone(), Clock::System, self.vault.clone());
        signer.sign(permit.await?).await
    }

    /// Writes one row.
    pub(crate) async fn writes(&self, sql: &'static str, octets: Vec<u8>) {
        let written = self
            .store
            .write(async move |tx| tx.execute(sql, params![octets.clone()]).await);
        assert_eq!(written.await.unwrap(), 1);
    }
}

pub(crate) fn octets(content: &Content) -> Vec<u8> {
    serde_json::to_vec(content).unwrap()
}

pub(crate) fn digest(message: &[u8]) -> Digest {
    Digest::new(DigestAlgorithm::Sha256, Sha256::digest(message).to_vec()).unwrap()
}
