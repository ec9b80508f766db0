//! Whether several slots have the same master keys.

use super::{Activation, MacKey, Pin, Place, Vault};
use crate::{
    Content, Digest, DigestAlgorithm, HsmError, KeyAlgorithm, Scheme, Secret, VaultError, request,
};

/// A key that nobody has, and what is approved with it.
const NAME: &str = "agreement";

impl Vault {
    /// Has the other vault open what this one seals: every kind of master key, in the version in use. For the start of a service with several
    /// slots.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when any of them differs.
    pub async fn agrees_with(&self, other: &Self) -> Result<(), HsmError> {
        let differ = |what: &str| HsmError::Unfit(format!("its '{what}' is another key"));
        for key in MacKey::ALL {
            if self.mac(key, &[b"agreement"]).await? != other.mac(key, &[b"agreement"]).await? {
                return Err(differ(&key.label()));
            }
        }
        let place = Place {
            table: NAME,
            row: NAME,
            field: NAME,
        };
        let sealed = self.seal(&place, NAME.as_bytes()).await?;
        match other.unseal(&place, &sealed).await {
            Err(HsmError::Refused(_)) => return Err(differ("store")),
            opened => drop(opened?),
        }
        let opened = self.opened_by(other).await;
        opened.map_err(|error| match error {
            VaultError::Hsm(error) => error,
            _ => differ("seal-derive, pin-check, puk-check or record-mac"),
        })
    }

    /// Makes a key here, and authorises and signs with it there.
    async fn opened_by(&self, other: &Self) -> Result<(), VaultError> {
        let pin = Pin("00000000".to_owned().into());
        let made = self.generate(NAME, 1, KeyAlgorithm::P256, &pin, request::NOBODY);
        let mut key = made.await?.key;
        key.record = NAME.as_bytes().to_vec();
        key.record_mac = self.record_mac(key.masters, &key.record).await?.to_vec();
        let (puk, sealed) = self.make_puk(&key, &pin, true).await?;
        other.judge_puk(&key, &sealed, &puk).await?;
        let digest = Digest::zero(DigestAlgorithm::Sha256);
        let content = Content {
            version: Content::VERSION,
            id: NAME.to_owned(),
            kind: "sad".to_owned(),
            holder: NAME.to_owned(),
            credential: NAME.to_owned(),
            generation: 1,
            certificate: String::new(),
            client: NAME.to_owned(),
            bound: Default::default(),
            digest: None,
            hash_type: None,
            hashes: vec![hex::encode(digest.octets())],
            count: 1,
            factors: Vec::new(),
            issued: 0,
            expires: 1,
        };
        let content = serde_json::to_vec(&content).map_err(|_| VaultError::Damaged)?;
        let secret: Secret = self.secret().await?;
        let activation = Activation {
            wrapped: other.authorise(&key, &pin, &content, &secret).await?,
            content,
            secret,
        };
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        self.sign(&key, &activation, scheme, &[digest], 0)
            .await
            .map(drop)
    }
}
