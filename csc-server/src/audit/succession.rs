//! From one audit key to the next.

use hsm_adapter::KeyAlgorithm;

use super::{
    Event,
    checkpoint::Spki,
    keeper::{Error, Keeper, LEASE},
    key::{Keys, label},
    note,
};
use crate::turn;

const TURN: &str = "audit-key";

impl Keeper {
    /// Makes the next audit key, and has the key in use announce it in its last checkpoint: the version of the new one. A rotation that was
    /// interrupted is completed.
    ///
    /// # Errors
    /// [`Error::UnderWay`], or when database or HSM fail.
    pub async fn rotate(&self) -> Result<u32, Error> {
        let now = self.clock.now();
        let lease = now + LEASE;
        if !turn::take(&self.store, TURN, now, lease, self.longest()).await? {
            return Err(Error::UnderWay);
        }
        let rotated = self.succeed().await;
        turn::give_back(&self.store, TURN, lease, now).await?;
        rotated
    }

    async fn succeed(&self) -> Result<u32, Error> {
        // So that the log says which key is in use before there is another.
        self.seal().await?;
        let last = self.last().await?;
        let version = Keys::of(&self.issuer).await?.in_use(last.signer)?.0 + 1;
        let label = label(version);
        let (spki, created) = self.issuer.ensure(&label, KeyAlgorithm::P256).await?;
        if created {
            let made = Event::MasterCreated { label };
            note(&self.store, self.clock.now(), "", made).await?;
        }
        let spki = Spki(spki);
        while let Some(next) = self.next(Some(&spki)).await? {
            if self.sign(next).await? {
                break;
            }
        }
        // The first of the new key: it names the announcement by its hash.
        self.seal().await?;
        Ok(version)
    }
}
