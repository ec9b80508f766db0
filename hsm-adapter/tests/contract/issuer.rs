//! Keys of the provider.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use hsm_adapter::{DigestAlgorithm, HsmError, KeyAlgorithm, Scheme};

use crate::fixture::{Fixture, digest_of, message};

const SCHEME: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha384);

pub(crate) async fn a_provider_key_is_made_once_and_signs(fixture: Fixture) {
    let issuer = fixture.issuer();
    assert!(issuer.public_key("ca").await.unwrap().is_none());

    let (spki, made) = issuer.ensure("ca", KeyAlgorithm::P384).await.unwrap();
    let again = issuer.ensure("ca", KeyAlgorithm::P384).await.unwrap();

    assert!(made);
    assert_eq!(again, (spki.clone(), false));
    let known = issuer.public_key("ca").await.unwrap();
    assert_eq!(known, Some((KeyAlgorithm::P384, spki.clone())));
    let digest = digest_of(DigestAlgorithm::Sha384, &message(1));
    let signature = issuer.sign("ca", SCHEME, &digest).await.unwrap();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, spki)
        .verify(&message(1), &signature)
        .unwrap();
    issuer.health().await.unwrap();
}

pub(crate) async fn a_provider_key_that_is_missing_is_named(fixture: Fixture) {
    let issuer = fixture.issuer();
    let digest = digest_of(DigestAlgorithm::Sha384, &message(1));

    let signed = issuer.sign("ca", SCHEME, &digest).await;

    assert!(matches!(signed, Err(HsmError::Missing(label)) if label == "ca"));
}

pub(crate) async fn a_provider_key_of_another_type_is_not_taken(fixture: Fixture) {
    let issuer = fixture.issuer();
    issuer.ensure("ca", KeyAlgorithm::P384).await.unwrap();

    let ensured = issuer.ensure("ca", KeyAlgorithm::Rsa2048).await;
    let digest = digest_of(DigestAlgorithm::Sha256, &message(1));
    let scheme = Scheme::RsaPkcs1(DigestAlgorithm::Sha256);
    let signed = issuer.sign("ca", scheme, &digest).await;

    assert!(matches!(ensured, Err(HsmError::Unfit(_))));
    assert!(matches!(signed, Err(HsmError::Refused(_))));
}
