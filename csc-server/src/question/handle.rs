//! The handle of a question: what a client holds while the holder has not answered.
//!
//! `id.secret`. The secret seeds an X25519 key pair; the database has its public half. What the holder's approval unlocks, the SAD, is
//! sealed to it (HPKE, RFC 9180), so that only who holds the handle opens it, and the database alone never holds what opens the key.

use aws_lc_rs::{
    agreement::{PrivateKey, X25519},
    hkdf,
};
use hsm_adapter::Secret;
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as HPKE,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ids::QuestionId;

/// `info` of HPKE, and the salt of the key derivation.
const PURPOSE: &[u8] = b"csc-server question/1";
/// Octets of an X25519 key.
const KEY: usize = 32;

/// A handle. Prints nothing but its identifier.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) id: QuestionId,
    secret: Secret,
}

/// The device, or what it made, does not do. Nothing of it is told.
#[derive(Debug)]
pub(super) struct Broken;

impl Handle {
    pub(super) fn new(id: QuestionId, secret: Secret) -> Self {
        Self { id, secret }
    }

    /// From the wire.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        let secret = Secret::parse(secret)?;
        Some(Self::new(QuestionId::new(id), secret))
    }

    /// For the one answer that carries it, and each that repeats it.
    pub(super) fn wire(&self) -> String {
        format!("{}.{}", self.id, self.secret.expose())
    }

    /// By which the database knows it.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.bits()).into()
    }

    fn private_key(&self) -> Result<Zeroizing<Vec<u8>>, Broken> {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, PURPOSE).extract(self.secret.bits());
        let mut key = Zeroizing::new(vec![0; KEY]);
        extracted
            .expand(&[self.id.as_str().as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|expanded| expanded.fill(&mut key))
            .map_err(|_| Broken)?;
        Ok(key)
    }

    /// The public half of its key.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, Broken> {
        let key = PrivateKey::from_private_key(&X25519, &self.private_key()?);
        let public = key.map_err(|_| Broken)?.compute_public_key();
        Ok(public.map_err(|_| Broken)?.as_ref().to_vec())
    }

    /// Opens what was sealed to it for this question.
    pub(super) fn open(
        &self,
        question: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Broken> {
        let (encapsulated, text) = sealed.split_at_checked(KEY).ok_or(Broken)?;
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        let key = HpkePrivateKey::from(self.private_key()?.to_vec());
        let opened = HPKE.open(&encapsulated, PURPOSE, question, text, &key);
        opened.map(Zeroizing::new).map_err(|_| Broken)
    }
}

/// Seals something for this question to who holds the handle of this public key.
pub(super) fn seal(public_key: &[u8], question: &[u8], plain: &[u8]) -> Result<Vec<u8>, Broken> {
    let key = HpkePublicKey(public_key.to_vec());
    let sealed = HPKE.seal(PURPOSE, question, plain, &key);
    let (encapsulated, text) = sealed.map_err(|_| Broken)?;
    Ok([encapsulated.0, text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        Handle::new(QuestionId::random(), Secret::random().unwrap())
    }

    #[test]
    fn only_the_handle_opens_what_was_sealed_to_it_for_its_question() {
        let one = handle();
        let sealed = seal(&one.public_key().unwrap(), b"question", b"a SAD").unwrap();
        let again = Handle::parse(&one.wire()).unwrap();
        assert_eq!(*again.open(b"question", &sealed).unwrap(), b"a SAD");

        assert!(one.open(b"another question", &sealed).is_err());
        assert!(handle().open(b"question", &sealed).is_err());
        let renamed = Handle::new(QuestionId::random(), one.secret.clone());
        assert!(renamed.open(b"question", &sealed).is_err());
        let mut flipped = sealed.clone();
        flipped[40] ^= 1;
        assert!(one.open(b"question", &flipped).is_err());
        assert!(one.open(b"question", &sealed[..20]).is_err());
        assert!(!sealed.windows(5).any(|part| part == b"a SAD"));
    }

    #[test]
    fn a_handle_prints_no_secret() {
        let one = handle();
        let printed = format!("{one:?}");
        assert!(printed.contains(one.id.as_str()) && !printed.contains(&one.secret.expose()));
    }
}
