//! Keys in software: what the device does with them, through aws-lc-rs.

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey},
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    hmac,
    iv::FixedLength,
    key_wrap::{self, AesKek, KeyWrapPadded},
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaEncoding, RsaKeyPair},
};
use zeroize::Zeroizing;

use crate::{Digest, DigestAlgorithm, HsmError, KeyAlgorithm, KeyUse, Scheme, verify};

/// The value of a key.
#[derive(Clone)]
pub(super) enum Material {
    /// AES-256 or an HMAC key.
    Secret(Zeroizing<[u8; 32]>),
    /// PKCS#8.
    Private(KeyAlgorithm, Zeroizing<Vec<u8>>),
}

impl Material {
    pub(super) fn random() -> Result<Self, HsmError> {
        let mut octets = Zeroizing::new([0; 32]);
        getrandom::fill(octets.as_mut())
            .map_err(|error| HsmError::Unavailable(error.to_string()))?;
        Ok(Self::Secret(octets))
    }

    /// A new private key and its SubjectPublicKeyInfo.
    pub(super) fn pair(algorithm: KeyAlgorithm) -> Result<(Self, Vec<u8>), HsmError> {
        let (private, spki) = generated(algorithm).map_err(refused)?;
        Ok((Self::Private(algorithm, private), spki))
    }

    fn secret(&self) -> Result<&[u8; 32], HsmError> {
        match self {
            Self::Secret(octets) => Ok(octets),
            Self::Private(..) => Err(HsmError::Refused("no secret key".to_owned())),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Secret(octets) => octets.as_ref(),
            Self::Private(_, octets) => octets,
        }
    }

    pub(super) fn check_value(&self, purpose: KeyUse) -> Result<[u8; 3], HsmError> {
        let value = match purpose {
            KeyUse::Derive | KeyUse::Encrypt => *self.derive(&[0; 32])?.secret()?,
            KeyUse::Mac => self.mac(&[0; 16])?,
        };
        let [one, two, three, ..] = value;
        Ok([one, two, three])
    }

    pub(super) fn derive(&self, data: &[u8; 32]) -> Result<Self, HsmError> {
        let mut derived = Zeroizing::new(*data);
        let key = UnboundCipherKey::new(&cipher::AES_256, self.secret()?).map_err(refused)?;
        let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
        EncryptingKey::cbc(key)
            .and_then(|key| key.less_safe_encrypt(derived.as_mut(), zero))
            .map_err(refused)?;
        Ok(Self::Secret(derived))
    }

    pub(super) fn wrap(&self, key: &Self) -> Result<Vec<u8>, HsmError> {
        let kek = AesKek::new(&key_wrap::AES_256, self.secret()?).map_err(refused)?;
        let mut blob = vec![0; key.value().len() + 15];
        let wrapped = kek.wrap_with_padding(key.value(), &mut blob);
        let length = wrapped.map_err(refused)?.len();
        blob.truncate(length);
        Ok(blob)
    }

    fn unwrap(&self, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let kek = AesKek::new(&key_wrap::AES_256, self.secret()?).map_err(refused)?;
        let mut value = Zeroizing::new(vec![0; blob.len()]);
        let unwrapped = kek.unwrap_with_padding(blob, &mut value);
        let length = unwrapped.map_err(refused)?.len();
        value.truncate(length);
        Ok(value)
    }

    pub(super) fn unwrap_secret(&self, blob: &[u8]) -> Result<Self, HsmError> {
        let value = self.unwrap(blob)?;
        let octets = <[u8; 32]>::try_from(value.as_slice()).map_err(refused)?;
        Ok(Self::Secret(Zeroizing::new(octets)))
    }

    pub(super) fn unwrap_private(
        &self,
        blob: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Self, HsmError> {
        Ok(Self::Private(algorithm, self.unwrap(blob)?))
    }

    pub(super) fn sign(&self, scheme: Scheme, digest: &Digest) -> Result<Vec<u8>, HsmError> {
        let Self::Private(algorithm, pkcs8) = self else {
            return Err(HsmError::Refused("no private key".to_owned()));
        };
        if !algorithm.allows(scheme) || scheme.digest() != digest.algorithm() {
            return Err(HsmError::Refused("a scheme of another key type".to_owned()));
        }
        match scheme {
            Scheme::Ecdsa(_) => {
                let curve = signing(*algorithm).ok_or_else(|| refused("no curve"))?;
                let key = EcdsaKeyPair::from_pkcs8(curve, pkcs8).map_err(refused)?;
                let digest = verify::imported(&fitted(*algorithm, digest));
                let digest = digest.ok_or_else(|| refused("no such digest"))?;
                let signature = key.sign_digest(&digest).map_err(refused)?;
                Ok(signature.as_ref().to_vec())
            }
            Scheme::RsaPkcs1(_) | Scheme::RsaPss { .. } => {
                let key = RsaKeyPair::from_pkcs8(pkcs8).map_err(refused)?;
                let encoding = encoding(scheme).ok_or_else(|| {
                    HsmError::Unfit("a PSS salt as long as the digest is all it can".to_owned())
                })?;
                let digest = verify::imported(digest).ok_or_else(|| refused("no such digest"))?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(encoding, &digest, &mut signature)
                    .map_err(refused)?;
                Ok(signature)
            }
        }
    }

    pub(super) fn mac(&self, data: &[u8]) -> Result<[u8; 32], HsmError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret()?);
        <[u8; 32]>::try_from(hmac::sign(&key, data).as_ref()).map_err(refused)
    }

    pub(super) fn encrypt(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        let mut nonce = [0; aead::NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| HsmError::Unavailable(error.to_string()))?;
        let mut sealed = plain.to_vec();
        self.gcm()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(refused)?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub(super) fn decrypt(
        &self,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let (nonce, sealed) = sealed
            .split_first_chunk()
            .ok_or_else(|| refused("too short"))?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.gcm()?.open_in_place(nonce, Aad::from(aad), &mut plain);
        let length = opened.map_err(refused)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    fn gcm(&self) -> Result<LessSafeKey, HsmError> {
        let key = UnboundKey::new(&aead::AES_256_GCM, self.secret()?).map_err(refused)?;
        Ok(LessSafeKey::new(key))
    }
}

fn refused(error: impl std::fmt::Debug) -> HsmError {
    HsmError::Refused(format!("{error:?}"))
}

fn generated(algorithm: KeyAlgorithm) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Unspecified> {
    let size = match algorithm {
        KeyAlgorithm::Rsa2048 => KeySize::Rsa2048,
        KeyAlgorithm::Rsa3072 => KeySize::Rsa3072,
        KeyAlgorithm::Rsa4096 => KeySize::Rsa4096,
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => {
            let curve = signing(algorithm).ok_or(Unspecified)?;
            let key = EcdsaKeyPair::generate(curve)?;
            let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key())?;
            let private = key.to_pkcs8v1()?.as_ref().to_vec();
            return Ok((Zeroizing::new(private), spki.as_ref().to_vec()));
        }
    };
    let key = RsaKeyPair::generate(size)?;
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key())?;
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&key)?.as_ref().to_vec();
    Ok((Zeroizing::new(private), spki.as_ref().to_vec()))
}

/// The library signs with one digest a curve; see [`fitted`].
fn signing(algorithm: KeyAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        KeyAlgorithm::P256 => Some(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::P384 => Some(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyAlgorithm::P521 => Some(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => None,
    }
}

/// The same number as a digest of the length that goes with the curve: ECDSA takes the leftmost bits of a longer digest,
/// and a shorter one as it is.
fn fitted(algorithm: KeyAlgorithm, digest: &Digest) -> Digest {
    let fitting = match algorithm {
        KeyAlgorithm::P256 => DigestAlgorithm::Sha256,
        KeyAlgorithm::P384 => DigestAlgorithm::Sha384,
        _ => DigestAlgorithm::Sha512,
    };
    let octets = digest.octets();
    let padding = fitting.len().saturating_sub(octets.len());
    let mut number = vec![0; padding];
    number.extend(octets.iter().take(fitting.len()));
    Digest::new(fitting, number).unwrap_or_else(|| digest.clone())
}

fn encoding(scheme: Scheme) -> Option<&'static dyn RsaEncoding> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    Some(match scheme {
        Scheme::RsaPkcs1(Sha256) => &signature::RSA_PKCS1_SHA256,
        Scheme::RsaPkcs1(Sha384) => &signature::RSA_PKCS1_SHA384,
        Scheme::RsaPkcs1(Sha512) => &signature::RSA_PKCS1_SHA512,
        Scheme::RsaPss { digest, salt } if usize::from(salt) == digest.len() => match digest {
            Sha256 => &signature::RSA_PSS_SHA256,
            Sha384 => &signature::RSA_PSS_SHA384,
            Sha512 => &signature::RSA_PSS_SHA512,
        },
        Scheme::RsaPss { .. } | Scheme::Ecdsa(_) => return None,
    })
}
