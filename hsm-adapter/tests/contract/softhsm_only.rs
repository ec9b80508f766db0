//! What only a real module can show.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use hsm_adapter::{
    DigestAlgorithm, HsmError, Issuer, KeyAlgorithm, KeyUse, MacKey, Pool, PoolLimits, Scheme,
    Token, Vault,
    pkcs11::{Pkcs11Token, Profile, TokenSelector},
};
use zeroize::Zeroizing;

use crate::fixture::{
    Fixture, LIMITS, NOW, USER_PIN, digest, in_own_process, module, run, softhsm, softhsm_session,
    softhsm_token, stretcher,
};

#[test]
fn a_wrong_hsm_pin_is_tried_once() {
    in_own_process("softhsm_only::a_wrong_hsm_pin_is_tried_once", |_| {
        let token = Arc::new(softhsm_token("holders", "wrong"));

        let pool = Pool::start(token.clone(), LIMITS);
        let opened = token.open();

        assert!(matches!(pool, Err(HsmError::PinRefused(slot)) if slot == "holders"));
        assert!(matches!(opened, Err(HsmError::PinRefused(_))));
        assert_eq!(token.calls().get("C_Login"), Some(&1));
    });
}

#[test]
fn a_pool_logs_in_once() {
    in_own_process("softhsm_only::a_pool_logs_in_once", |_| {
        let token = Arc::new(softhsm_token("holders", USER_PIN));
        let pool = Pool::start(token.clone(), LIMITS).unwrap();

        assert_eq!(pool.state().sessions, LIMITS.sessions + 1);
        assert_eq!(token.calls().get("C_Login"), Some(&1));
        assert_eq!(token.calls().get("C_Initialize"), Some(&1));
    });
}

#[test]
fn a_token_that_is_not_there_is_named_with_those_that_are() {
    let name = "softhsm_only::a_token_that_is_not_there_is_named_with_those_that_are";
    in_own_process(name, |_| {
        let pool = Pool::start(Arc::new(softhsm_token("elsewhere", USER_PIN)), LIMITS);

        let Err(HsmError::Unfit(message)) = pool else {
            panic!("it starts without its token");
        };
        for part in ["elsewhere", "holders", "issuers", &module()] {
            assert!(message.contains(part), "{message}");
        }
    });
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let token = Pkcs11Token::new(
        "holders",
        "/nowhere/libpkcs11.so",
        TokenSelector::Label("holders".to_owned()),
        Zeroizing::default(),
        Profile::default(),
    );

    let pool = Pool::start(Arc::new(token), LIMITS);

    assert!(matches!(pool, Err(HsmError::Unfit(message)) if message.contains("/nowhere/")));
}

#[test]
fn a_token_is_found_by_its_serial_number() {
    in_own_process(
        "softhsm_only::a_token_is_found_by_its_serial_number",
        |_| {
            let by_label = softhsm_token("holders", USER_PIN);
            let mut hsm = by_label.open().unwrap();
            hsm.create_master("here", KeyUse::Mac).unwrap();
            let module = cryptoki::context::Pkcs11::new(module()).unwrap();
            let info = module
                .get_slots_with_token()
                .unwrap()
                .into_iter()
                .map(|slot| module.get_token_info(slot).unwrap())
                .find(|info| info.label() == "holders");

            let by_serial = Pkcs11Token::new(
                "holders",
                crate::fixture::module(),
                TokenSelector::Serial(info.unwrap().serial_number().to_owned()),
                Zeroizing::new(USER_PIN.to_owned()),
                Profile::SOFTHSM2,
            );

            let mut hsm = by_serial.open().unwrap();
            assert!(hsm.master("here", KeyUse::Mac).unwrap().is_some());
        },
    );
}

#[test]
fn two_slots_share_a_module() {
    in_own_process("softhsm_only::two_slots_share_a_module", |_| {
        run(async {
            let holders = Arc::new(softhsm_token("holders", USER_PIN));
            let issuers = Arc::new(softhsm_token("issuers", USER_PIN));
            let vault = Pool::start(holders.clone(), LIMITS).unwrap();
            let vault = Vault::new(vault, stretcher(), 4);
            let issuer = Issuer::new(Pool::start(issuers, LIMITS).unwrap());
            vault.init().await.unwrap();
            issuer.ensure("ca", KeyAlgorithm::P256).await.unwrap();
            assert_eq!(holders.calls().get("C_Initialize"), Some(&1));

            // One leaves, the other stays.
            drop(vault);

            issuer.health().await.unwrap();
            assert_eq!(holders.calls().get("C_Finalize"), None);
            drop(issuer);
            assert_eq!(holders.calls().get("C_Finalize"), Some(&1));
        });
    });
}

#[test]
fn an_unusual_pss_salt_is_verified_by_the_token() {
    let name = "softhsm_only::an_unusual_pss_salt_is_verified_by_the_token";
    softhsm(name, async |fixture: Fixture| {
        let key = fixture.key("one", KeyAlgorithm::Rsa2048).await;
        let activation = fixture.activation(&key, &[digest(1)], 9).await;
        for salt in [0, 20, 222] {
            let scheme = Scheme::RsaPss {
                digest: DigestAlgorithm::Sha256,
                salt,
            };
            let before = fixture.calls();

            let signed = fixture
                .vault
                .sign(&key, &activation, scheme, &[digest(1)], NOW)
                .await;

            assert_eq!(signed.unwrap()[0].len(), 256);
            let verified = |calls: &[(&str, u64)]| {
                let found = calls.iter().find(|(name, _)| *name == "C_Verify");
                found.map_or(0, |(_, count)| *count)
            };
            assert_eq!(verified(&fixture.calls()), verified(&before) + 1);
            assert_eq!(fixture.session_keys(), 1);
        }
        let mut hsm = fixture.token.open().unwrap();
        let scheme = Scheme::RsaPss {
            digest: DigestAlgorithm::Sha256,
            salt: 20,
        };
        let wrong = hsm.verify(&key.spki, scheme, &digest(1), &[0; 256]);
        assert!(!wrong.unwrap());
    });
}

#[test]
fn a_master_key_that_may_do_more_is_refused() {
    use cryptoki::{mechanism::Mechanism, object::Attribute};

    let name = "softhsm_only::a_master_key_that_may_do_more_is_refused";
    in_own_process(name, |_| {
        let token = softhsm_token("holders", USER_PIN);
        let mut hsm = token.open().unwrap();
        let module = cryptoki::context::Pkcs11::new(module()).unwrap();
        let slot = softhsm_session().get_session_info().unwrap().slot_id();
        let operator = module.open_rw_session(slot).unwrap();
        let made = |label: &str, extractable: bool, encrypts: bool| {
            let template = [
                Attribute::Token(true),
                Attribute::Label(label.into()),
                Attribute::ValueLen(32.into()),
                Attribute::Sensitive(true),
                Attribute::Extractable(extractable),
                Attribute::Derive(true),
                Attribute::Encrypt(encrypts),
                Attribute::Decrypt(false),
                Attribute::Sign(false),
                Attribute::Verify(false),
                Attribute::Wrap(false),
                Attribute::Unwrap(false),
            ];
            operator
                .generate_key(&Mechanism::AesKeyGen, &template)
                .unwrap();
        };
        made("extractable", true, false);
        made("encrypts", false, true);
        made("good", false, false);
        made("twice", false, false);
        made("twice", false, false);

        for bad in ["extractable", "encrypts", "twice"] {
            let found = hsm.master(bad, KeyUse::Derive);
            assert!(matches!(found, Err(HsmError::Unfit(_))), "{bad}: {found:?}");
        }
        assert!(hsm.master("good", KeyUse::Derive).unwrap().is_some());
    });
}

#[test]
fn no_search_is_made_in_a_request() {
    let name = "softhsm_only::no_search_is_made_in_a_request";
    softhsm(name, async |fixture: Fixture| {
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        fixture.activation(&key, &[digest(1)], 1).await;
        let searches = |calls: &[(&str, u64)]| {
            let found = calls.iter().find(|(name, _)| *name == "C_FindObjects");
            found.map_or(0, |(_, count)| *count)
        };
        let before = searches(&fixture.calls());

        let activation = fixture.activation(&key, &[digest(1)], 1).await;
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        let signed = fixture
            .vault
            .sign(&key, &activation, scheme, &[digest(1)], NOW)
            .await;
        signed.unwrap();

        assert_eq!(searches(&fixture.calls()), before);
    });
}

#[test]
fn a_token_that_is_gone_and_comes_back_needs_no_restart() {
    let name = "softhsm_only::a_token_that_is_gone_and_comes_back_needs_no_restart";
    in_own_process(name, |tokens| {
        run(async {
            let token = Arc::new(softhsm_token("holders", USER_PIN));
            let limits = PoolLimits {
                sessions: 2,
                ..LIMITS
            };
            let pool = Pool::start(token.clone(), limits).unwrap();
            let vault = Vault::new(pool, stretcher(), 4);
            vault.init().await.unwrap();
            let mac = vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
            let away = tokens.with_file_name("away");

            fs::rename(&tokens, &away).unwrap();
            until(|| async {
                let lost = vault.mac(MacKey::Otp, &[b"data"]).await;
                matches!(lost, Err(HsmError::Unavailable(_)))
            })
            .await;
            fs::rename(&away, &tokens).unwrap();

            until(|| async {
                vault
                    .mac(MacKey::Otp, &[b"data"])
                    .await
                    .is_ok_and(|again| again == mac)
            })
            .await;
            assert!(token.calls().contains_key("C_Finalize"));
        });
    });
}

#[test]
fn a_signature_that_opens_its_key_takes_few_calls() {
    let name = "softhsm_only::a_signature_that_opens_its_key_takes_few_calls";
    softhsm(name, async |fixture: Fixture| {
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 1).await;
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        let sign = async || {
            let signed = fixture
                .vault
                .sign(&key, &activation, scheme, &[digest(1)], NOW)
                .await;
            signed.unwrap()
        };
        sign().await;
        let before: BTreeMap<_, _> = fixture.calls().into_iter().collect();

        sign().await;

        let made: Vec<_> = fixture
            .calls()
            .into_iter()
            .map(|(name, count)| (name, count - before.get(name).copied().unwrap_or_default()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [
            // The blob's outer layer.
            ("C_Decrypt", 1),
            ("C_DecryptInit", 1),
            // KEK, DEK, private key: made, read back, destroyed.
            ("C_DeriveKey", 1),
            ("C_DestroyObject", 3),
            ("C_GetAttributeValue", 3),
            // The signature; the record's MAC was right before.
            ("C_Sign", 1),
            ("C_SignInit", 1),
            ("C_UnwrapKey", 2),
        ];
        assert_eq!(made, expected);
    });
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition comes true");
}

#[test]
fn the_module_of_these_tests_is_installed() {
    assert!(
        Path::new(&module()).exists(),
        "install the package softhsm2"
    );
}

#[test]
fn a_private_key_is_born_in_the_token() {
    use cryptoki::object::{Attribute, AttributeType, ObjectClass};

    let name = "softhsm_only::a_private_key_is_born_in_the_token";
    in_own_process(name, |_| {
        let token = softhsm_token("holders", USER_PIN);
        let mut hsm = token.open().unwrap();
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
            let (key, _) = hsm.generate_pair(algorithm).unwrap();
            let operator = softhsm_session();
            let private = operator.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
            let private = private.unwrap();
            assert_eq!(private.len(), 1);
            let asked = [
                AttributeType::Local,
                AttributeType::AlwaysSensitive,
                AttributeType::Token,
            ];
            let found = operator.get_attributes(private[0], &asked).unwrap();
            let expected = [
                Attribute::Local(true),
                Attribute::AlwaysSensitive(true),
                Attribute::Token(false),
            ];
            assert_eq!(found, expected, "{algorithm:?}");
            hsm.destroy(key).unwrap();
        }
    });
}

/// What a custodian compares with the vendor's tool is what AES makes of a block of zeros.
#[test]
fn check_values_of_aes_are_those_of_the_standard() {
    in_own_process(
        "softhsm_only::check_values_of_aes_are_those_of_the_standard",
        |_| {
            let token = softhsm_token("holders", USER_PIN);
            let mut session = token.open().unwrap();
            let key = session.create_master("store/v1", KeyUse::Encrypt).unwrap();
            let value = session.check_value(key, KeyUse::Encrypt).unwrap().unwrap();

            let other = softhsm_session();
            let template = [cryptoki::object::Attribute::Label("store/v1".into())];
            let found = other.find_objects(&template).unwrap();
            let mechanism = cryptoki::mechanism::Mechanism::AesEcb;
            let block = other.encrypt(&mechanism, found[0], &[0; 16]).unwrap();
            assert_eq!(value, block[..3]);
        },
    );
}
