//! Who may write the database, and has no HSM: whatever he changes in a row is refused and alarmed where it is used, or found by an
//! inspection. The columns come from the migrated schema, so that one that is added has to be classified.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod classes;
mod found;
mod hands;
mod refused;
mod schema;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/world.rs"]
mod world;

use csc_server::{
    credential::{Credential, Error, Permit, SignOrder},
    enrolment::Enrolment,
    ids::random_id,
    signing::Signer,
};
use hsm_adapter::{Digest, DigestAlgorithm, Scheme};

use world::World;

/// Signs hashes of these octets again and again, as the service does: how many signatures.
async fn sign(
    world: &World,
    credential: &Credential,
    sad: &str,
    octets: &[u8],
) -> Result<usize, Error> {
    spend(world, redeem(world, credential, sad, octets).await?).await
}

async fn redeem(
    world: &World,
    credential: &Credential,
    sad: &str,
    octets: &[u8],
) -> Result<Permit, Error> {
    let digest = |octet: &u8| Digest::new(DigestAlgorithm::Sha256, vec![*octet; 32]).unwrap();
    let order = SignOrder {
        scheme: Scheme::Ecdsa(DigestAlgorithm::Sha256),
        digests: octets.iter().map(digest).collect(),
    };
    let (keys, access, request) = (&world.node().keys, world.access(credential), random_id());
    keys.redeem(&access, credential, sad, order, &request).await
}

async fn spend(world: &World, permit: Permit) -> Result<usize, Error> {
    let Enrolment {
        store,
        clock,
        vault,
        ..
    } = &world.enrolment;
    let signer = Signer::new(store.clone(), clock.clone(), vault.clone());
    Ok(signer.sign(permit).await?.len())
}
