//! What a rotation of master keys moves without the holder: the blobs of a key under `store`, and the record of a key that is no more.

use hsm_adapter::{Blobs, HsmError, Vault, version_of};

use super::Credential;
use crate::{
    ids::CredentialId,
    params,
    sealed::{BATCH, Batch, Error},
    store::{Store, StoreError},
};

/// Moves the blobs of some credentials, after this one, from a version of `store` to the one in use.
///
/// # Errors
/// When database or HSM fail; nothing is moved then.
pub async fn blobs(
    store: &Store,
    vault: &Vault,
    version: u32,
    after: &str,
) -> Result<Batch, Error> {
    const SELECT: &str = "SELECT id, generation, key_blob, w_pin, w_puk FROM credential
                          WHERE store = $1 AND id > $2 ORDER BY id LIMIT $3";
    const UPDATE: &str = "UPDATE credential SET key_blob = $2, w_pin = $3, w_puk = $4, store = $5
                          WHERE id = $1 AND key_blob = $6 AND w_pin = $7 AND w_puk IS NOT DISTINCT FROM $8";
    let (mut batch, mut rows) = (Batch::default(), Vec::new());
    for mut row in store.query(SELECT, params![version, after, BATCH]).await? {
        let id: String = row.get(0)?;
        let old = Blobs {
            key_blob: row.get(2)?,
            w_pin: row.get(3)?,
            w_puk: row.optional(4)?,
        };
        match vault.reseal_blobs(&id, row.get(1)?, &old).await {
            Ok(new) => {
                let new = new.unwrap_or_else(|| old.clone());
                let version = oldest(&new.key_blob, &new.w_pin, new.w_puk.as_deref());
                rows.push(
                    params![
                        id.as_str(),
                        new.key_blob,
                        new.w_pin,
                        new.w_puk,
                        version,
                        old.key_blob,
                        old.w_pin,
                        old.w_puk
                    ]
                    .to_vec(),
                );
            }
            Err(HsmError::Refused(reason)) => batch.fail("credential", &id, &reason),
            Err(error) => return Err(error.into()),
        }
        batch.last = Some(id);
    }
    batch.replace(store, UPDATE, rows).await?;
    Ok(batch)
}

/// Makes the record MACs of some credentials anew whose keys are destroyed, so that no PIN ever will.
///
/// # Errors
/// When database or HSM fail; nothing is moved then.
pub async fn keyless_records(
    store: &Store,
    vault: &Vault,
    version: u32,
    after: &str,
) -> Result<Batch, Error> {
    const SELECT: &str = "SELECT id FROM credential
                          WHERE masters = $1 AND store IS NULL AND id > $2 ORDER BY id LIMIT $3";
    const UPDATE: &str =
        "UPDATE credential SET record_mac = $2, masters = $3 WHERE id = $1 AND record_mac = $4";
    let (mut batch, mut rows) = (Batch::default(), Vec::new());
    for mut row in store.query(SELECT, params![version, after, BATCH]).await? {
        let id: String = row.get(0)?;
        let found = Credential::by_id(store, &CredentialId::new(id.as_str())).await?;
        let key = found.ok_or(StoreError::Corrupt("a credential"))?.key;
        if vault.record_mac(key.masters, &key.record).await?.as_slice() == key.record_mac {
            let (masters, mac) = vault.mac_record(&key.record).await?;
            rows.push(params![id.as_str(), mac, masters, key.record_mac].to_vec());
        } else {
            batch.fail("credential", &id, "its record is not what was recorded");
        }
        batch.last = Some(id);
    }
    batch.replace(store, UPDATE, rows).await?;
    Ok(batch)
}

/// The oldest version of `store` that the blobs of a credential need.
pub(crate) fn oldest(key_blob: &[u8], w_pin: &[u8], w_puk: Option<&[u8]>) -> Option<u32> {
    version_of([key_blob, w_pin].into_iter().chain(w_puk))
}
