//! Signatures, judged by OpenSSL: neither the service's own library nor ours.

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::binary;

/// How a signature was made over a SHA-2 digest.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    /// ECDSA, DER encoded.
    Ecdsa,
    /// RSASSA-PKCS1-v1_5 with the digest's DigestInfo.
    Pkcs1,
    /// RSASSA-PSS, MGF1 with the same hash, salt of this many bytes.
    Pss(usize),
}

/// Panics unless `signature` signs `digest` under the key of the certificate (DER).
pub fn assert_signs(certificate: &[u8], digest: &[u8], signature: &[u8], scheme: Scheme) {
    let dir = tempfile::tempdir().expect("a directory for three files");
    for (name, content) in [
        ("cert.pem", pem(certificate).as_bytes()),
        ("digest", digest),
        ("signature", signature),
    ] {
        fs::write(dir.path().join(name), content).expect("the directory takes files");
    }
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir.path());
    openssl.args([
        "pkeyutl",
        "-verify",
        "-certin",
        "-inkey",
        "cert.pem",
        "-in",
        "digest",
        "-sigfile",
        "signature",
    ]);
    let hash = format!("digest:sha{}", digest.len() * 8);
    openssl.args(["-pkeyopt", &hash]);
    match scheme {
        Scheme::Ecdsa => {}
        Scheme::Pkcs1 => _ = openssl.args(["-pkeyopt", "rsa_padding_mode:pkcs1"]),
        Scheme::Pss(salt) => {
            let salt = format!("rsa_pss_saltlen:{salt}");
            openssl.args(["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", &salt]);
        }
    }
    binary::run(&mut openssl, &[]).expect(&format!("a {scheme:?} signature"));
}

/// A certificate as PEM.
pub fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
