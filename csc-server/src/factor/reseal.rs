//! What a rotation of master keys moves of factors: the seed, and the MAC of the record, which covers the seed as it is sealed.

use hsm_adapter::{HsmError, MasterSet, Vault, version_of};

use super::{device, record};
use crate::{
    params,
    sealed::{BATCH, Batch, Error},
    store::Store,
};

/// Moves some factors, after this one, from a version of either set to the versions in use.
///
/// # Errors
/// When database or HSM fail; nothing is moved then.
pub async fn factors(
    store: &Store,
    vault: &Vault,
    set: MasterSet,
    version: u32,
    after: &str,
) -> Result<Batch, Error> {
    const UPDATE: &str = "UPDATE factor SET seed = $2, store = $3, record_mac = $4, masters = $5
                          WHERE id = $1 AND record_mac = $6";
    let select = match set {
        MasterSet::Store => record::select!("store = $1 AND id > $2 ORDER BY id LIMIT $3"),
        MasterSet::Sealing => record::select!("masters = $1 AND id > $2 ORDER BY id LIMIT $3"),
    };
    let (mut batch, mut rows) = (Batch::default(), Vec::new());
    for row in store.query(select, params![version, after, BATCH]).await? {
        let old = record::read(row)?;
        match moved(vault, &old).await {
            Ok((new, mac, masters)) => {
                let seed = new.written.seed;
                let version = version_of(seed.as_deref());
                let row = params![&old.id, seed, version, mac, masters, old.record_mac];
                rows.push(row.to_vec());
            }
            Err(HsmError::Refused(reason)) => batch.fail("factor", old.id.as_str(), &reason),
            Err(error) => return Err(error.into()),
        }
        batch.last = Some(old.id.to_string());
    }
    batch.replace(store, UPDATE, rows).await?;
    Ok(batch)
}

async fn moved(
    vault: &Vault,
    old: &record::Factor,
) -> Result<(record::Factor, [u8; 32], u32), HsmError> {
    if vault
        .record_mac(old.masters, &old.record())
        .await?
        .as_slice()
        != old.record_mac
    {
        return Err(HsmError::Refused(
            "its record is not what was recorded".to_owned(),
        ));
    }
    let mut new = old.clone();
    if let Some(seed) = &old.written.seed
        && let Some(resealed) = vault.reseal_value(&device::place(&old.id), seed).await?
    {
        new.written.seed = Some(resealed);
    }
    let (masters, mac) = vault.mac_record(&new.record()).await?;
    Ok((new, mac, masters))
}
