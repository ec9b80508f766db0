//! The attributes of every kind of object. Defaults differ between vendors (a private RSA key may decrypt on one and
//! not on another), so every usage flag stands in every template.

use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_ALWAYS_SENSITIVE, CKA_DECRYPT, CKA_DERIVE, CKA_ENCRYPT, CKA_EXTRACTABLE,
    CKA_LOCAL, CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN,
    CKA_SIGN_RECOVER, CKA_TOKEN, CKA_UNWRAP, CKA_VERIFY, CKA_WRAP,
};

use super::public;
use crate::{KeyAlgorithm, KeyUse};

/// What a secret key may do.
#[derive(Clone, Copy, Default)]
struct Usage {
    derive: bool,
    encrypt: bool,
    sign: bool,
    wrap: bool,
}

impl From<KeyUse> for Usage {
    fn from(purpose: KeyUse) -> Self {
        Self {
            derive: purpose == KeyUse::Derive,
            encrypt: purpose == KeyUse::Encrypt,
            sign: purpose == KeyUse::Mac,
            wrap: false,
        }
    }
}

/// The attributes that a record names.
pub(super) const NAMED: [(CK_ATTRIBUTE_TYPE, &str); 16] = [
    (CKA_TOKEN, "TOKEN"),
    (CKA_PRIVATE, "PRIVATE"),
    (CKA_SENSITIVE, "SENSITIVE"),
    (CKA_ALWAYS_SENSITIVE, "ALWAYS_SENSITIVE"),
    (CKA_EXTRACTABLE, "EXTRACTABLE"),
    (CKA_NEVER_EXTRACTABLE, "NEVER_EXTRACTABLE"),
    (CKA_LOCAL, "LOCAL"),
    (CKA_MODIFIABLE, "MODIFIABLE"),
    (CKA_DERIVE, "DERIVE"),
    (CKA_ENCRYPT, "ENCRYPT"),
    (CKA_DECRYPT, "DECRYPT"),
    (CKA_SIGN, "SIGN"),
    (CKA_SIGN_RECOVER, "SIGN_RECOVER"),
    (CKA_VERIFY, "VERIFY"),
    (CKA_WRAP, "WRAP"),
    (CKA_UNWRAP, "UNWRAP"),
];

/// Attributes that are read back from a master key, and what they must be.
pub(super) fn master_flags(purpose: KeyUse) -> [(CK_ATTRIBUTE_TYPE, bool); 9] {
    let usage = Usage::from(purpose);
    [
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, false),
        (CKA_DERIVE, usage.derive),
        (CKA_ENCRYPT, usage.encrypt),
        (CKA_DECRYPT, usage.encrypt),
        (CKA_SIGN, usage.sign),
        (CKA_VERIFY, usage.sign),
        (CKA_WRAP, usage.wrap),
        (CKA_UNWRAP, usage.wrap),
    ]
}

/// A master key: stays on the token, never leaves it, does one thing.
pub(super) fn master(label: &str, purpose: KeyUse) -> Vec<Attribute> {
    let mut template = secret(kind(purpose), Usage::from(purpose), true, false);
    template.extend([
        Attribute::ValueLen(32.into()),
        Attribute::Label(label.into()),
        Attribute::Id(label.into()),
    ]);
    fixed(template)
}

/// The same for this session only.
pub(super) fn throw_away(purpose: KeyUse) -> Vec<Attribute> {
    let mut template = secret(kind(purpose), Usage::from(purpose), false, false);
    template.push(Attribute::ValueLen(32.into()));
    fixed(template)
}

fn kind(purpose: KeyUse) -> KeyType {
    match purpose {
        KeyUse::Derive | KeyUse::Encrypt => KeyType::AES,
        // CKK_SHA256_HMAC keys exist on few modules.
        KeyUse::Mac => KeyType::GENERIC_SECRET,
    }
}

/// A derived or generated AES-256 key for this session, that wraps and unwraps.
pub(super) fn wrapping(extractable: bool) -> Vec<Attribute> {
    let mut template = wrapping_key(extractable);
    template.push(Attribute::ValueLen(32.into()));
    fixed(template)
}

/// The same, unwrapped: the length comes with the blob, and tokens refuse it in the template.
pub(super) fn unwrapped_wrapping(extractable: bool) -> Vec<Attribute> {
    fixed(wrapping_key(extractable))
}

fn wrapping_key(extractable: bool) -> Vec<Attribute> {
    let usage = Usage {
        wrap: true,
        ..Usage::default()
    };
    secret(KeyType::AES, usage, false, extractable)
}

fn secret(kind: KeyType, usage: Usage, token: bool, extractable: bool) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(kind),
        Attribute::Token(token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Derive(usage.derive),
        Attribute::Encrypt(usage.encrypt),
        Attribute::Decrypt(usage.encrypt),
        Attribute::Sign(usage.sign),
        Attribute::Verify(usage.sign),
        Attribute::Wrap(usage.wrap),
        Attribute::Unwrap(usage.wrap),
    ]
}

/// A private key that signs, and nothing else. `label`: a token object of that name; otherwise a session object.
pub(super) fn private(
    algorithm: KeyAlgorithm,
    label: Option<&str>,
    extractable: bool,
) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(key_type(algorithm)),
        Attribute::Token(label.is_some()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    template.extend(named(label));
    fixed(template)
}

/// The public half of a pair to be made.
pub(super) fn public(algorithm: KeyAlgorithm, label: Option<&str>) -> Vec<Attribute> {
    let mut template = verifying(algorithm, label);
    match public::curve(algorithm) {
        Some(curve) => template.push(Attribute::EcParams(curve)),
        None => template.extend([
            Attribute::ModulusBits(u64::from(algorithm.bits()).into()),
            Attribute::PublicExponent(vec![1, 0, 1]),
        ]),
    }
    fixed(template)
}

/// A public key that verifies, without its value.
pub(super) fn verifying(algorithm: KeyAlgorithm, label: Option<&str>) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(key_type(algorithm)),
        Attribute::Token(label.is_some()),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::VerifyRecover(false),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::Derive(false),
    ];
    template.extend(named(label));
    template
}

/// Not modifiable: the last attribute, because SoftHSM takes a template in order and refuses what follows it.
fn fixed(mut template: Vec<Attribute>) -> Vec<Attribute> {
    template.push(Attribute::Modifiable(false));
    template
}

fn key_type(algorithm: KeyAlgorithm) -> KeyType {
    if algorithm.is_rsa() {
        KeyType::RSA
    } else {
        KeyType::EC
    }
}

/// Label and ID are the same text, unique by construction: some tokens tie the halves of a pair by them.
fn named(label: Option<&str>) -> impl IntoIterator<Item = Attribute> {
    label
        .into_iter()
        .flat_map(|label| [Attribute::Label(label.into()), Attribute::Id(label.into())])
}
