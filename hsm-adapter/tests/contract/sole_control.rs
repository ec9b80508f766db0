//! Nobody signs without the holder.

use hsm_adapter::{
    Activation, Content, Digest, DigestAlgorithm, KeyAlgorithm, KeyUse, Pin, Place, SealedKey,
    Secret, Vault, VaultError,
};

use crate::fixture::{
    ECDSA, END, Fixture, NOW, SUBJECT, content, content_of, digest, digest_of, message, octets, pin,
};

/// Database, HSM session and source, but neither PIN nor secret.
pub(crate) async fn who_has_everything_but_the_pin_opens_nothing(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let live = fixture.activation(&key, &[digest(1)], 2).await;
    let stored = (&live.content, &live.wrapped);

    // The calls of the service, with every secret that can be made from what is stored.
    let mut guesses = vec![Secret::random().unwrap()];
    for octets in [&[0; 32], array(&key.pin_check), array(&key.record_mac)] {
        guesses.push(secret(octets));
    }
    for content in [stored.0, &content(&key, &[digest(9)], 9)] {
        for guess in &guesses {
            let stolen = Activation {
                content: content.clone(),
                wrapped: stored.1.clone(),
                secret: guess.clone(),
            };
            let digests = [digest(if content == stored.0 { 1 } else { 9 })];
            let signed = vault.sign(&key, &stolen, ECDSA, &digests, NOW).await;
            assert!(matches!(signed, Err(VaultError::Damaged)), "{signed:?}");
            let extended = vault.extend(&key, &stolen, content, guess).await;
            assert!(matches!(extended, Err(VaultError::Damaged)), "{extended:?}");
        }
    }
    for other in ["00000000", "31415927"] {
        let other = Pin::parse(other).unwrap();
        let authorised = vault.authorise(&key, &other, stored.0, &guesses[0]).await;
        assert!(matches!(authorised, Err(VaultError::WrongPin)));
    }
    // A wrong PIN made to look right, by the check value of a key whose PIN is known.
    let other_pin = Pin::parse("00000000").unwrap();
    let mut forged = vault
        .generate("one", 1, KeyAlgorithm::P256, &other_pin, SUBJECT)
        .await
        .unwrap()
        .key;
    forged.w_pin = key.w_pin.clone();
    forged.key_blob = key.key_blob.clone();
    (forged.record, forged.record_mac) = (key.record.clone(), key.record_mac.clone());
    let authorised = vault
        .authorise(&forged, &other_pin, stored.0, &guesses[0])
        .await;
    assert!(matches!(authorised, Err(VaultError::Damaged)));

    // The HSM itself: the store layer opens, what lies below does not, under any key that can be derived.
    let w_pin = opened_layer(vault, "w_pin", &key.w_pin).await;
    let key_blob = opened_layer(vault, "key_blob", &key.key_blob).await;
    let mut hsm = fixture.token.open().unwrap();
    let master = hsm
        .master("seal-derive/v1", KeyUse::Derive)
        .unwrap()
        .unwrap();
    for guess in [
        [0; 32],
        *array(&key.pin_check),
        *array(&key.record_mac),
        *array(digest_of(DigestAlgorithm::Sha256, stored.0).octets()),
        *array(digest_of(DigestAlgorithm::Sha256, b"31415926").octets()),
    ] {
        let kek = hsm.derive(master, &guess).unwrap();
        assert!(hsm.unwrap_dek(kek, &w_pin, true).is_err());
        assert!(hsm.unwrap_dek(kek, stored.1, true).is_err());
        assert!(
            hsm.unwrap_private(kek, &key_blob, KeyAlgorithm::P256)
                .is_err()
        );
        assert!(hsm.unwrap_private(kek, &w_pin, KeyAlgorithm::P256).is_err());
    }

    // And with the PIN all of it opens.
    let opened = fixture.activation(&key, &[digest(1)], 1).await;
    let signed = vault.sign(&key, &opened, ECDSA, &[digest(1)], NOW).await;
    assert_eq!(signed.unwrap().len(), 1);
}

async fn opened_layer(vault: &Vault, field: &str, sealed: &[u8]) -> Vec<u8> {
    let place = Place {
        table: "credential",
        row: "one/1",
        field,
    };
    vault.unseal(&place, sealed).await.unwrap().to_vec()
}

fn array(octets: &[u8]) -> &[u8; 32] {
    octets.try_into().unwrap()
}

fn secret(octets: &[u8; 32]) -> Secret {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    Secret::parse(&BASE64_URL_SAFE_NO_PAD.encode(octets)).unwrap()
}

pub(crate) async fn only_a_wrong_pin_is_a_wrong_pin(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let (content, secret) = (content(&key, &[digest(1)], 1), Secret::random().unwrap());
    let judge = async |key: &SealedKey, pin: &str| {
        let pin = Pin::parse(pin).unwrap();
        let authorised = fixture.vault.authorise(key, &pin, &content, &secret).await;
        authorised.unwrap_err()
    };

    assert!(matches!(
        judge(&key, "31415927").await,
        VaultError::WrongPin
    ));
    let mut changed = key.clone();
    flip(&mut changed.w_pin);
    // Right PIN, broken row: no try is counted.
    assert!(matches!(
        judge(&changed, "31415926").await,
        VaultError::Damaged
    ));
    assert!(matches!(
        judge(&changed, "31415927").await,
        VaultError::WrongPin
    ));
}

fn flip(octets: &mut [u8]) {
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
}

async fn refusal(fixture: &Fixture, key: &SealedKey, activation: &Activation) -> VaultError {
    let digests = [digest(1)];
    let signed = fixture
        .vault
        .sign(key, activation, ECDSA, &digests, NOW)
        .await;
    signed.unwrap_err()
}

pub(crate) async fn a_changed_content_opens_nothing(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let content = content_of(&key, &[digest(1)], 1);
    let secret = Secret::random().unwrap();
    let authorised = fixture
        .vault
        .authorise(&key, &pin(), &octets(&content), &secret)
        .await;
    let wrapped = authorised.unwrap();
    let changes: [fn(&mut Content); 7] = [
        |content| content.id.push('x'),
        |content| content.kind = "mandate".to_owned(),
        |content| content.holder = "another".to_owned(),
        |content| content.client = "another".to_owned(),
        |content| content.certificate = hex::encode([8; 32]),
        |content| content.count = 2,
        |content| content.expires += 1,
    ];

    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = content.clone();
        change(&mut changed);
        let activation = Activation {
            content: octets(&changed),
            wrapped: wrapped.clone(),
            secret: secret.clone(),
        };
        let refusal = refusal(&fixture, &key, &activation).await;
        assert!(
            matches!(refusal, VaultError::Damaged),
            "{number}: {refusal:?}"
        );
    }
    // The same approval in other octets.
    let mut spaced = octets(&content);
    spaced.push(b' ');
    let activation = Activation {
        content: spaced,
        wrapped: wrapped.clone(),
        secret: secret.clone(),
    };
    assert!(matches!(
        refusal(&fixture, &key, &activation).await,
        VaultError::Damaged
    ));
    // And hashes that were not there.
    let mut more = content.clone();
    more.hashes.push(hex::encode(digest(2).octets()));
    let activation = Activation {
        content: octets(&more),
        wrapped,
        secret,
    };
    let signed = fixture
        .vault
        .sign(&key, &activation, ECDSA, &[digest(2)], NOW)
        .await;
    assert!(matches!(signed, Err(VaultError::Damaged)));
}

pub(crate) async fn a_changed_secret_or_blob_opens_nothing(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let activation = fixture.activation(&key, &[digest(1)], 1).await;

    let mut changed = activation.clone();
    changed.secret = Secret::random().unwrap();
    assert!(matches!(
        refusal(&fixture, &key, &changed).await,
        VaultError::Damaged
    ));
    for position in 0..activation.wrapped.len() {
        let mut changed = activation.clone();
        changed.wrapped[position] ^= 1;
        let refusal = refusal(&fixture, &key, &changed).await;
        assert!(matches!(refusal, VaultError::Damaged), "{refusal:?}");
    }
    let mut changed = key.clone();
    flip(&mut changed.key_blob);
    assert!(matches!(
        refusal(&fixture, &changed, &activation).await,
        VaultError::Damaged
    ));
    // A blob of another row, whole and well.
    let other = fixture.key("two", KeyAlgorithm::P256).await;
    let mut changed = key.clone();
    changed.key_blob = other.key_blob;
    assert!(matches!(
        refusal(&fixture, &changed, &activation).await,
        VaultError::Damaged
    ));
    fixture
        .vault
        .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
        .await
        .unwrap();
}

pub(crate) async fn a_changed_record_opens_nothing(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let activation = fixture.activation(&key, &[digest(1)], 1).await;
    let (octets, secret) = (content(&key, &[digest(1)], 1), Secret::random().unwrap());
    let mut changed = key.clone();
    flip(&mut changed.record);

    let signed = refusal(&fixture, &changed, &activation).await;
    let authorised = fixture
        .vault
        .authorise(&changed, &pin(), &octets, &secret)
        .await;
    let extended = fixture
        .vault
        .extend(&changed, &activation, &octets, &secret)
        .await;

    assert!(matches!(signed, VaultError::Damaged));
    assert!(matches!(authorised, Err(VaultError::Damaged)));
    assert!(matches!(extended, Err(VaultError::Damaged)));
}

pub(crate) async fn a_changed_record_is_seen_although_the_key_is_open(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let digests = [digest(1), digest(2), digest(3)];
    let activation = fixture.activation(&key, &digests, 3).await;
    let sign = async |key: &SealedKey, digest: Digest| {
        fixture
            .vault
            .sign(key, &activation, ECDSA, &[digest], NOW)
            .await
    };
    sign(&key, digest(1)).await.unwrap();
    fixture.has_session_keys(1).await;

    let mut forged = key.clone();
    flip(&mut forged.record);
    assert!(matches!(
        sign(&forged, digest(2)).await,
        Err(VaultError::Damaged)
    ));

    let mut renewed = key.clone();
    renewed.record = b"the record after a change that the service made".to_vec();
    let mac = fixture.vault.record_mac(1, &renewed.record).await;
    renewed.record_mac = mac.unwrap().to_vec();
    sign(&renewed, digest(2)).await.unwrap();
    sign(&renewed, digest(3)).await.unwrap();
}

pub(crate) async fn only_approved_digests_are_signed(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let sha384 = digest_of(DigestAlgorithm::Sha384, &message(4));
    let mut content = content_of(&key, &[digest(1), digest(2), sha384.clone(), digest(1)], 2);
    content.digest = Some(DigestAlgorithm::Sha256);
    let secret = Secret::random().unwrap();
    let authorised = fixture
        .vault
        .authorise(&key, &pin(), &octets(&content), &secret)
        .await;
    let activation = Activation {
        wrapped: authorised.unwrap(),
        content: octets(&content),
        secret,
    };
    let sign = async |digests: &[Digest]| {
        let scheme = hsm_adapter::Scheme::Ecdsa(digests[0].algorithm());
        fixture
            .vault
            .sign(&key, &activation, scheme, digests, NOW)
            .await
    };

    for refused in [
        // Not in the list; one of two; more often than listed; more than the count; of another algorithm.
        &[digest(3)][..],
        &[digest(1), digest(3)],
        &[digest(2), digest(2)],
        &[digest(1), digest(2), digest(1)],
        &[sha384],
    ] {
        assert!(matches!(sign(refused).await, Err(VaultError::NotBound)));
    }
    assert_eq!(fixture.session_keys(), 0);
    let signed = sign(&[digest(1), digest(1)]).await.unwrap();
    assert_eq!(signed.len(), 2);
    let empty = fixture.vault.sign(&key, &activation, ECDSA, &[], NOW).await;
    assert!(matches!(empty, Err(VaultError::NotBound)));
}

pub(crate) async fn an_ended_activation_signs_nothing(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let digests = [digest(1), digest(2), digest(3)];
    let activation = fixture.activation(&key, &digests, 3).await;
    let sign = async |number, now| {
        fixture
            .vault
            .sign(&key, &activation, ECDSA, &[digest(number)], now)
            .await
    };
    sign(1, END - 1).await.unwrap();
    fixture.has_session_keys(1).await;

    assert!(matches!(sign(2, END).await, Err(VaultError::Expired)));
    // Five seconds are what the clocks of two nodes may differ by.
    let ahead = NOW - 5_001;
    assert!(matches!(sign(2, ahead).await, Err(VaultError::Expired)));
    sign(2, NOW - 5_000).await.unwrap();
    assert!(matches!(sign(2, i64::MAX).await, Err(VaultError::Expired)));

    fixture.vault.sweep(END).await;
    fixture.has_session_keys(0).await;
}

pub(crate) async fn the_activation_of_one_key_signs_with_no_other(fixture: Fixture) {
    let one = fixture.key("one", KeyAlgorithm::P256).await;
    let two = fixture.key("two", KeyAlgorithm::P256).await;
    let activation = fixture.activation(&one, &[digest(1)], 2).await;
    let (content, secret) = (content(&two, &[digest(1)], 1), Secret::random().unwrap());

    let signed = refusal(&fixture, &two, &activation).await;
    let mut renamed = two.clone();
    renamed.credential = "one".to_owned();
    let renamed = refusal(&fixture, &renamed, &activation).await;
    let authorised = fixture
        .vault
        .authorise(&one, &pin(), &content, &secret)
        .await;
    let extended = fixture
        .vault
        .extend(&one, &activation, &content, &secret)
        .await;

    assert!(matches!(signed, VaultError::NotBound));
    assert!(matches!(renamed, VaultError::Damaged));
    assert!(matches!(authorised, Err(VaultError::NotBound)));
    assert!(matches!(extended, Err(VaultError::NotBound)));
}

pub(crate) async fn an_extended_activation_opens_with_its_own_secret(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let first = fixture.activation(&key, &[digest(1), digest(2)], 2).await;
    let (content, secret) = (content(&key, &[digest(2)], 1), Secret::random().unwrap());

    let extended = fixture.vault.extend(&key, &first, &content, &secret).await;
    let second = Activation {
        wrapped: extended.unwrap(),
        content,
        secret,
    };

    let signed = fixture
        .vault
        .sign(&key, &second, ECDSA, &[digest(2)], NOW)
        .await;
    signed.unwrap();
    let signed = fixture
        .vault
        .sign(&key, &second, ECDSA, &[digest(1)], NOW)
        .await;
    assert!(matches!(signed, Err(VaultError::NotBound)));
    // The first goes on: ending it is the service's part.
    let signed = fixture
        .vault
        .sign(&key, &first, ECDSA, &[digest(1)], NOW)
        .await;
    signed.unwrap();
    let mut mixed = second.clone();
    mixed.secret = first.secret.clone();
    assert!(matches!(
        fixture
            .vault
            .sign(&key, &mixed, ECDSA, &[digest(2)], NOW)
            .await,
        Err(VaultError::Damaged)
    ));
}

pub(crate) async fn no_key_is_left_behind(fixture: Fixture) {
    let vault = &fixture.vault;
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let rsa = fixture.key("two", KeyAlgorithm::Rsa2048).await;
    assert_eq!(fixture.session_keys(), 0);
    vault.check().await.unwrap();
    vault.health().await.unwrap();
    assert_eq!(fixture.session_keys(), 0);

    let digests = [digest(1), digest(2)];
    let activation = fixture.activation(&key, &digests, 2).await;
    let secret = Secret::random().unwrap();
    let extended = vault
        .extend(&key, &activation, &activation.content, &secret)
        .await;
    extended.unwrap();
    assert_eq!(fixture.session_keys(), 0);

    // Refused halfway: the DEK opens, the key does not.
    let mut broken = rsa.clone();
    let activation_of_rsa = fixture.activation(&rsa, &digests, 2).await;
    broken.algorithm = KeyAlgorithm::P256;
    refusal(&fixture, &broken, &activation_of_rsa).await;
    assert_eq!(fixture.session_keys(), 0);

    // All that was approved in one call.
    vault
        .sign(&key, &activation, ECDSA, &digests, NOW)
        .await
        .unwrap();
    assert_eq!(fixture.session_keys(), 0);

    // One of two: the key stays, until it is closed.
    vault
        .sign(&key, &activation, ECDSA, &digests[..1], NOW)
        .await
        .unwrap();
    assert_eq!(fixture.session_keys(), 1);
    assert_eq!(vault.state().open_keys, 1);
    vault.close(&activation).await;
    assert_eq!(fixture.session_keys(), 0);
    assert_eq!(vault.state().open_keys, 0);
}

pub(crate) async fn a_key_opens_once_for_many_signatures(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let digests = [digest(1), digest(2), digest(3), digest(4)];
    let activation = fixture.activation(&key, &digests, 5).await;
    let sign = async |digests: &[Digest]| {
        let signed = fixture
            .vault
            .sign(&key, &activation, ECDSA, digests, NOW)
            .await;
        signed.unwrap()
    };
    sign(&digests[..1]).await;
    let before = fixture.calls();

    sign(&digests[1..2]).await;
    sign(&digests[2..]).await;

    let made: Vec<_> = before
        .iter()
        .zip(fixture.calls())
        .filter(|((_, before), (_, after))| after > before)
        .map(|((name, before), (_, after))| (*name, after - before))
        .collect();
    match fixture.kind {
        crate::fixture::Kind::Memory(_) => assert_eq!(made, [("sign", 3)]),
        crate::fixture::Kind::SoftHsm(_) => assert_eq!(made, [("C_Sign", 3), ("C_SignInit", 3)]),
        crate::fixture::Kind::Process => unreachable!("its calls are counted elsewhere"),
    }
}

pub(crate) async fn no_more_keys_stay_open_than_allowed(fixture: Fixture) {
    let vault = fixture.vault_of(2);
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let mut activations = Vec::new();
    for _ in 0..3 {
        activations.push(fixture.activation(&key, &[digest(1)], 100).await);
    }
    let opened = || -> u64 {
        let calls = fixture.calls().into_iter();
        calls
            .filter(|(name, _)| ["unwrap_private", "C_UnwrapKey"].contains(name))
            .map(|(_, count)| count)
            .sum()
    };

    // The third makes room by closing the second: the first was used after it.
    for (activation, opens) in [
        (0, true),
        (1, true),
        (0, false),
        (2, true),
        (0, false),
        (1, true),
    ] {
        let before = opened();
        let activation = &activations[activation];
        let signed = vault.sign(&key, activation, ECDSA, &[digest(1)], NOW).await;
        signed.unwrap();
        assert_eq!(opened() > before, opens);
        assert!(fixture.session_keys() <= 2);
    }

    assert_eq!(fixture.session_keys(), 2);
    assert_eq!(vault.state().open_keys, 2);
}
