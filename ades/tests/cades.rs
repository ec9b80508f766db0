//! CAdES B-B as OpenSSL and pyHanko see it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]

mod support;

use std::process::{Command, Output};

use ades::cades::{self, Content, Parameters};
use ades::{Chain, DigestAlgorithm, Scheme};
use support::{Folder, Signer, pyhanko, run, schemes, text, time};

fn parameters(scheme: Scheme) -> Parameters {
    Parameters {
        scheme,
        signing_time: time(),
        media_type: "text/plain".into(),
    }
}

fn attached(signer: &Signer, content: &[u8]) -> Vec<u8> {
    let content = Content::Attached(content.to_vec());
    let prepared = cades::prepare(content, &signer.chain, &parameters(signer.scheme)).unwrap();
    let signature = signer.sign(&prepared.digest());
    prepared.finish(&signature).unwrap()
}

fn detached(signer: &Signer, content: &[u8]) -> Vec<u8> {
    let content = Content::Detached(signer.scheme.digest_algorithm().digest(content));
    let prepared = cades::prepare(content, &signer.chain, &parameters(signer.scheme)).unwrap();
    let signature = signer.sign(&prepared.digest());
    prepared.finish(&signature).unwrap()
}

/// `openssl cms -verify -cades` with the root alone as trust anchor; the content is written to `content`.
fn verify(
    folder: &Folder,
    signer: &Signer,
    signature: &[u8],
    detached_content: Option<&[u8]>,
) -> Output {
    let root = folder.write("root.pem", &signer.root);
    let signature = folder.write("signature", signature);
    let mut command = Command::new("openssl");
    command
        .args([
            "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in",
        ])
        .arg(signature);
    command
        .arg("-CAfile")
        .arg(root)
        .arg("-out")
        .arg(folder.path().join("content"));
    if let Some(content) = detached_content {
        command
            .arg("-content")
            .arg(folder.write("detached", content));
    }
    run(&mut command)
}

#[test]
fn an_attached_signature_verifies_and_gives_back_the_content() {
    for scheme in schemes() {
        let signer = Signer::new(scheme, "Alice Muster");
        for content in [
            &b""[..],
            b"x",
            b"first\r\nsecond\r\n",
            &[0, 255, 26, 13, 10].repeat(200_000),
        ] {
            let folder = Folder::new();
            let output = verify(&folder, &signer, &attached(&signer, content), None);
            assert!(output.status.success(), "{scheme:?}: {}", text(&output));
            assert!(
                text(&output).contains("CAdES Verification successful"),
                "{scheme:?}: {}",
                text(&output)
            );
            assert_eq!(
                std::fs::read(folder.path().join("content")).unwrap(),
                content
            );
        }
    }
}

#[test]
fn a_detached_signature_verifies_over_its_content_only() {
    for scheme in schemes() {
        let signer = Signer::new(scheme, "Alice Muster");
        let signature = detached(&signer, b"the contract");
        let folder = Folder::new();
        let output = verify(&folder, &signer, &signature, Some(b"the contract"));
        assert!(output.status.success(), "{scheme:?}: {}", text(&output));
        let output = verify(&folder, &signer, &signature, Some(b"the Contract"));
        assert_eq!(
            output.status.code(),
            Some(4),
            "{scheme:?}: {}",
            text(&output)
        );
    }
}

#[test]
fn pyhanko_agrees() {
    for scheme in schemes() {
        let signer = Signer::new(scheme, "Alice Muster");
        let folder = Folder::new();
        let root = folder.write("root.pem", &signer.root);
        let signature = folder.write("signature.p7s", detached(&signer, b"the contract"));
        for (content, valid) in [("the contract", true), ("the Contract", false)] {
            let mut command = pyhanko();
            command.args([
                "sign",
                "validate",
                "--trust-replace",
                "--no-revocation-check",
                "--executive-summary",
            ]);
            command
                .arg("--trust")
                .arg(&root)
                .arg("--detached")
                .arg(&signature)
                .arg(folder.write("content", content));
            let output = run(&mut command);
            assert_eq!(
                output.status.success(),
                valid,
                "{scheme:?}: {}",
                text(&output)
            );
        }
    }
}

#[test]
fn a_changed_octet_of_the_content_is_noticed() {
    let signer = Signer::new(Scheme::Ecdsa(DigestAlgorithm::Sha256), "Alice Muster");
    let mut signature = attached(&signer, b"pay 100 euro");
    let position = signature
        .windows(3)
        .position(|part| part == b"100")
        .unwrap();
    signature[position] = b'9';
    assert!(
        !verify(&Folder::new(), &signer, &signature, None)
            .status
            .success()
    );
}

#[test]
fn the_signing_certificate_is_bound_by_its_digest() {
    let signer = Signer::new(Scheme::Ecdsa(DigestAlgorithm::Sha256), "Alice Muster");
    let mut signature = attached(&signer, b"content");
    let output = verify(&Folder::new(), &signer, &signature, None);
    assert!(output.status.success(), "{}", text(&output));
    // ESS signing-certificate-v2: the signature value holds under the twin too, but it was not made with it.
    let start = signature
        .windows(20)
        .position(|part| part == &signer.leaf[..20])
        .unwrap();
    signature[start..start + signer.twin.len()].copy_from_slice(&signer.twin);
    let output = verify(&Folder::new(), &signer, &signature, None);
    assert!(
        text(&output).contains("ess cert id not found"),
        "{}",
        text(&output)
    );
}

#[test]
fn the_signed_attributes_are_those_of_the_baseline_profile() {
    let signer = Signer::new(Scheme::RsaPkcs1(DigestAlgorithm::Sha256), "Alice Muster");
    let folder = Folder::new();
    let path = folder.write("signature.p7m", attached(&signer, b"content"));
    let output = run(Command::new("openssl")
        .args([
            "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in",
        ])
        .arg(path));
    let printed = text(&output);
    for attribute in [
        "contentType (1.2.840.113549.1.9.3)",
        "messageDigest (1.2.840.113549.1.9.4)",
        "signingTime (1.2.840.113549.1.9.5)",
        "id-smime-aa-signingCertificateV2 (1.2.840.113549.1.9.16.2.47)",
        "0.4.0.1733.2.1",
        "1.2.840.113549.1.9.52",
    ] {
        assert_eq!(
            printed.matches(attribute).count(),
            1,
            "{attribute} in {printed}"
        );
    }
    assert!(
        printed.contains("UTCTIME:Nov 21 10:00:00 2026 GMT"),
        "{printed}"
    );
    assert_eq!(
        printed.matches("d.certificate:").count(),
        2,
        "signer and intermediate: {printed}"
    );
}

#[test]
fn the_same_input_gives_the_same_octets() {
    let signer = Signer::new(Scheme::RsaPkcs1(DigestAlgorithm::Sha256), "Alice Muster");
    assert_eq!(attached(&signer, b"content"), attached(&signer, b"content"));
}

#[test]
fn a_scheme_of_another_key_type_is_refused() {
    let signer = Signer::new(Scheme::Ecdsa(DigestAlgorithm::Sha256), "Alice Muster");
    let rsa = parameters(Scheme::RsaPkcs1(DigestAlgorithm::Sha256));
    let error = cades::prepare(Content::Attached(vec![]), &signer.chain, &rsa).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the signer's certificate holds an EC key of 256 bits, which cannot sign with the requested algorithm"
    );
}

#[test]
fn a_signature_value_of_another_key_is_refused() {
    let signer = Signer::new(Scheme::Ecdsa(DigestAlgorithm::Sha256), "Alice Muster");
    let prepare = || {
        cades::prepare(
            Content::Attached(b"x".to_vec()),
            &signer.chain,
            &parameters(signer.scheme),
        )
        .unwrap()
    };
    for value in [&[7; 64][..], &[], &[7; 384]] {
        assert!(prepare().finish(value).is_err(), "{} octets", value.len());
    }
}

#[test]
fn a_digest_of_another_algorithm_is_refused() {
    let signer = Signer::new(Scheme::Ecdsa(DigestAlgorithm::Sha384), "Alice Muster");
    let content = Content::Detached(DigestAlgorithm::Sha256.digest(b"x"));
    assert!(cades::prepare(content, &signer.chain, &parameters(signer.scheme)).is_err());
}

#[test]
fn what_is_not_a_certificate_is_refused() {
    assert!(Chain::new(vec![]).is_err());
    assert!(Chain::new(vec![b"-----BEGIN CERTIFICATE-----".to_vec()]).is_err());
}
