//! The narrow seam to the hardware: one logged-in session and its primitives.

use crate::{About, Digest, HsmError, KeyAlgorithm, Scheme};

/// A token on which sessions are opened.
pub trait Token: Send + Sync + 'static {
    /// The name of the slot in the configuration and in messages.
    fn name(&self) -> &str;

    /// Opens a session and logs in once.
    ///
    /// # Errors
    /// [`HsmError::PinRefused`] and [`HsmError::Tampered`] are final; anything else may be tried again later.
    fn open(&self) -> Result<Box<dyn Hsm>, HsmError>;

    /// What the token says of itself; nobody is logged in for it.
    ///
    /// # Errors
    /// As [`Self::open`], but for the PIN.
    fn about(&self) -> Result<About, HsmError>;
}

/// An object of the token, good in every session of the pool. A session object dies with the session that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) u64);

/// What a symmetric master key may do; everything else is false in its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Derives key-encryption keys (AES, `CKA_DERIVE` only: with ENCRYPT the derived keys could be computed in clear).
    Derive,
    /// AES-256-GCM.
    Encrypt,
    /// HMAC-SHA-256 (generic secret).
    Mac,
}

/// The primitives of one session. Methods take `&mut self`: a session runs one operation at a time and is never shared.
///
/// After generate, derive and unwrap, implementations read SENSITIVE and EXTRACTABLE back and refuse
/// ([`HsmError::Unfit`]) an object that is not what was asked for.
///
/// Everywhere, [`HsmError::Unavailable`] means that this session is of no more use, and [`HsmError::Missing`] that a key
/// is gone and must be found or opened again; after both a job that has not signed may be run anew.
pub trait Hsm: Send {
    /// Serial number of the device.
    fn serial(&self) -> &str;
    /// Finds a master key by label; cached by the token, never searched twice.
    fn master(&mut self, label: &str, purpose: KeyUse) -> Result<Option<Key>, HsmError>;
    /// Makes a master key: token object, sensitive, not extractable, not modifiable, one purpose.
    fn create_master(&mut self, label: &str, purpose: KeyUse) -> Result<Key, HsmError>;
    /// Destroys the master key of this label; false when there is none. Handles of it, here and in other processes, are
    /// [`HsmError::Missing`] from then on.
    fn destroy_master(&mut self, label: &str) -> Result<bool, HsmError>;
    /// Labels of the secret keys that are token objects, as the token has them now.
    fn master_labels(&mut self) -> Result<Vec<String>, HsmError>;
    /// Finds a signing key pair that is a token object: the key and its SubjectPublicKeyInfo (DER).
    fn token_pair(&mut self, label: &str)
    -> Result<Option<(Key, KeyAlgorithm, Vec<u8>)>, HsmError>;
    /// Makes a signing key pair as token objects, not extractable.
    fn create_token_pair(
        &mut self,
        label: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Key, Vec<u8>), HsmError>;

    /// Destroys the signing key pair of this label; false when there is none.
    fn destroy_pair(&mut self, label: &str) -> Result<bool, HsmError>;
    /// Makes what would be a master key as a session object, to be tried and destroyed.
    fn throw_away(&mut self, purpose: KeyUse) -> Result<Key, HsmError>;
    /// The check value of a master key: the first three octets of what AES makes of a block of zeros (ECB), or HMAC-SHA-256 of sixteen
    /// octets of zero. `None` when the token does not tell, and the key cannot be asked.
    fn check_value(&mut self, key: Key, purpose: KeyUse) -> Result<Option<[u8; 3]>, HsmError>;
    /// The boolean attributes of an object that are true, by their names.
    fn attributes(&mut self, key: Key) -> Result<Vec<String>, HsmError>;
    /// How many objects there are: of the token, or of the sessions of this process.
    fn count(&mut self, of_token: bool) -> Result<usize, HsmError>;

    /// Makes a signing key pair as session objects, extractable until wrapped: the key and its SubjectPublicKeyInfo.
    fn generate_pair(&mut self, algorithm: KeyAlgorithm) -> Result<(Key, Vec<u8>), HsmError>;
    /// Makes an AES-256 data-encryption key as a session object, extractable, that wraps and unwraps only.
    fn generate_dek(&mut self) -> Result<Key, HsmError>;
    /// Derives an AES-256 key-encryption key from a master: CKM_AES_CBC_ENCRYPT_DATA, zero IV, 32 octets of data.
    fn derive(&mut self, master: Key, data: &[u8; 32]) -> Result<Key, HsmError>;
    /// Wraps a key (RFC 5649).
    fn wrap(&mut self, kek: Key, key: Key) -> Result<Vec<u8>, HsmError>;
    /// Unwraps a data-encryption key; extractable only when it is to be wrapped again.
    fn unwrap_dek(&mut self, kek: Key, blob: &[u8], extractable: bool) -> Result<Key, HsmError>;
    /// Unwraps a private key: sensitive, not extractable, SIGN only.
    fn unwrap_private(
        &mut self,
        dek: Key,
        blob: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Key, HsmError>;

    /// Signs a digest with a key of this type: RSA as is, ECDSA as DER. Two calls of the token.
    ///
    /// # Errors
    /// [`HsmError::OutcomeUnknown`] when the token was asked to sign and did not say how it ended; with any other error
    /// nothing was signed.
    fn sign(
        &mut self,
        key: Key,
        algorithm: KeyAlgorithm,
        scheme: Scheme,
        digest: &Digest,
    ) -> Result<Vec<u8>, HsmError>;
    /// Verifies with the token: only for what the software verifier does not know (an unusual PSS salt).
    fn verify(
        &mut self,
        spki: &[u8],
        scheme: Scheme,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<bool, HsmError>;
    /// HMAC-SHA-256.
    fn mac(&mut self, key: Key, data: &[u8]) -> Result<[u8; 32], HsmError>;
    /// AES-256-GCM: 96-bit nonce ‖ ciphertext ‖ 128-bit tag.
    fn encrypt(&mut self, key: Key, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, HsmError>;
    /// The inverse; a wrong key, aad or octet is [`HsmError::Refused`].
    fn decrypt(
        &mut self,
        key: Key,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, HsmError>;
    /// Random octets of the device.
    fn random(&mut self, octets: &mut [u8]) -> Result<(), HsmError>;
    /// Destroys a session object.
    fn destroy(&mut self, key: Key) -> Result<(), HsmError>;
    /// Whether the device still works: signs with a throw-away key and verifies. Session information proves nothing.
    fn health(&mut self) -> Result<(), HsmError>;
}
