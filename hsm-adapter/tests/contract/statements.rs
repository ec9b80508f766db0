//! Digests that the key signs in place of those of approved documents.

use der::{
    Encode, Sequence,
    asn1::{Any, ObjectIdentifier, OctetString, SetOfVec},
};
use hsm_adapter::{
    Activation, DigestAlgorithm, HashType, PdfUpdate, Scheme, Statement, VaultError,
};
use sha2::{Digest as _, Sha256};
use x509_cert::attr::{Attribute, Attributes};

use crate::fixture::{END, Fixture, NOW, content_of, digest, digest_of, message, octets, pin};

const SCHEME: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
/// SHA-256 of the certificate, in the contents of the fixture.
const CERTIFICATE: [u8; 32] = [7; 32];

#[derive(Sequence)]
struct SigningCertificate {
    certificates: Vec<EssCertId>,
}

#[derive(Sequence)]
struct EssCertId {
    certificate: OctetString,
}

/// Signed attributes with this message-digest and certificate.
fn attributes(message_digest: &[u8], certificate: [u8; 32]) -> Vec<u8> {
    let attribute = |oid: &str, value: Any| Attribute {
        oid: ObjectIdentifier::new_unwrap(oid),
        values: SetOfVec::try_from(vec![value]).unwrap(),
    };
    let data = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
    let signer = SigningCertificate {
        certificates: vec![EssCertId {
            certificate: OctetString::new(certificate).unwrap(),
        }],
    };
    let digest = OctetString::new(message_digest).unwrap();
    let all = vec![
        attribute("1.2.840.113549.1.9.3", Any::encode_from(&data).unwrap()),
        attribute("1.2.840.113549.1.9.4", Any::encode_from(&digest).unwrap()),
        attribute(
            "1.2.840.113549.1.9.16.2.47",
            Any::encode_from(&signer).unwrap(),
        ),
    ];
    let all: Attributes = SetOfVec::try_from(all).unwrap();
    all.to_der().unwrap()
}

fn about(number: u8) -> Statement {
    let attributes = attributes(digest(number).octets(), CERTIFICATE);
    Statement::of_digest(SCHEME, &attributes, digest(number)).unwrap()
}

/// An activation for the digest of document 1, of this type.
async fn activation(
    fixture: &Fixture,
    hash_type: Option<HashType>,
) -> (hsm_adapter::SealedKey, Activation) {
    let key = fixture.key("one", hsm_adapter::KeyAlgorithm::P256).await;
    let mut content = content_of(&key, &[digest(1)], 1);
    content.hash_type = hash_type;
    let content = octets(&content);
    let secret = fixture.vault.secret().await.unwrap();
    let wrapped = fixture
        .vault
        .authorise(&key, &pin(), &content, &secret)
        .await
        .unwrap();
    let activation = Activation {
        content,
        wrapped,
        secret,
    };
    (key, activation)
}

pub(crate) async fn a_document_is_signed_by_what_contains_it(fixture: Fixture) {
    let (key, activation) = activation(&fixture, Some(HashType::Sdr)).await;
    let statement = about(1);

    let signed = fixture
        .vault
        .sign_statements(&key, &activation, std::slice::from_ref(&statement), NOW)
        .await
        .unwrap();

    assert_eq!(statement.approved(), &digest(1));
    let signed_octets = attributes(digest(1).octets(), CERTIFICATE);
    aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        &key.spki,
    )
    .verify(&signed_octets, &signed[0])
    .unwrap();
}

pub(crate) async fn only_documents_that_were_approved_and_the_certificate_named_are_signed(
    fixture: Fixture,
) {
    let (key, activation) = activation(&fixture, Some(HashType::Sdr)).await;
    let of_another_certificate =
        Statement::of_digest(SCHEME, &attributes(digest(1).octets(), [8; 32]), digest(1)).unwrap();

    for refused in [
        vec![about(2)],
        vec![of_another_certificate],
        vec![about(1), about(1)],
        vec![],
    ] {
        let signed = fixture
            .vault
            .sign_statements(&key, &activation, &refused, NOW)
            .await;
        assert!(matches!(signed, Err(VaultError::NotBound)));
    }
    let late = fixture
        .vault
        .sign_statements(&key, &activation, &[about(1)], END)
        .await;
    assert!(matches!(late, Err(VaultError::Expired)));
}

pub(crate) async fn a_digest_of_one_type_is_not_signed_as_one_of_the_other(fixture: Fixture) {
    let (key, documents) = activation(&fixture, Some(HashType::Sdr)).await;
    let raw = fixture
        .vault
        .sign(&key, &documents, SCHEME, &[digest(1)], NOW)
        .await;
    assert!(matches!(raw, Err(VaultError::NotBound)));

    let (key, hashes) = activation(&fixture, Some(HashType::Dtbsr)).await;
    let derived = fixture
        .vault
        .sign_statements(&key, &hashes, &[about(1)], NOW)
        .await;
    assert!(matches!(derived, Err(VaultError::NotBound)));

    let (key, either) = activation(&fixture, None).await;
    let derived = fixture
        .vault
        .sign_statements(&key, &either, &[about(1)], NOW)
        .await;
    assert!(derived.is_ok());
}

pub(crate) async fn there_is_no_statement_that_does_not_contain_its_document(_: Fixture) {
    let approved = || digest(1);
    let right = attributes(approved().octets(), CERTIFICATE);
    let other = attributes(digest(2).octets(), CERTIFICATE);
    let mut trailing = right.clone();
    trailing.push(0);
    for wrong in [&other[..], &trailing, &right[1..], &[]] {
        assert!(Statement::of_digest(SCHEME, wrong, approved()).is_err());
        assert!(
            Statement::of_document(SCHEME, wrong, &message(1), DigestAlgorithm::Sha384).is_err()
        );
    }
    let longer = digest_of(DigestAlgorithm::Sha384, &message(1));
    let of_longer = attributes(longer.octets(), CERTIFICATE);
    assert!(Statement::of_digest(SCHEME, &of_longer, longer).is_err());

    let statement = Statement::of_document(SCHEME, &right, &message(1), DigestAlgorithm::Sha384);
    assert_eq!(
        statement.unwrap().approved(),
        &digest_of(DigestAlgorithm::Sha384, &message(1))
    );
}

pub(crate) async fn a_pdf_begins_with_the_document_that_was_approved(_: Fixture) {
    let document = message(1);
    let whole = [&document[..], b" update <0000> end"].concat();
    let start = document.len() + 8;
    let signed = [&whole[..start], &whole[start + 6..]].concat();
    let attributes = attributes(&Sha256::digest(&signed), CERTIFICATE);
    let statement = |octets: &[u8], original, gap| {
        let pdf = PdfUpdate {
            octets,
            original,
            gap,
        };
        Statement::of_pdf(SCHEME, &attributes, &pdf, DigestAlgorithm::Sha256)
    };

    let gap = start..start + 6;
    let right = statement(&whole, document.len(), gap.clone()).unwrap();
    assert_eq!(right.approved(), &digest(1));

    let mut changed = whole.clone();
    changed[0] ^= 1;
    assert!(statement(&changed, document.len(), gap.clone()).is_err());
    let mut filled = whole.clone();
    filled[start + 1] = b'1';
    assert!(statement(&filled, document.len(), gap.clone()).is_err());
    assert!(statement(&whole, start + 1, gap.clone()).is_err());
    assert!(statement(&whole, document.len(), start..start + 7).is_err());
    assert!(statement(&whole, document.len(), start..whole.len() + 1).is_err());
}
