//! Automatic signature: within its terms, and not beyond.

use hsm_adapter::{Activation, Digest, KeyAlgorithm, Rate, SealedKey, Secret, Terms, VaultError};

use crate::fixture::{ECDSA, END, Fixture, NOW, content, content_of, digest, octets, pin};

fn terms_of(key: &SealedKey) -> Terms {
    Terms {
        version: Terms::VERSION,
        id: "mandate".to_owned(),
        kind: Terms::KIND.to_owned(),
        holder: "holder".to_owned(),
        credential: key.credential.clone(),
        generation: key.generation,
        certificate: hex::encode([7; 32]),
        client: "client".to_owned(),
        count: 5,
        rate: Rate {
            count: 3,
            period: 60_000,
        },
        documents: vec!["invoices".to_owned()],
        factors: Vec::new(),
        issued: NOW,
        expires: END,
    }
}

fn canonical(terms: &Terms) -> Vec<u8> {
    serde_json::to_vec(terms).unwrap()
}

async fn given(fixture: &Fixture, key: &SealedKey, terms: &Terms) -> Activation {
    let (content, secret) = (canonical(terms), Secret::random().unwrap());
    let wrapped = fixture
        .vault
        .authorise(key, &pin(), &content, &secret)
        .await;
    Activation {
        wrapped: wrapped.unwrap(),
        content,
        secret,
    }
}

async fn signed(
    fixture: &Fixture,
    key: &SealedKey,
    mandate: &Activation,
    digests: &[Digest],
    now: i64,
) -> Result<usize, VaultError> {
    let signed = fixture.vault.sign(key, mandate, ECDSA, digests, now).await;
    signed.map(|signatures| signatures.len())
}

pub(crate) async fn a_mandate_signs_what_its_client_presents(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let mandate = given(&fixture, &key, &terms_of(&key)).await;

    for digests in [&[digest(1)][..], &[digest(2), digest(3)], &[digest(1)]] {
        let signed = signed(&fixture, &key, &mandate, digests, NOW).await;
        assert_eq!(signed.unwrap(), digests.len());
    }
    let none = signed(&fixture, &key, &mandate, &[], NOW).await;
    assert!(matches!(none, Err(VaultError::NotBound)), "{none:?}");
    let many = [1, 2, 3, 4].map(digest);
    let beyond = signed(&fixture, &key, &mandate, &many, NOW).await;
    assert!(matches!(beyond, Err(VaultError::NotBound)), "{beyond:?}");
    for (now, rule) in [(END, "its end"), (NOW - 10_000, "before its begin")] {
        let refused = signed(&fixture, &key, &mandate, &[digest(1)], now).await;
        assert!(
            matches!(refused, Err(VaultError::Expired)),
            "{rule}: {refused:?}"
        );
    }
    let other = fixture.key("two", KeyAlgorithm::P256).await;
    let refused = signed(&fixture, &other, &mandate, &[digest(1)], NOW).await;
    assert!(matches!(refused, Err(VaultError::NotBound)), "{refused:?}");
}

pub(crate) async fn edited_terms_open_nothing(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let terms = terms_of(&key);
    let mandate = given(&fixture, &key, &terms).await;
    let changes: [fn(&mut Terms); 10] = [
        |terms| terms.id.push('x'),
        |terms| terms.holder = "another".to_owned(),
        |terms| terms.certificate = hex::encode([8; 32]),
        |terms| terms.client = "another".to_owned(),
        |terms| terms.count += 1,
        |terms| terms.rate.count += 1,
        |terms| terms.rate.period -= 1,
        |terms| terms.documents.push("contracts".to_owned()),
        |terms| terms.issued -= 1,
        |terms| terms.expires += 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut edited = terms.clone();
        change(&mut edited);
        let edited = Activation {
            content: canonical(&edited),
            ..mandate.clone()
        };
        let refused = signed(&fixture, &key, &edited, &[digest(1)], NOW).await;
        assert!(
            matches!(refused, Err(VaultError::Damaged)),
            "{number}: {refused:?}"
        );
    }
    let another = Activation {
        secret: Secret::random().unwrap(),
        ..mandate.clone()
    };
    let refused = signed(&fixture, &key, &another, &[digest(1)], NOW).await;
    assert!(matches!(refused, Err(VaultError::Damaged)), "{refused:?}");
    let whole = signed(&fixture, &key, &mandate, &[digest(1)], NOW).await;
    assert_eq!(whole.unwrap(), 1);
}

/// Neither can be made out of the other, whoever holds the secret of either.
pub(crate) async fn a_mandate_is_no_sad_and_a_sad_no_mandate(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let mandate = given(&fixture, &key, &terms_of(&key)).await;
    let sad = fixture.activation(&key, &[digest(1)], 1).await;
    let as_sad = Activation {
        content: content(&key, &[digest(1)], 1),
        ..mandate.clone()
    };
    let as_mandate = Activation {
        content: canonical(&terms_of(&key)),
        ..sad.clone()
    };
    let mut in_its_name = content_of(&key, &[digest(1)], 1);
    in_its_name.kind = Terms::KIND.to_owned();
    let in_its_name = Activation {
        content: octets(&in_its_name),
        ..mandate.clone()
    };
    for forged in [as_sad, as_mandate, in_its_name] {
        let refused = signed(&fixture, &key, &forged, &[digest(1)], NOW).await;
        assert!(matches!(refused, Err(VaultError::Damaged)), "{refused:?}");
    }
    for (from, content) in [(&mandate, &mandate.content), (&sad, &mandate.content)] {
        let secret = Secret::random().unwrap();
        let extended = fixture.vault.extend(&key, from, content, &secret).await;
        assert!(
            matches!(extended, Err(VaultError::NotBound)),
            "{extended:?}"
        );
    }
}

pub(crate) async fn a_key_that_a_mandate_opened_is_closed_in_minutes(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let terms = Terms {
        expires: NOW + 365 * 86_400_000,
        ..terms_of(&key)
    };
    let before = fixture.session_keys();
    let mandate = given(&fixture, &key, &terms).await;
    signed(&fixture, &key, &mandate, &[digest(1)], NOW)
        .await
        .unwrap();
    fixture.has_session_keys(before + 1).await;

    fixture.vault.sweep(NOW + 300_000).await;
    fixture.has_session_keys(before).await;
}
