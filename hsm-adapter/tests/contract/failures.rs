//! What a failing device does to a signature: who may try again, and what was signed.

use std::collections::HashSet;

use hsm_adapter::{
    HsmError, KeyAlgorithm, Pin, Pool, PoolLimits, Secret, Vault, VaultError, memory::MemoryToken,
};

use crate::fixture::{ECDSA, Fixture, LIMITS, NOW, SUBJECT, content, digest, pin, run, stretcher};

fn refused() -> HsmError {
    HsmError::Refused("as the test wants".to_owned())
}

fn unavailable() -> HsmError {
    HsmError::Unavailable("as the test wants".to_owned())
}

fn unknown() -> HsmError {
    HsmError::OutcomeUnknown("as the test wants".to_owned())
}

fn gone() -> HsmError {
    HsmError::Missing("as the test wants".to_owned())
}

#[test]
fn a_failure_before_the_first_signature_leaves_the_outcome_known() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let digests = [digest(1), digest(2)];
        let activation = fixture.activation(&key, &digests, 2).await;
        for call in ["decrypt", "derive", "unwrap_dek", "unwrap_private", "sign"] {
            token.fail_next(call, HsmError::Unfit("as the test wants".to_owned()));

            let signed = fixture.vault.sign(&key, &activation, ECDSA, &digests, NOW);

            let signed = signed.await;
            assert!(
                matches!(signed, Err(VaultError::Hsm(HsmError::Unfit(_)))),
                "{call}"
            );
            assert_eq!(token.session_objects(), 0, "{call}");
        }
    });
}

#[test]
fn a_failure_after_the_first_signature_leaves_the_outcome_unknown() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let digests = [digest(1), digest(2)];
        let activation = fixture.activation(&key, &digests, 2).await;
        for error in [refused(), unavailable(), gone()] {
            token.fail_nth("sign", 2, error);
            let before = token.calls("sign");

            let signed = fixture.vault.sign(&key, &activation, ECDSA, &digests, NOW);

            let signed = signed.await;
            assert!(matches!(
                signed,
                Err(VaultError::Hsm(HsmError::OutcomeUnknown(_)))
            ));
            // Not run again.
            assert_eq!(token.calls("sign"), before + 2);
            assert_eq!(token.session_objects(), 0);
        }
    });
}

#[test]
fn a_signature_of_unknown_outcome_is_not_made_again() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 1).await;
        token.fail_next("sign", unknown());
        let before = token.calls("sign");

        let signed = fixture
            .vault
            .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
            .await;

        assert!(matches!(
            signed,
            Err(VaultError::Hsm(HsmError::OutcomeUnknown(_)))
        ));
        assert_eq!(token.calls("sign"), before + 1);
    });
}

#[test]
fn a_wrong_signature_does_not_leave() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
            let key = fixture.key(algorithm.name(), algorithm).await;
            let scheme = match algorithm {
                KeyAlgorithm::P256 => ECDSA,
                _ => hsm_adapter::Scheme::RsaPkcs1(hsm_adapter::DigestAlgorithm::Sha256),
            };
            let activation = fixture.activation(&key, &[digest(1)], 1).await;
            token.spoil_next_signature();

            let signed = fixture
                .vault
                .sign(&key, &activation, scheme, &[digest(1)], NOW)
                .await;

            assert!(matches!(
                signed,
                Err(VaultError::Hsm(HsmError::OutcomeUnknown(_)))
            ));
        }
    });
}

#[test]
fn a_key_whose_trial_signature_is_wrong_is_not_sealed() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        fixture.vault.init().await.unwrap();
        token.spoil_next_signature();
        let pin = Pin::parse("12345678").unwrap();

        let generated = fixture
            .vault
            .generate("one", 1, KeyAlgorithm::P256, &pin, SUBJECT)
            .await;

        assert!(generated.is_err());
        assert_eq!(token.session_objects(), 0);
    });
}

#[test]
fn a_broken_hsm_is_no_wrong_pin() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let (content, secret) = (content(&key, &[digest(1)], 1), Secret::random().unwrap());
        let authorise = async || {
            let pin = Pin::parse("31415926").unwrap();
            let authorised = fixture.vault.authorise(&key, &pin, &content, &secret).await;
            authorised.unwrap_err()
        };

        for call in ["mac", "decrypt", "derive", "unwrap_dek", "wrap"] {
            token.fail_next(call, HsmError::Unfit("as the test wants".to_owned()));
            assert!(
                matches!(authorise().await, VaultError::Hsm(HsmError::Unfit(_))),
                "{call}"
            );
            assert_eq!(token.session_objects(), 0, "{call}");
        }
        token.lose();
        assert!(matches!(
            authorise().await,
            VaultError::Hsm(HsmError::Unavailable(_))
        ));
    });
}

#[test]
fn an_opened_key_that_went_is_opened_again() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 9).await;
        let sign = async || {
            let signed = fixture
                .vault
                .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
                .await;
            signed.unwrap()
        };
        sign().await;
        let opened = token.calls("unwrap_private");

        // Its handle alone.
        token.fail_next("sign", gone());
        sign().await;
        assert_eq!(token.calls("unwrap_private"), opened + 1);

        // Its session, and every other.
        token.drop_sessions();
        sign().await;
        sign().await;
        assert_eq!(token.calls("unwrap_private"), opened + 2);
        assert_eq!(token.session_objects(), 1);
    });
}

#[test]
fn an_opened_key_is_not_used_after_its_session() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let limits = PoolLimits {
            sessions: 1,
            ..LIMITS
        };
        let pool = Pool::start(fixture.token.clone(), limits).unwrap();
        let vault = Vault::new(pool, stretcher(), 4);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 9).await;
        let sign = async || {
            vault
                .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
                .await
                .unwrap()
        };
        sign().await;
        token.drop_sessions();
        let before = token.calls("sign");

        sign().await;

        // Once on the session that turns out dead, once on the next, with the key opened there: a token may have given
        // the old handle to another key.
        assert_eq!(token.calls("sign"), before + 2);
    });
}

#[test]
fn temporary_keys_go_even_in_a_panic() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 1).await;
        token.panic_nth("sign", 1);
        let destroyed = token.calls("destroy");

        let signed = fixture
            .vault
            .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
            .await;

        // What happened in the panic nobody knows.
        assert!(matches!(
            signed,
            Err(VaultError::Hsm(HsmError::OutcomeUnknown(_)))
        ));
        assert_eq!(token.calls("destroy"), destroyed + 3);
        assert_eq!(token.session_objects(), 0);
        let signed = fixture
            .vault
            .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
            .await;
        signed.unwrap();
    });
}

#[test]
fn a_device_whose_random_octets_repeat_spoils_no_secret() {
    let token = MemoryToken::new("holders");
    run(async {
        let fixture = Fixture::on_memory(&token);
        let vault = &fixture.vault;
        vault.init().await.unwrap();
        token.stick_random();
        let drawn = token.calls("random");

        let mut secrets = HashSet::new();
        let mut ones = 0;
        for _ in 0..256 {
            let secret = vault.secret().await.unwrap();
            ones += secret
                .bits()
                .iter()
                .map(|octet| octet.count_ones())
                .sum::<u32>();
            secrets.insert(*secret.bits());
        }
        let (mut salts, mut puks) = (HashSet::new(), HashSet::new());
        for _ in 0..3 {
            let pin = pin();
            let generated = vault.generate("one", 1, KeyAlgorithm::P256, &pin, SUBJECT);
            let key = generated.await.unwrap().key;
            let (puk, sealed) = vault.make_puk(&key, &pin, false).await.unwrap();
            let changed = vault.change_pin(&key, &pin, &pin).await;
            salts.extend([key.salt, sealed.salt]);
            puks.insert(puk.expose().to_owned());
            assert!(changed.is_err(), "the record has no MAC yet");
        }

        assert_eq!((secrets.len(), salts.len(), puks.len()), (256, 6, 3));
        // The device has its part in each: one draw a secret, two salts and a PUK a key, and the salt of a new PIN.
        assert_eq!(token.calls("random"), drawn + 256 + 3 * 4);
        // Half of 65536 bits, six standard deviations (128 bits each) either way.
        assert!((32_000..=33_536).contains(&ones), "{ones}");
    });
}
