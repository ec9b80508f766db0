//! CAdES baseline signatures, levels B-B and B-T (ETSI EN 319 122-1): a CMS `SignedData` with one signer.

mod attributes;
mod signed_data;

use std::time::SystemTime;

use crate::{Chain, ChainError, Scheme};

pub(crate) use attributes::Profile;
pub use signed_data::Prepared;
pub(crate) use signed_data::prepare as prepare_profile;

/// Why a CMS signature cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates, the scheme or the signature value do not fit.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The digest of detached content has a wrong length.
    #[error("the content's digest has {found} octets; the digest algorithm gives {expected}")]
    DigestLength {
        /// Octets of the algorithm's digest.
        expected: usize,
        /// Octets given.
        found: usize,
    },
    /// A value cannot be encoded: content over 4 GiB, or a time out of range.
    #[error("the signature cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// What is signed.
#[derive(Clone, Debug)]
pub enum Content {
    /// The content goes into the signature: a `.p7m`.
    Attached(Vec<u8>),
    /// Only the content's digest, under the scheme's digest algorithm, goes into the signature: a `.p7s`.
    Detached(Vec<u8>),
}

/// What the signature says besides the content.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// How the key signs.
    pub scheme: Scheme,
    /// The claimed signing time; fractions of a second are dropped.
    pub signing_time: SystemTime,
    /// The media type of the content, such as `application/xml`.
    pub media_type: String,
}

/// Makes everything of the signature but its value.
///
/// # Errors
/// When the scheme does not fit the signer's key, or a value cannot be encoded.
pub fn prepare(
    content: Content,
    chain: &Chain,
    parameters: &Parameters,
) -> Result<Prepared, Error> {
    let algorithm = parameters.scheme.digest_algorithm();
    let (attached, digest) = match content {
        Content::Attached(content) => {
            let digest = algorithm.digest(&content);
            (Some(content), digest)
        }
        Content::Detached(digest) if digest.len() == algorithm.length() => (None, digest),
        Content::Detached(digest) => {
            return Err(Error::DigestLength {
                expected: algorithm.length(),
                found: digest.len(),
            });
        }
    };
    let profile = Profile::Cades {
        signing_time: parameters.signing_time,
        media_type: &parameters.media_type,
    };
    prepare_profile(attached, digest, chain, parameters.scheme, profile)
}
