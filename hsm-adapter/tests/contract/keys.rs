//! Keys and what they do.

use std::{collections::BTreeSet, process::Command};

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine, prelude::BASE64_STANDARD};
use hsm_adapter::{
    DigestAlgorithm::{self, Sha256, Sha384, Sha512},
    HsmError, KeyAlgorithm, KeyUse, MacKey, MasterSet, Place, Scheme, VaultError,
};
use sha2::{Digest as _, Sha256 as Sha};

use crate::fixture::{
    Fixture, Kind, NOW, SUBJECT, digest, digest_of, message, pin, softhsm_session,
};

pub(crate) async fn every_key_type_signs_under_each_of_its_schemes(fixture: Fixture) {
    for algorithm in [
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::P521,
    ] {
        let key = fixture.key(algorithm.name(), algorithm).await;
        for (scheme, verification) in schemes(algorithm) {
            let digest = digest_of(scheme.digest(), &message(1));
            let activation = fixture
                .activation(&key, std::slice::from_ref(&digest), 1)
                .await;

            let signed = fixture
                .vault
                .sign(&key, &activation, scheme, &[digest], NOW)
                .await;
            let signatures = signed.unwrap();

            // Over the message, so that the digest and its encoding are judged too.
            UnparsedPublicKey::new(verification, &key.spki)
                .verify(&message(1), &signatures[0])
                .unwrap_or_else(|_| panic!("{algorithm:?} {scheme:?}"));
        }
    }
}

fn schemes(algorithm: KeyAlgorithm) -> Vec<(Scheme, &'static dyn VerificationAlgorithm)> {
    let pss = |digest: DigestAlgorithm| Scheme::RsaPss {
        digest,
        salt: u16::try_from(digest.len()).unwrap(),
    };
    let ecdsa = Scheme::Ecdsa;
    match algorithm {
        KeyAlgorithm::P256 => vec![
            (ecdsa(Sha256), &signature::ECDSA_P256_SHA256_ASN1),
            (ecdsa(Sha384), &signature::ECDSA_P256_SHA384_ASN1),
            (ecdsa(Sha512), &signature::ECDSA_P256_SHA512_ASN1),
        ],
        KeyAlgorithm::P384 => vec![
            (ecdsa(Sha256), &signature::ECDSA_P384_SHA256_ASN1),
            (ecdsa(Sha384), &signature::ECDSA_P384_SHA384_ASN1),
            (ecdsa(Sha512), &signature::ECDSA_P384_SHA512_ASN1),
        ],
        KeyAlgorithm::P521 => vec![
            (ecdsa(Sha256), &signature::ECDSA_P521_SHA256_ASN1),
            (ecdsa(Sha384), &signature::ECDSA_P521_SHA384_ASN1),
            (ecdsa(Sha512), &signature::ECDSA_P521_SHA512_ASN1),
        ],
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => vec![
            (
                Scheme::RsaPkcs1(Sha256),
                &signature::RSA_PKCS1_2048_8192_SHA256,
            ),
            (
                Scheme::RsaPkcs1(Sha384),
                &signature::RSA_PKCS1_2048_8192_SHA384,
            ),
            (
                Scheme::RsaPkcs1(Sha512),
                &signature::RSA_PKCS1_2048_8192_SHA512,
            ),
            (pss(Sha256), &signature::RSA_PSS_2048_8192_SHA256),
            (pss(Sha384), &signature::RSA_PSS_2048_8192_SHA384),
            (pss(Sha512), &signature::RSA_PSS_2048_8192_SHA512),
        ],
    }
}

pub(crate) async fn a_scheme_of_another_key_type_is_refused(fixture: Fixture) {
    let key = fixture.key("one", KeyAlgorithm::P256).await;
    let activation = fixture.activation(&key, &[digest(1)], 1).await;

    for scheme in [Scheme::RsaPkcs1(Sha256), Scheme::Ecdsa(Sha384)] {
        let signed = fixture
            .vault
            .sign(&key, &activation, scheme, &[digest(1)], NOW)
            .await;

        assert!(matches!(signed, Err(VaultError::NotBound)));
    }
}

pub(crate) async fn master_keys_are_made_once(fixture: Fixture) {
    let first = fixture.vault.init().await.unwrap();
    let second = fixture.vault.init().await.unwrap();

    let labels: Vec<_> = first.iter().map(|master| master.label.as_str()).collect();
    let expected = [
        "seal-derive/v1",
        "store/v1",
        "pin-check/v1",
        "puk-check/v1",
        "otp/v1",
        "pepper/v1",
        "record-mac/v1",
        "pseudonym/v1",
        "operator-mac/v1",
        "operator-otp/v1",
        "client-mac/v1",
    ];
    assert_eq!(labels, expected);
    assert!(first.iter().all(|master| master.created));
    assert!(!second.iter().any(|master| master.created));
    fixture.vault.check().await.unwrap();
}

pub(crate) async fn a_slot_without_master_keys_does_not_pass_the_check(fixture: Fixture) {
    let checked = fixture.vault.check().await;

    assert!(matches!(checked, Err(HsmError::Missing(label)) if label == "seal-derive/v1"));
}

pub(crate) async fn a_master_key_does_one_thing_and_does_not_leave(fixture: Fixture) {
    for _ in 0..2 {
        fixture.vault.init().await.unwrap();
    }
    let mut hsm = fixture.token.open().unwrap();
    let derive = hsm
        .master("seal-derive/v1", KeyUse::Derive)
        .unwrap()
        .unwrap();
    let store = hsm.master("store/v1", KeyUse::Encrypt).unwrap().unwrap();
    let mac = hsm.master("otp/v1", KeyUse::Mac).unwrap().unwrap();
    let kek = hsm.derive(derive, &[1; 32]).unwrap();

    for master in [derive, store, mac] {
        assert!(matches!(hsm.wrap(kek, master), Err(HsmError::Refused(_))));
        // With whatever code: some tokens say that it is no wrapping key.
        assert!(hsm.wrap(master, kek).is_err());
    }
    for master in [derive, mac] {
        let encrypted = hsm.encrypt(master, b"aad", &[0; 32]);
        assert!(matches!(encrypted, Err(HsmError::Refused(_))));
    }
    for master in [derive, store] {
        assert!(matches!(
            hsm.mac(master, b"data"),
            Err(HsmError::Refused(_))
        ));
    }
    for master in [store, mac] {
        assert!(matches!(
            hsm.derive(master, &[1; 32]),
            Err(HsmError::Refused(_))
        ));
    }
    // Nor does a derived key.
    assert!(matches!(hsm.wrap(kek, kek), Err(HsmError::Refused(_))));
    if let Kind::SoftHsm(_) = fixture.kind {
        no_object_can_be_read();
    }
}

/// What the token itself says of the objects that are there.
fn no_object_can_be_read() {
    use cryptoki::object::{Attribute, AttributeInfo, AttributeType};

    let session = softhsm_session();
    let objects = session.find_objects(&[Attribute::Token(true)]).unwrap();
    assert_eq!(objects.len(), 11);
    for object in objects {
        let value = session.get_attribute_info(object, &[AttributeType::Value]);
        assert!(matches!(value.unwrap()[..], [AttributeInfo::Sensitive]));
        let flags = session.get_attributes(
            object,
            &[
                AttributeType::Extractable,
                AttributeType::NeverExtractable,
                AttributeType::Modifiable,
                AttributeType::Local,
            ],
        );
        let expected = [
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Modifiable(false),
            Attribute::Local(true),
        ];
        assert_eq!(flags.unwrap(), expected);
    }
}

pub(crate) async fn a_mac_is_bound_to_its_purpose_and_to_each_part(fixture: Fixture) {
    fixture.vault.init().await.unwrap();
    let mut macs = Vec::new();
    for key in [
        MacKey::Otp,
        MacKey::Pepper,
        MacKey::Pseudonym,
        MacKey::Operator,
        MacKey::OperatorCode,
        MacKey::Client,
    ] {
        macs.push(fixture.vault.mac(key, &[b"ab", b"c"]).await.unwrap());
    }
    for parts in [&[&b"a"[..], b"bc"][..], &[b"abc"]] {
        macs.push(fixture.vault.mac(MacKey::Otp, parts).await.unwrap());
    }

    macs.push(fixture.vault.record_mac(1, b"abc").await.unwrap());

    let again = fixture
        .vault
        .mac(MacKey::Otp, &[b"ab", b"c"])
        .await
        .unwrap();

    assert_eq!(again, macs[0]);
    for (number, mac) in macs.iter().enumerate() {
        assert!(!macs[number + 1..].contains(mac));
    }
}

pub(crate) async fn a_sealed_value_opens_in_its_place_only(fixture: Fixture) {
    fixture.vault.init().await.unwrap();
    let place = |table, row, field| Place { table, row, field };
    let own = place("person", "1", "seed");
    let sealed = fixture.vault.seal(&own, b"a seed").await.unwrap();

    let opened = fixture.vault.unseal(&own, &sealed).await.unwrap();

    assert_eq!(opened.as_slice(), b"a seed");
    for other in [
        place("client", "1", "seed"),
        place("person", "2", "seed"),
        place("person", "1", "name"),
        place("person", "", "1seed"),
    ] {
        let opened = fixture.vault.unseal(&other, &sealed).await;
        assert!(matches!(opened, Err(HsmError::Refused(_))), "{other:?}");
    }
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[position] ^= 1;
        let opened = fixture.vault.unseal(&own, &changed).await;
        assert!(matches!(opened, Err(HsmError::Refused(_))), "{position}");
    }
    for length in [0, 3, 4, 15, sealed.len() - 1] {
        let opened = fixture.vault.unseal(&own, &sealed[..length]).await;
        assert!(matches!(opened, Err(HsmError::Refused(_))), "{length}");
    }
}

pub(crate) async fn two_random_values_differ(fixture: Fixture) {
    let one = fixture.vault.random::<32>().await.unwrap();
    let other = fixture.vault.random::<32>().await.unwrap();

    assert_ne!(*one, *other);
    assert_ne!(*one, [0; 32]);
}

/// OpenSSL judges what a new key says of itself.
pub(crate) async fn a_new_key_signs_its_certification_request(fixture: Fixture) {
    fixture.vault.init().await.unwrap();
    for algorithm in [
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::P521,
    ] {
        let pin = pin();
        let made = fixture.vault.generate("one", 1, algorithm, &pin, SUBJECT);
        let made = made.await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("request.der");
        std::fs::write(&path, &made.request).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-inform", "DER", "-verify", "-noout"]);
        openssl.args(["-subject", "-pubkey", "-in"]).arg(&path);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{algorithm:?}: {output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("CN = A holder"), "{told}");
        let (_, pem) = told.split_once("-----BEGIN PUBLIC KEY-----").unwrap();
        let (pem, _) = pem.split_once("-----END").unwrap();
        let pem: String = pem.split_ascii_whitespace().collect();
        assert_eq!(BASE64_STANDARD.decode(pem).unwrap(), made.key.spki);
        match fixture.kind {
            Kind::Memory(_) => assert_eq!(made.device, "holders"),
            Kind::SoftHsm(_) | Kind::Process => {
                assert_eq!(made.device.len(), 16, "{}", made.device);
            }
        }
    }
}

pub(crate) async fn a_record_names_every_key_and_knows_it_again(fixture: Fixture) {
    let vault = &fixture.vault;
    vault.init().await.unwrap();
    vault.rotate(MasterSet::Store, 2).await.unwrap();
    let issuer = fixture.issuer();
    let (spki, _) = issuer.ensure("ca/v1", KeyAlgorithm::P256).await.unwrap();

    let recorded = vault.recorded().await.unwrap();

    let labels: Vec<_> = recorded.iter().map(|key| key.label.as_str()).collect();
    assert_eq!(labels.len(), 12, "{labels:?}");
    assert!(labels.contains(&"store/v1") && labels.contains(&"store/v2"));
    let values: BTreeSet<_> = recorded.iter().map(|key| &key.check_value).collect();
    assert_eq!(
        values.len(),
        12,
        "each key has one of its own: {recorded:?}"
    );
    for key in &recorded {
        assert_eq!(key.check_value.as_ref().map(Vec::len), Some(3), "{key:?}");
        let has = |name: &str| key.attributes.iter().any(|attribute| attribute == name);
        assert!(
            has("TOKEN") && has("SENSITIVE") && !has("EXTRACTABLE"),
            "{key:?}"
        );
    }
    assert_eq!(fixture.another().vault.recorded().await.unwrap(), recorded);

    let labels = ["ca/v1", "tsa/v1"].map(str::to_owned).into();
    let [pair] = &issuer.recorded(labels).await.unwrap()[..] else {
        panic!("one of the two is there");
    };
    assert_eq!(pair.check_value, Some(Sha::digest(&spki).to_vec()));
}
