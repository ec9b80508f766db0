//! Making, rotating and destroying master keys, and moving what rests from one version to the next.
//!
//! A rotation only adds: readers find every version that is on the token, and writers in every process take the highest that
//! is complete. Destroying comes later, when whoever keeps the rows knows that none is left (crypto-shredding: older
//! copies of the rows die with the key).

use serde::{Deserialize, Serialize};

use super::{
    Master, MasterSet, OwnedPlace, Place, Vault, formula,
    master::{FIRST, MasterKey, Masters},
    seal,
};
use crate::{
    Hsm, HsmError, KeyAlgorithm, VaultError,
    call::{Call, IfLost, Tools},
    pool::{Session, Speed},
    request,
};

/// What of a key rests under the `store` master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blobs {
    /// AES-KWP(DEK, private key), sealed.
    pub key_blob: Vec<u8>,
    /// AES-KWP(KEK(PIN), DEK), sealed.
    pub w_pin: Vec<u8>,
    /// AES-KWP(KEK(PUK), DEK), sealed, where there is one.
    pub w_puk: Option<Vec<u8>>,
}

/// The oldest version of a master key that these octets need: sealed values of `store`, wrapped DEKs of activations of the
/// sealing keys. `None` without any.
pub fn version_of<'a>(rests: impl IntoIterator<Item = &'a [u8]>) -> Option<u32> {
    let versions = rests.into_iter().filter_map(formula::version);
    versions.map(|(version, _)| version).min()
}

impl Vault {
    /// Makes the master keys that are missing from the versions in use; the first, where there is none. What a rotation left
    /// behind, and what was destroyed, stays as it is.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when one is there and may do more than it should.
    pub async fn init(&self) -> Result<Vec<Master>, HsmError> {
        self.route.call(Init {}).await
    }

    /// Finds every master key and proves the whole chain with a throw-away key; for the start of the service.
    ///
    /// # Errors
    /// [`HsmError::Missing`] without a master key, [`HsmError::Unfit`] when the token cannot do what is needed.
    pub async fn check(&self) -> Result<(), HsmError> {
        let checked = self.route.call(Check {}).await;
        checked.map_err(|error| match error {
            VaultError::Hsm(error) => error,
            other => HsmError::Unfit(other.to_string()),
        })
    }

    /// The versions of a set that are on the token, whole or in part, ascending; and the one that is in use.
    ///
    /// # Errors
    /// [`HsmError::Missing`] when none is in use.
    pub async fn versions(&self, set: MasterSet) -> Result<(Vec<u32>, u32), HsmError> {
        self.route.call(Versions { set }).await
    }

    /// The version of a set that is in use.
    ///
    /// # Errors
    /// [`HsmError::Missing`] when none is.
    pub async fn current_version(&self, set: MasterSet) -> Result<u32, HsmError> {
        self.route.call(CurrentVersion { set }).await
    }

    /// The same as far as this process knows; 0 before it used any.
    pub fn known_version(&self, set: MasterSet) -> u32 {
        self.route.masters().known(set)
    }

    /// Makes a version of a set, unless it is there, and uses it from then on: it must be the next, or the one in use. Two
    /// processes must not do it at once, for labels are not unique on a token.
    ///
    /// # Errors
    /// [`HsmError::Refused`] for any other version.
    pub async fn rotate(&self, set: MasterSet, to: u32) -> Result<Vec<Master>, HsmError> {
        let made = self.route.call(Rotate { set, to }).await?;
        self.check().await?;
        Ok(made)
    }

    /// Destroys a version of a set: the labels that were there. What still rests under it is lost, here and in every copy: it
    /// reads as damaged from now on.
    ///
    /// # Errors
    /// [`HsmError::Refused`] unless a later version is in use.
    pub async fn destroy_version(
        &self,
        set: MasterSet,
        version: u32,
    ) -> Result<Vec<String>, HsmError> {
        self.route.call(DestroyVersion { set, version }).await
    }

    /// Destroys every version of a set, the one in use included: the versions with the labels that were there. Nothing that rests under it
    /// opens any more, here and in every copy, and nothing new can be sealed: the end of the service.
    ///
    /// # Errors
    /// When the HSM does not answer; what was destroyed before stays so.
    pub async fn destroy_set(&self, set: MasterSet) -> Result<Vec<(u32, Vec<String>)>, HsmError> {
        self.route.call(DestroySet { set }).await
    }

    /// A value sealed under another version, under the one in use; `None` when it is. On the slow lane: signatures do not
    /// wait for a rotation.
    ///
    /// # Errors
    /// [`HsmError::Refused`] when the value does not open in this place.
    pub async fn reseal_value(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, HsmError> {
        let (place, sealed) = (place.into(), sealed.to_vec());
        self.route.call(ResealValue { place, sealed }).await
    }

    /// The same for all of a key that rests under `store`, in one job.
    ///
    /// # Errors
    /// [`HsmError::Refused`] when any of it is not this key's.
    pub async fn reseal_blobs(
        &self,
        credential: &str,
        generation: u32,
        blobs: &Blobs,
    ) -> Result<Option<Blobs>, HsmError> {
        let call = ResealBlobs {
            row: seal::key_row(credential, generation),
            blobs: blobs.clone(),
        };
        self.route.call(call).await
    }
}

/// [`Vault::init`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Init {}

impl Call for Init {
    type Answer = Vec<Master>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;
    const IF_LOST: IfLost = IfLost::Fails;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<Master>, HsmError> {
        init(session.hsm.as_mut(), &tools.masters)
    }
}

/// [`Vault::check`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Check {}

impl Call for Check {
    type Answer = ();
    type Error = VaultError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(), VaultError> {
        check(session.hsm.as_mut(), &tools.masters)
    }
}

/// [`Vault::versions`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Versions {
    set: MasterSet,
}

impl Call for Versions {
    type Answer = (Vec<u32>, u32);
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(Vec<u32>, u32), HsmError> {
        let (hsm, masters, set) = (session.hsm.as_mut(), &tools.masters, self.set);
        let versions = set.versions(&masters.refresh(hsm)?);
        let current = masters.current(hsm, set)?;
        Ok((versions.into_iter().collect(), current))
    }
}

/// [`Vault::current_version`].
#[derive(Serialize, Deserialize)]
pub(crate) struct CurrentVersion {
    set: MasterSet,
}

impl Call for CurrentVersion {
    type Answer = u32;
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<u32, HsmError> {
        tools.masters.current(session.hsm.as_mut(), self.set)
    }
}

/// [`Vault::rotate`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Rotate {
    set: MasterSet,
    to: u32,
}

impl Call for Rotate {
    type Answer = Vec<Master>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;
    const IF_LOST: IfLost = IfLost::Fails;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<Master>, HsmError> {
        let (hsm, masters) = (session.hsm.as_mut(), &tools.masters);
        let Self { set, to } = *self;
        masters.refresh(hsm)?;
        let current = masters.current(hsm, set)?;
        if to != current && to != current.saturating_add(1) {
            return Err(HsmError::Refused(format!(
                "version {current} is in use: the next is not {to}"
            )));
        }
        let made = set
            .keys()
            .map(|key| make(hsm, key, to))
            .collect::<Result<_, _>>()?;
        masters.refresh(hsm)?;
        Ok(made)
    }
}

/// [`Vault::destroy_version`].
#[derive(Serialize, Deserialize)]
pub(crate) struct DestroyVersion {
    set: MasterSet,
    version: u32,
}

impl Call for DestroyVersion {
    type Answer = Vec<String>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;
    const IF_LOST: IfLost = IfLost::Fails;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<String>, HsmError> {
        let (hsm, masters) = (session.hsm.as_mut(), &tools.masters);
        masters.refresh(hsm)?;
        let current = masters.current(hsm, self.set)?;
        if self.version >= current {
            return Err(HsmError::Refused(format!(
                "version {current} is in use: only what came before it can be destroyed"
            )));
        }
        let mut destroyed = Vec::new();
        for key in self.set.keys() {
            let label = key.label(self.version);
            if hsm.destroy_master(&label)? {
                destroyed.push(label);
            }
        }
        Ok(destroyed)
    }
}

/// [`Vault::destroy_set`].
#[derive(Serialize, Deserialize)]
pub(crate) struct DestroySet {
    set: MasterSet,
}

impl Call for DestroySet {
    type Answer = Vec<(u32, Vec<String>)>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;
    const IF_LOST: IfLost = IfLost::Fails;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Self::Answer, HsmError> {
        let hsm = session.hsm.as_mut();
        let labels = tools.masters.refresh(hsm)?;
        let mut destroyed = Vec::new();
        for version in self.set.versions(&labels) {
            let of_version = self.set.keys().map(|key| key.label(version));
            let of_version: Vec<_> = of_version.filter(|label| labels.contains(label)).collect();
            for label in &of_version {
                hsm.destroy_master(label)?;
            }
            destroyed.push((version, of_version));
        }
        Ok(destroyed)
    }
}

/// [`Vault::reseal_value`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ResealValue {
    place: OwnedPlace,
    sealed: Vec<u8>,
}

impl Call for ResealValue {
    type Answer = Option<Vec<u8>>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Option<Vec<u8>>, HsmError> {
        let place = self.place.borrow();
        tools
            .masters
            .reseal(session.hsm.as_mut(), &place, &self.sealed)
    }
}

/// [`Vault::reseal_blobs`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ResealBlobs {
    row: String,
    blobs: Blobs,
}

impl Call for ResealBlobs {
    type Answer = Option<Blobs>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Option<Blobs>, HsmError> {
        let (hsm, mut next) = (session.hsm.as_mut(), self.blobs.clone());
        let mut moved = false;
        let fields = [
            (seal::KEY_BLOB, Some(&mut next.key_blob)),
            (seal::W_PIN, Some(&mut next.w_pin)),
            (seal::W_PUK, next.w_puk.as_mut()),
        ];
        for (field, sealed) in fields {
            let Some(sealed) = sealed else { continue };
            let place = seal::place(&self.row, field);
            if let Some(resealed) = tools.masters.reseal(hsm, &place, sealed)? {
                *sealed = resealed;
                moved = true;
            }
        }
        Ok(moved.then_some(next))
    }
}

/// One key of a version, unless it is there. A key that is found is judged by its attributes.
fn make(hsm: &mut dyn Hsm, key: MasterKey, version: u32) -> Result<Master, HsmError> {
    let label = key.label(version);
    let created = hsm.master(&label, key.purpose())?.is_none();
    if created {
        hsm.create_master(&label, key.purpose())?;
    }
    Ok(Master { label, created })
}

fn init(hsm: &mut dyn Hsm, masters: &Masters) -> Result<Vec<Master>, HsmError> {
    let labels = masters.refresh(hsm)?;
    let made = MasterKey::ALL.into_iter().map(|key| {
        let version = key.set().map_or(FIRST, |set| {
            // Without a complete version, one that was begun is completed.
            let begun = || set.versions(&labels).into_iter().next_back();
            set.in_use(&labels).or_else(begun).unwrap_or(FIRST)
        });
        make(hsm, key, version)
    });
    let made = made.collect();
    masters.refresh(hsm)?;
    made
}

/// Every master key in use is there (the token has verified their attributes then).
pub(super) fn find_all(hsm: &mut dyn Hsm, masters: &Masters) -> Result<(), HsmError> {
    for key in MasterKey::ALL {
        let version = match key.set() {
            Some(set) => masters.current(hsm, set)?,
            None => FIRST,
        };
        masters.find(hsm, key, version)?;
    }
    Ok(())
}

fn check(hsm: &mut dyn Hsm, masters: &Masters) -> Result<(), VaultError> {
    masters.refresh(hsm)?;
    find_all(hsm, masters)?;
    let place = Place {
        table: "check",
        row: "check",
        field: "check",
    };
    let sealed = masters.seal(hsm, &place, b"check")?;
    if masters.unseal(hsm, &place, &sealed)?.as_slice() != b"check" {
        return Err(unfit("AES-GCM does not give back what it took").into());
    }
    let version = masters.current(hsm, MasterSet::Sealing)?;
    let one = masters.mac(hsm, MasterKey::Record, version, &[b"check"])?;
    if one != masters.mac(hsm, MasterKey::Record, version, &[b"check"])? {
        return Err(unfit("HMAC gives two values for one input").into());
    }
    seal::seal_new(
        hsm,
        masters,
        version,
        KeyAlgorithm::P256,
        &[0; 32],
        request::NOBODY,
    )?;
    Ok(())
}

fn unfit(what: &str) -> HsmError {
    HsmError::Unfit(what.to_owned())
}
