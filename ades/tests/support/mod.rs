//! A certificate authority, software keys, and the validators that others wrote.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]
#![expect(dead_code, reason = "each test file uses its part")]

pub(crate) mod pdf;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use ades::{Chain, DigestAlgorithm, Scheme};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};
use aws_lc_rs::{digest, rsa::KeySize};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SignatureAlgorithm,
};
use tempfile::TempDir;

/// 2026-11-21 10:00:00 UTC.
pub(crate) fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_255_200)
}

/// The schemes every format is tried with.
pub(crate) fn schemes() -> [Scheme; 4] {
    [
        Scheme::RsaPkcs1(DigestAlgorithm::Sha256),
        Scheme::RsaPss(DigestAlgorithm::Sha512),
        Scheme::Ecdsa(DigestAlgorithm::Sha256),
        Scheme::Ecdsa(DigestAlgorithm::Sha384),
    ]
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// A person with a key and a certificate from an intermediate authority.
pub(crate) struct Signer {
    pub(crate) chain: Chain,
    pub(crate) scheme: Scheme,
    pub(crate) root: String,
    pub(crate) intermediate: String,
    pub(crate) leaf: Vec<u8>,
    /// Another certificate for the same key, with the same issuer and serial number, of the same length.
    pub(crate) twin: Vec<u8>,
    key: Key,
}

impl Signer {
    pub(crate) fn new(scheme: Scheme, name: &str) -> Self {
        let (algorithm, key, pkcs8): (&SignatureAlgorithm, Key, Vec<u8>) = match scheme {
            Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => {
                use aws_lc_rs::encoding::AsDer as _;
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
                let der = pair.as_der().unwrap().as_ref().to_vec();
                (&rcgen::PKCS_RSA_SHA256, Key::Rsa(pair), der)
            }
            Scheme::Ecdsa(digest) => {
                let (algorithm, signing) = match digest {
                    DigestAlgorithm::Sha256 => (
                        &rcgen::PKCS_ECDSA_P256_SHA256,
                        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                    ),
                    DigestAlgorithm::Sha384 => (
                        &rcgen::PKCS_ECDSA_P384_SHA384,
                        &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                    ),
                    DigestAlgorithm::Sha512 => panic!("no test key for P-521"),
                };
                let der = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new())
                    .unwrap()
                    .as_ref()
                    .to_vec();
                (
                    algorithm,
                    Key::Ec(EcdsaKeyPair::from_pkcs8(signing, &der).unwrap()),
                    der,
                )
            }
        };
        let subject =
            KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), algorithm).unwrap();

        let root =
            CertifiedIssuer::self_signed(authority("Test Root"), KeyPair::generate().unwrap())
                .unwrap();
        let intermediate = CertifiedIssuer::signed_by(
            authority("Test Issuer"),
            KeyPair::generate().unwrap(),
            &root,
        )
        .unwrap();
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.distinguished_name.push(DnType::CountryName, "IT");
        leaf.subject_alt_names = vec![SanType::Rfc822Name(
            "person@example.org".try_into().unwrap(),
        )];
        leaf.key_usages = vec![KeyUsagePurpose::ContentCommitment];
        leaf.use_authority_key_identifier_extension = true;
        leaf.serial_number = Some(4711.into());
        let twin = || {
            let mut twin = leaf.clone();
            twin.subject_alt_names = vec![SanType::Rfc822Name(
                "parson@example.org".try_into().unwrap(),
            )];
            twin.signed_by(&subject, &intermediate)
                .unwrap()
                .der()
                .to_vec()
        };
        let leaf = leaf.signed_by(&subject, &intermediate).unwrap();
        // The issuer's ECDSA signatures differ in length.
        let twin = std::iter::repeat_with(twin).find(|twin| twin.len() == leaf.der().len());
        let chain = vec![leaf.der().to_vec(), intermediate.der().to_vec()];
        Self {
            chain: Chain::new(chain).unwrap(),
            scheme,
            root: root.pem(),
            intermediate: intermediate.pem(),
            leaf: leaf.der().to_vec(),
            twin: twin.unwrap(),
            key,
        }
    }

    /// The signature value over a digest, in the encoding of the CSC API.
    pub(crate) fn sign(&self, value: &[u8]) -> Vec<u8> {
        let algorithm = match self.scheme.digest_algorithm() {
            DigestAlgorithm::Sha256 => &digest::SHA256,
            DigestAlgorithm::Sha384 => &digest::SHA384,
            DigestAlgorithm::Sha512 => &digest::SHA512,
        };
        let value = digest::Digest::import_less_safe(value, algorithm).unwrap();
        match (&self.key, self.scheme) {
            (Key::Ec(key), _) => key.sign_digest(&value).unwrap().as_ref().to_vec(),
            (Key::Rsa(key), scheme) => {
                let encoding: &'static dyn signature::RsaEncoding = match scheme {
                    Scheme::RsaPkcs1(_) => &signature::RSA_PKCS1_SHA256,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(encoding, &value, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// A folder for one test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): see conformance-tests/run")
    })
}

/// pyHanko, which `conformance-tests/run` installs and names in the environment.
pub(crate) fn pyhanko() -> Command {
    let Some(path) = std::env::var_os("PYHANKO") else {
        panic!("PYHANKO, the path of pyHanko's executable, is not set: start conformance-tests/run")
    };
    Command::new(path)
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
