//! Identifiers: 128 random bits in hexadecimal, each kind a type of its own.

use std::fmt;

/// 128 random bits of the operating system.
///
/// # Panics
/// When the operating system has no randomness: nothing of this service may go on then.
#[expect(
    clippy::expect_used,
    reason = "without randomness no identifier, token or secret may be made"
)]
pub fn random_bits() -> u128 {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).expect("the operating system gives random octets");
    u128::from_be_bytes(octets)
}

/// 128 random bits in hexadecimal.
pub fn random_id() -> String {
    format!("{:032x}", random_bits())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new, random identifier.
            pub fn random() -> Self {
                Self(random_id())
            }

            /// An identifier as stored or as a client sent it; whether it names anything, the database says.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Whether it has the form of those that are made here.
            pub fn is_well_formed(&self) -> bool {
                self.0.len() == 32 && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&$name> for crate::store::Value {
            fn from(id: &$name) -> Self {
                Self::Text(id.0.clone())
            }
        }
    };
}

identifier! {
    /// A credential: one key, one certificate. Also the IUT of its holder.
    CredentialId
}
identifier! {
    /// A person.
    HolderId
}
identifier! {
    /// A registered application.
    ClientId
}
identifier! {
    /// An OTP factor of a holder.
    FactorId
}
identifier! {
    /// A privileged person.
    OperatorId
}
identifier! {
    /// A request for the approval of a second officer.
    ApprovalId
}
identifier! {
    /// A question to a holder.
    QuestionId
}
identifier! {
    /// An asynchronous operation: `responseID`.
    OperationId
}
identifier! {
    /// An activation: a SAD, a code, a credential token.
    ActivationId
}
identifier! {
    /// An authorization request of a client.
    RequestId
}

impl ClientId {
    /// The client of holders who log in by themselves (auth/login, HTTP Basic).
    pub fn direct() -> Self {
        Self::new("direct")
    }
}
