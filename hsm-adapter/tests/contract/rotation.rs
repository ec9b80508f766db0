//! Master keys come and go; what rests opens as long as its version is there.

use hsm_adapter::{
    Activation, Blobs, HsmError, KeyAlgorithm, KeyUse, MacKey, MasterSet, Pin, Place, Puk,
    SealedKey, Secret, Vault, VaultError, version_of,
};

use crate::fixture::{ECDSA, Fixture, Kind, NOW, content, digest, pin};

const PLACE: Place<'_> = Place {
    table: "person",
    row: "1",
    field: "seed",
};

async fn sealed(vault: &Vault) -> Vec<u8> {
    vault.seal(&PLACE, b"a seed").await.unwrap()
}

fn version(octets: &[u8]) -> u32 {
    version_of([octets]).unwrap()
}

/// The key as the service keeps it after both sets were rotated and the holder typed the PIN.
async fn moved(vault: &Vault, key: &SealedKey) -> SealedKey {
    let blobs = Blobs {
        key_blob: key.key_blob.clone(),
        w_pin: key.w_pin.clone(),
        w_puk: None,
    };
    let blobs = vault.reseal_blobs(&key.credential, key.generation, &blobs);
    let blobs = blobs.await.unwrap().unwrap();
    let key = SealedKey {
        key_blob: blobs.key_blob,
        w_pin: blobs.w_pin,
        ..key.clone()
    };
    assert!(!vault.is_current(&key));
    let key = vault.change_pin(&key, &pin(), &pin()).await.unwrap();
    assert!(vault.is_current(&key));
    key
}

async fn rotate_both(vault: &Vault, to: u32) {
    for set in MasterSet::ALL {
        let made = vault.rotate(set, to).await.unwrap();
        assert!(made.iter().all(|master| master.created), "{made:?}");
    }
}

async fn destroy_both(vault: &Vault, version: u32) {
    for set in MasterSet::ALL {
        let destroyed = vault.destroy_version(set, version).await.unwrap();
        assert!(!destroyed.is_empty());
    }
}

async fn sign(vault: &Vault, key: &SealedKey, activation: &Activation) -> Result<(), VaultError> {
    let signed = vault
        .sign(key, activation, ECDSA, &[digest(1)], NOW)
        .await?;
    assert_eq!(signed.len(), 1);
    Ok(())
}

pub(crate) async fn what_is_new_goes_under_the_new_version_and_what_rests_opens(fixture: Fixture) {
    let vault = &fixture.vault;
    vault.init().await.unwrap();
    let old = sealed(vault).await;

    let made = vault.rotate(MasterSet::Store, 2).await.unwrap();
    let new = sealed(vault).await;

    assert_eq!(made[0].label, "store/v2");
    assert_eq!([version(&old), version(&new)], [1, 2]);
    for sealed in [&old, &new] {
        let opened = vault.unseal(&PLACE, sealed).await.unwrap();
        assert_eq!(opened.as_slice(), b"a seed");
    }
    let sealing = vault.versions(MasterSet::Sealing).await.unwrap();
    assert_eq!(sealing, (vec![1], 1));
    let store = vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(store, (vec![1, 2], 2));
}

pub(crate) async fn a_value_is_moved_to_the_version_in_use_once(fixture: Fixture) {
    let vault = &fixture.vault;
    vault.init().await.unwrap();
    let old = sealed(vault).await;
    assert!(vault.reseal_value(&PLACE, &old).await.unwrap().is_none());
    vault.rotate(MasterSet::Store, 2).await.unwrap();

    let moved = vault.reseal_value(&PLACE, &old).await.unwrap().unwrap();

    assert_eq!(version(&moved), 2);
    let opened = vault.unseal(&PLACE, &moved).await.unwrap();
    assert_eq!(opened.as_slice(), b"a seed");
    assert!(vault.reseal_value(&PLACE, &moved).await.unwrap().is_none());
    // It is judged on the way: what was of another place stays what it was.
    let other = Place { row: "2", ..PLACE };
    let refused = vault.reseal_value(&other, &old).await;
    assert!(matches!(refused, Err(HsmError::Refused(_))));
}

pub(crate) async fn a_key_signs_through_both_rotations(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let before = fixture.activation(&key, &[digest(1)], 9).await;
    rotate_both(vault, 2).await;

    // Both versions are there: everything goes on.
    sign(vault, &key, &before).await.unwrap();
    let between = fixture.activation(&key, &[digest(1)], 9).await;
    assert_eq!(
        [version(&before.wrapped), version(&between.wrapped)],
        [1, 2]
    );
    let next = moved(vault, &key).await;
    for activation in [&before, &between] {
        sign(vault, &key, activation).await.unwrap();
        sign(vault, &next, activation).await.unwrap();
    }
    let secret = Secret::random().unwrap();
    let extended = vault
        .extend(&next, &before, &before.content, &secret)
        .await
        .unwrap();
    assert_eq!(version(&extended), 2);

    // The first version is gone: what has moved goes on.
    destroy_both(vault, 1).await;
    sign(vault, &next, &between).await.unwrap();
    let after = fixture.activation(&next, &[digest(1)], 1).await;
    sign(vault, &next, &after).await.unwrap();
    vault.check().await.unwrap();
}

pub(crate) async fn what_a_destroyed_version_sealed_opens_for_nobody(fixture: Fixture) {
    let vault = &fixture.vault;
    let stolen = fixture.key("one", KeyAlgorithm::P256).await;
    let (old, activation) = (
        sealed(vault).await,
        fixture.activation(&stolen, &[digest(1)], 9).await,
    );
    rotate_both(vault, 2).await;
    let live = moved(vault, &stolen).await;
    let (content, secret) = (content(&stolen, &[digest(1)], 1), Secret::random().unwrap());
    let authorise = async |key: &SealedKey| vault.authorise(key, &pin(), &content, &secret).await;
    authorise(&stolen).await.unwrap();
    sign(vault, &stolen, &activation).await.unwrap();
    vault.close(&activation).await;

    for set in MasterSet::ALL {
        vault.destroy_version(set, 1).await.unwrap();

        // With the whole database of before, the token and the right PIN.
        let authorised = authorise(&stolen).await;
        assert!(
            matches!(authorised, Err(VaultError::Damaged)),
            "{authorised:?}"
        );
        let signed = sign(vault, &stolen, &activation).await;
        assert!(matches!(signed, Err(VaultError::Damaged)), "{signed:?}");
        let opened = vault.unseal(&PLACE, &old).await;
        assert!(matches!(opened, Err(HsmError::Refused(_))), "{opened:?}");
    }
    authorise(&live).await.unwrap();
    vault.health().await.unwrap();
}

pub(crate) async fn the_end_of_every_version_is_the_end_of_every_key(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    rotate_both(vault, 2).await;
    let key = moved(vault, &key).await;
    let (content, secret) = (content(&key, &[digest(1)], 1), Secret::random().unwrap());
    let activation = fixture.activation(&key, &[digest(1)], 9).await;

    for set in MasterSet::ALL {
        let ended = vault.destroy_set(set).await.unwrap();
        let versions: Vec<_> = ended.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, [1, 2]);
        assert!(ended.iter().all(|(_, labels)| !labels.is_empty()));
        assert!(vault.destroy_set(set).await.unwrap().is_empty());
    }

    let authorised = vault.authorise(&key, &pin(), &content, &secret).await;
    assert!(authorised.is_err(), "{authorised:?}");
    sign(vault, &key, &activation).await.unwrap_err();
    assert!(vault.seal(&PLACE, b"a seed").await.is_err());
    assert!(vault.health().await.is_err(), "not ready");
    // What operators log in with, and pseudonyms, stay.
    vault.mac(MacKey::Operator, &[b"a row"]).await.unwrap();
    vault.mac(MacKey::Pseudonym, &[b"a holder"]).await.unwrap();
}

pub(crate) async fn a_puk_is_sealed_anew_at_its_use(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let (puk, old) = vault.make_puk(&key, &pin(), true).await.unwrap();
    let new_pin = Pin::parse("27182818").unwrap();
    rotate_both(vault, 2).await;

    assert!(!vault.is_current_puk(&old));
    let next = vault.reset_pin(&key, &old, &puk, &new_pin).await.unwrap();
    let sealed = vault.reseal_puk(&key, &old, &puk).await.unwrap();

    assert!(vault.is_current_puk(&sealed));
    assert_eq!(version(sealed.w_puk.as_ref().unwrap()), 2);
    let wrong = Puk::parse(if puk.expose() == "0000000000" {
        "1111111111"
    } else {
        "0000000000"
    });
    let refused = vault.reseal_puk(&key, &sealed, &wrong.unwrap()).await;
    assert!(matches!(refused, Err(VaultError::WrongPuk)));
    destroy_both(vault, 1).await;
    // No try is counted for a PUK that cannot be judged any more.
    let judged = vault.judge_puk(&next, &old, &puk).await;
    assert!(matches!(judged, Err(VaultError::Damaged)), "{judged:?}");
    vault.judge_puk(&next, &sealed, &puk).await.unwrap();
    let reset = vault.reset_pin(&next, &sealed, &puk, &pin()).await.unwrap();
    assert_eq!(version(&reset.w_pin), 2);
}

pub(crate) async fn only_what_came_before_the_version_in_use_is_destroyed(fixture: Fixture) {
    let vault = &fixture.vault;
    vault.init().await.unwrap();
    let old = sealed(vault).await;
    for version in [1, 2] {
        let refused = vault.destroy_version(MasterSet::Store, version).await;
        assert!(matches!(refused, Err(HsmError::Refused(_))), "{refused:?}");
    }
    vault.rotate(MasterSet::Store, 2).await.unwrap();
    let new = sealed(vault).await;

    let destroyed = vault.destroy_version(MasterSet::Store, 1).await.unwrap();
    let again = vault.destroy_version(MasterSet::Store, 1).await.unwrap();

    assert_eq!(destroyed, ["store/v1"]);
    assert!(again.is_empty());
    let versions = vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(versions, (vec![2], 2));
    assert!(vault.unseal(&PLACE, &old).await.is_err());
    vault.unseal(&PLACE, &new).await.unwrap();
}

pub(crate) async fn the_next_version_is_made_once(fixture: Fixture) {
    let vault = &fixture.vault;
    vault.init().await.unwrap();
    for version in [0, 3, u32::MAX] {
        let refused = vault.rotate(MasterSet::Sealing, version).await;
        assert!(matches!(refused, Err(HsmError::Refused(_))), "{refused:?}");
    }

    let made = vault.rotate(MasterSet::Sealing, 2).await.unwrap();
    let again = vault.rotate(MasterSet::Sealing, 2).await.unwrap();

    let labels: Vec<_> = made.iter().map(|master| master.label.as_str()).collect();
    let expected = [
        "seal-derive/v2",
        "pin-check/v2",
        "puk-check/v2",
        "record-mac/v2",
    ];
    assert_eq!(labels, expected);
    assert!(made.iter().all(|master| master.created));
    assert!(!again.iter().any(|master| master.created));
}

pub(crate) async fn a_rotation_cut_short_changes_nothing_and_is_completed(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    // As it looks when the process ended after the first of four keys.
    let mut hsm = fixture.token.open().unwrap();
    hsm.create_master("seal-derive/v2", KeyUse::Derive).unwrap();
    let same = fixture.another();
    same.vault.init().await.unwrap();
    same.vault.check().await.unwrap();
    let versions = same.vault.versions(MasterSet::Sealing).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 1));
    let activation = same.activation(&key, &[digest(1)], 1).await;
    assert_eq!(version(&activation.wrapped), 1);

    let made = vault.rotate(MasterSet::Sealing, 2).await.unwrap();

    let created: Vec<_> = made.iter().map(|master| master.created).collect();
    assert_eq!(created, [false, true, true, true]);
    let activation = fixture.activation(&key, &[digest(1)], 1).await;
    assert_eq!(version(&activation.wrapped), 2);
}

pub(crate) async fn what_was_destroyed_is_not_made_again(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    rotate_both(vault, 2).await;
    let key = moved(vault, &key).await;
    destroy_both(vault, 1).await;

    for vault in [vault, &fixture.another().vault] {
        let found = vault.init().await.unwrap();
        assert!(!found.iter().any(|master| master.created), "{found:?}");
        for set in MasterSet::ALL {
            assert_eq!(vault.versions(set).await.unwrap(), (vec![2], 2));
        }
    }
    let activation = fixture.activation(&key, &[digest(1)], 1).await;
    sign(vault, &key, &activation).await.unwrap();
}

pub(crate) async fn another_process_follows(fixture: Fixture) {
    let other = fixture.another();
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    assert_eq!(version(&sealed(&other.vault).await), 1);
    other.activation(&key, &[digest(1)], 1).await;

    // By what it meets.
    rotate_both(&fixture.vault, 2).await;
    let new = sealed(&fixture.vault).await;
    assert_eq!(version(&sealed(&other.vault).await), 1);
    other.vault.unseal(&PLACE, &new).await.unwrap();
    assert_eq!(version(&sealed(&other.vault).await), 2);
    let activation = other.activation(&key, &[digest(1)], 1).await;
    assert_eq!(version(&activation.wrapped), 2);

    // By being told to look.
    rotate_both(&fixture.vault, 3).await;
    assert_eq!(other.vault.known_version(MasterSet::Store), 2);
    let found = other.vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(found, (vec![1, 2, 3], 3));
    assert_eq!(version(&sealed(&other.vault).await), 3);
}

pub(crate) async fn another_process_survives_a_destruction(fixture: Fixture) {
    let other = fixture.another();
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let old = sealed(&other.vault).await;
    let before = other.activation(&key, &[digest(1)], 1).await;
    sign(&other.vault, &key, &before).await.unwrap();
    rotate_both(&fixture.vault, 2).await;
    let moved = moved(&fixture.vault, &key).await;

    destroy_both(&fixture.vault, 1).await;

    // It holds handles of keys that are gone, and has not heard of any other.
    assert_eq!(other.vault.known_version(MasterSet::Store), 1);
    assert_eq!(version(&sealed(&other.vault).await), 2);
    let opened = other.vault.unseal(&PLACE, &old).await;
    assert!(matches!(opened, Err(HsmError::Refused(_))), "{opened:?}");
    let signed = sign(&other.vault, &key, &before).await;
    assert!(matches!(signed, Err(VaultError::Damaged)), "{signed:?}");
    let after = other.activation(&moved, &[digest(1)], 1).await;
    sign(&other.vault, &moved, &after).await.unwrap();
    other.vault.health().await.unwrap();
    if let Kind::SoftHsm(token) = &other.kind {
        assert_eq!(token.calls().get("C_Finalize"), None);
    }
}
