use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use der::asn1::BitString;
use der::{Decode, Encode};
use hsm_adapter::memory::MemoryToken;
use hsm_adapter::{Digest, HsmError, Issuer, KeyAlgorithm, Pool, PoolLimits};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::*;
use crate::config::{QcStatement, QcType};

/// 2027-01-15 08:00:00.5 UTC.
const NOW: i64 = 1_800_000_000_500;
const SERIAL: &[u8] = &[0xfe, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn issuer() -> Issuer {
    let limits = PoolLimits {
        sessions: 1,
        queue: 16,
        deadline: Duration::from_secs(30),
    };
    Issuer::new(Pool::start(Arc::new(MemoryToken::new("issuer")), limits).unwrap())
}

fn ca_name() -> CaName {
    CaName {
        common_name: "Signing CA".to_owned(),
        organization: "Società Esempio".to_owned(),
        country: "IT".to_owned(),
    }
}

async fn ca(key: KeyAlgorithm) -> (Ca, Issuer) {
    let issuer = issuer();
    issuer.ensure(LABEL, key).await.unwrap();
    let certificate = create_root(issuer.clone(), LABEL, &ca_name(), 3650, SERIAL, NOW)
        .await
        .unwrap();
    (
        Ca::open(issuer.clone(), LABEL, certificate).await.unwrap(),
        issuer,
    )
}

fn subject() -> Subject {
    Subject {
        common_name: "Anna Già".to_owned(),
        given_name: "Anna".to_owned(),
        surname: "Già".to_owned(),
        serial_number: Some("TINIT-GIANNA80A41H501X".to_owned()),
        country: "IT".to_owned(),
        dn_qualifier: "0123456789abcdef0123456789abcdef".to_owned(),
    }
}

fn profile() -> Profile {
    Profile {
        notice: None,
        ..Profile::from(&crate::config::Certificate::default())
    }
}

/// A key that somebody else made, with its request.
struct HolderKey {
    spki: Vec<u8>,
    request: Vec<u8>,
}

async fn holder_key(key: KeyAlgorithm) -> HolderKey {
    let token = issuer();
    token.ensure("holder", key).await.unwrap();
    requested(&token, "holder", &subject()).await
}

/// The request of the key with this label.
async fn requested(token: &Issuer, label: &str, subject: &Subject) -> HolderKey {
    let (algorithm, spki) = token.public_key(label).await.unwrap().unwrap();
    let info = CertReqInfo {
        version: Default::default(),
        subject: Name::from_der(&subject.der().unwrap()).unwrap(),
        public_key: SubjectPublicKeyInfoOwned::from_der(&spki).unwrap(),
        attributes: Default::default(),
    };
    let (scheme, algorithm) = algorithm.x509();
    let digest = Digest::of(scheme.digest(), &info.to_der().unwrap());
    let signature = token.sign(label, scheme, &digest).await.unwrap();
    let request = CertReq {
        info,
        algorithm,
        signature: BitString::from_bytes(&signature).unwrap(),
    };
    HolderKey {
        spki,
        request: request.to_der().unwrap(),
    }
}

fn openssl(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn openssl_verifies_what_a_ca_of_each_key_type_issues() {
    for key in [
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::Rsa3072,
    ] {
        let (ca, _issuer) = ca(key).await;
        let key = holder_key(KeyAlgorithm::P256).await;
        let certificate = ca
            .issue(&profile(), &subject(), &key.spki, &key.request, SERIAL, NOW)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, der) in [("ca", ca.certificate()), ("holder", &certificate)] {
            std::fs::write(folder.path().join(format!("{name}.der")), der).unwrap();
            let (from, to) = (format!("{name}.der"), format!("{name}.pem"));
            openssl(
                &["x509", "-inform", "DER", "-in", &from, "-out", &to],
                folder.path(),
            );
        }
        let now = (NOW / 1000).to_string();
        let verify = [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-attime",
            &now,
            "-CAfile",
            "ca.pem",
        ];
        openssl(&[verify.as_slice(), &["ca.pem"]].concat(), folder.path());
        openssl(
            &[verify.as_slice(), &["holder.pem"]].concat(),
            folder.path(),
        );
    }
}

#[tokio::test]
async fn the_root_is_a_ca_for_end_entities_only() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let (_, root) = X509Certificate::from_der(ca.certificate()).unwrap();
    assert_eq!(
        root.subject().to_string(),
        "C=IT, O=Società Esempio, CN=Signing CA"
    );
    assert_eq!(root.issuer().as_raw(), root.subject().as_raw());
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert_eq!(usage.value.flags, 0b110_0000, "nothing else");
    assert_eq!(
        root.validity().not_after.timestamp() - root.validity().not_before.timestamp(),
        3650 * 86_400
    );
}

#[tokio::test]
async fn a_holders_certificate_names_him_and_signs_documents_only() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P384).await;
    let der = ca
        .issue(&profile(), &subject(), &key.spki, &key.request, SERIAL, NOW)
        .await
        .unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let (_, root) = X509Certificate::from_der(ca.certificate()).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "C=IT, serialNumber=TINIT-GIANNA80A41H501X, surname=Già, givenName=Anna, CN=Anna Già, \
         dnQualifier=0123456789abcdef0123456789abcdef"
    );
    assert_eq!(certificate.issuer().as_raw(), root.subject().as_raw());
    assert_eq!(certificate.public_key().raw, key.spki);
    assert_eq!(
        certificate.raw_serial(),
        [&[0], SERIAL].concat(),
        "positive"
    );
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.non_repudiation());
    assert_eq!(
        usage.value.flags, 0b10,
        "EN 319 412-2, 4.3.2, type A: nothing else"
    );
    assert_eq!(certificate.validity().not_before.timestamp(), NOW / 1000);
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        NOW / 1000 + 1095 * 86_400
    );
    assert!(certificate.basic_constraints().unwrap().is_none());
    let key_id = |certificate: &X509Certificate<'_>| {
        certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
    };
    let authority =
        certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    id.key_identifier.as_ref().map(|id| id.0.to_vec())
                }
                _ => None,
            });
    assert!(authority.is_some() && authority == key_id(&root));
    assert!(key_id(&certificate).is_some() && key_id(&certificate) != key_id(&root));
}

#[tokio::test]
async fn nothing_is_claimed_that_the_profile_does_not_say() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P256).await;
    let der = ca
        .issue(&profile(), &subject(), &key.spki, &key.request, SERIAL, NOW)
        .await
        .unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let present: Vec<_> = certificate
        .extensions()
        .iter()
        .map(|extension| extension.oid.to_id_string())
        .collect();
    assert_eq!(
        present,
        ["2.5.29.35", "2.5.29.14", "2.5.29.15"],
        "AKI, SKI, key usage"
    );
}

#[tokio::test]
async fn policies_and_qc_statements_are_those_of_the_profile() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let pds = |language: &str| QcStatement::Pds {
        language: language.to_owned(),
        url: format!("https://sign.example/pds-{language}.pdf")
            .parse()
            .unwrap(),
    };
    let profile = Profile {
        policies: vec!["1.3.6.1.4.1.32473.1".parse().unwrap()],
        qc_statements: vec![
            QcStatement::Compliance,
            QcStatement::Type(QcType::Esign),
            QcStatement::RetentionPeriod(20),
            pds("en"),
            pds("it"),
        ],
        ..profile()
    };
    let key = holder_key(KeyAlgorithm::P256).await;
    let der = ca
        .issue(&profile, &subject(), &key.spki, &key.request, SERIAL, NOW)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("holder.der"), &der).unwrap();
    let text = openssl(
        &[
            "x509",
            "-inform",
            "DER",
            "-in",
            "holder.der",
            "-noout",
            "-text",
        ],
        folder.path(),
    );
    assert!(text.contains("Policy: 1.3.6.1.4.1.32473.1"), "{text}");
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let statements = certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.3");
    let statements = statements.unwrap();
    assert!(!statements.critical);
    // ETSI EN 319 412-5, annex B, by hand: four statements, each an identifier of id-etsi-qcs (0.4.0.1862.1).
    std::fs::write(folder.path().join("qc.der"), statements.value).unwrap();
    let tree = openssl(
        &["asn1parse", "-inform", "DER", "-in", "qc.der"],
        folder.path(),
    );
    let leaves: Vec<&str> = tree
        .lines()
        .filter(|line| line.contains("prim:"))
        .map(|line| line.rsplit(':').next().unwrap_or_default())
        .collect();
    assert_eq!(
        leaves,
        [
            "0.4.0.1862.1.1",
            "0.4.0.1862.1.3",
            "14",
            "0.4.0.1862.1.6",
            "0.4.0.1862.1.6.1",
            "0.4.0.1862.1.5",
            "//sign.example/pds-en.pdf",
            "en",
            "//sign.example/pds-it.pdf",
            "it",
        ]
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_the_one_asked_for_is_not_given_out() {
    let (ca, issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P256).await;
    let (_, ca_key) = issuer.public_key(LABEL).await.unwrap().unwrap();
    let der = ca
        .issue(&profile(), &subject(), &key.spki, &key.request, SERIAL, NOW)
        .await
        .unwrap();
    let mut spoilt = der.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    issue::check(&der, &key.spki, &ca_key).unwrap();
    let problem = |result: Result<(), Error>| result.unwrap_err().to_string();
    let made = "the certificate made is not the one asked for: it";
    assert_eq!(
        problem(issue::check(&der, &ca_key, &ca_key)),
        format!("{made} is of another key")
    );
    assert_eq!(
        problem(issue::check(&spoilt, &key.spki, &ca_key)),
        format!("{made}s signature does not verify")
    );
    assert_eq!(
        problem(issue::check(&der[1..], &key.spki, &ca_key)),
        format!("{made} does not parse")
    );
}

#[tokio::test]
async fn the_certificate_of_an_automatic_procedure_says_so_to_who_reads_it() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P256).await;
    for (policies, named) in [
        (vec![], "X509v3 Any Policy"),
        (
            vec!["1.3.6.1.4.1.32473.1".parse().unwrap()],
            "1.3.6.1.4.1.32473.1",
        ),
    ] {
        let profile = Profile {
            policies,
            ..Profile::from(&crate::config::Certificate::default())
        };
        let subject = subject();
        let issued = ca.issue(&profile, &subject, &key.spki, &key.request, SERIAL, NOW);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("holder.der"), issued.await.unwrap()).unwrap();
        let arguments = [
            "x509",
            "-inform",
            "DER",
            "-in",
            "holder.der",
            "-noout",
            "-text",
        ];
        let text = openssl(&arguments, folder.path());
        assert!(text.contains(&format!("Policy: {named}")), "{text}");
        assert!(
            text.contains("Explicit Text: Valido solo per firme"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_certificate_does_not_outlive_its_ca() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P256).await;
    let days = |days: u64| Profile {
        validity: Duration::from_secs(days * 86_400),
        ..profile()
    };
    ca.issue(
        &days(3650),
        &subject(),
        &key.spki,
        &key.request,
        SERIAL,
        NOW,
    )
    .await
    .unwrap();
    let later = ca
        .issue(
            &days(3650),
            &subject(),
            &key.spki,
            &key.request,
            SERIAL,
            NOW + 1000,
        )
        .await;
    assert!(matches!(later, Err(Error::OutlivesIssuer)), "{later:?}");
}

#[tokio::test]
async fn what_cannot_stand_in_a_certificate_is_refused_by_name() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let key = holder_key(KeyAlgorithm::P256).await;
    let refusal = async |subject: Subject| {
        ca.issue(&profile(), &subject, &key.spki, &key.request, SERIAL, NOW)
            .await
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (
            Subject {
                common_name: String::new(),
                ..subject()
            },
            "commonName is empty",
        ),
        (
            Subject {
                surname: "x".repeat(65),
                ..subject()
            },
            "surname is longer than 64 characters",
        ),
        (
            Subject {
                given_name: "A\nB".to_owned(),
                ..subject()
            },
            "givenName has control characters",
        ),
        (
            Subject {
                country: "it".to_owned(),
                ..subject()
            },
            "countryName is not two upper-case letters",
        ),
        (
            Subject {
                dn_qualifier: "a_b".to_owned(),
                ..subject()
            },
            "dnQualifier has characters outside of PrintableString",
        ),
    ];
    for (subject, expected) in cases {
        assert_eq!(refusal(subject).await, expected);
    }
    for number in [&[][..], &[0, 0], &[1; 21], &[0x80; 20]] {
        let refused = ca
            .issue(&profile(), &subject(), &key.spki, &key.request, number, NOW)
            .await;
        assert!(matches!(refused, Err(Error::SerialNumber)), "{number:?}");
    }
}

#[tokio::test]
async fn a_random_serial_number_and_the_validity_are_those_of_the_certificate() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    let (serial, other) = (random_serial(), random_serial());
    assert_ne!(serial, other);
    let key = holder_key(KeyAlgorithm::P256).await;
    let der = ca
        .issue(
            &profile(),
            &subject(),
            &key.spki,
            &key.request,
            &serial,
            NOW,
        )
        .await
        .unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(
        certificate.serial.to_bytes_be(),
        serial.strip_prefix(&[0]).unwrap_or(&serial)
    );
    let begin = NOW / 1000 * 1000;
    assert_eq!(
        validity_of(&der).unwrap(),
        (begin, begin + 1095 * 86_400_000)
    );
}

#[tokio::test]
async fn a_ca_opens_only_with_the_certificate_of_its_own_key() {
    let (ca_of_another_token, _issuer) = ca(KeyAlgorithm::P256).await;
    let (here, issuer) = ca(KeyAlgorithm::P256).await;
    let foreign = Ca::open(
        issuer.clone(),
        LABEL,
        ca_of_another_token.certificate().to_vec(),
    )
    .await;
    assert!(matches!(
        foreign,
        Err(Error::CaCertificate(
            "it is of another key than the one in the HSM"
        ))
    ));
    let key = requested(&issuer, LABEL, &subject()).await;
    let of_a_holder = here
        .issue(&profile(), &subject(), &key.spki, &key.request, SERIAL, NOW)
        .await;
    let refused = Ca::open(issuer, LABEL, of_a_holder.unwrap()).await;
    assert!(matches!(
        refused,
        Err(Error::CaCertificate("it does not say that it is a CA"))
    ));
}

#[tokio::test]
async fn a_ca_without_its_key_says_what_is_missing() {
    let missing = create_root(issuer(), LABEL, &ca_name(), 3650, SERIAL, NOW).await;
    assert!(matches!(missing, Err(Error::Hsm(HsmError::Missing(label))) if label == LABEL));
}

#[test]
fn a_subject_in_a_log_shows_nobodys_name() {
    let shown = format!("{:?}", subject());
    assert!(
        !shown.contains("Anna") && !shown.contains("TINIT"),
        "{shown}"
    );
}

#[tokio::test]
async fn only_a_key_that_signed_for_its_certificate_gets_one() {
    let (ca, _issuer) = ca(KeyAlgorithm::P256).await;
    for algorithm in [
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::P521,
    ] {
        let key = holder_key(algorithm).await;
        let issue = async |subject: &Subject, spki: &[u8], request: &[u8]| {
            ca.issue(&profile(), subject, spki, request, SERIAL, NOW)
                .await
        };
        issue(&subject(), &key.spki, &key.request).await.unwrap();

        for position in 0..key.request.len() {
            let mut altered = key.request.clone();
            altered[position] ^= 1;
            let refused = issue(&subject(), &key.spki, &altered).await;
            assert!(
                matches!(refused, Err(Error::Request(_))),
                "{position}: {refused:?}"
            );
        }
        let longer = [&key.request[..], &[0]].concat();
        let other = holder_key(algorithm).await;
        let somebody = Subject {
            dn_qualifier: "f".repeat(32),
            ..subject()
        };
        for (subject, spki, request) in [
            (&subject(), &key.spki, &longer),
            (&subject(), &key.spki, &other.request),
            (&subject(), &other.spki, &key.request),
            (&somebody, &key.spki, &key.request),
        ] {
            let refused = issue(subject, spki, request).await;
            assert!(matches!(refused, Err(Error::Request(_))), "{refused:?}");
        }
    }
}
