//! Time-stamp tokens (RFC 3161 with the ESSCertIDv2 of RFC 5816; profile of ETSI EN 319 422): made here around a signature value, asked
//! of another authority, and read.

use std::time::{Duration, SystemTime};

use cms::content_info::ContentInfo;
use cms::signed_data::EncapsulatedContentInfo;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3161, rfc5911};
use der::asn1::{Any, GeneralizedTime, OctetString, Uint};
use der::{DateTime, Decode, DecodeValue, Encode, FixedTag, Sequence, Tag, Tagged};
use spki::AlgorithmIdentifierOwned;

use crate::cades::{self, Prepared, Profile};
use crate::{Chain, DigestAlgorithm, Scheme};

/// Why there is no token, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The digest has a wrong length.
    #[error("the digest does not have the length of its algorithm")]
    DigestLength,
    /// The signature cannot be made.
    #[error(transparent)]
    Cms(#[from] cades::Error),
    /// A value cannot be encoded, or what came cannot be read.
    #[error("it is no DER of RFC 3161: {0}")]
    Encoding(#[from] der::Error),
    /// The authority says no.
    #[error("the authority refused (status {0})")]
    Refused(u8),
    /// The token is not the one that was asked for.
    #[error("the token is not the one asked for: {0}")]
    Mismatch(&'static str),
}

/// What is stamped: a digest and its algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imprint {
    algorithm: DigestAlgorithm,
    digest: Vec<u8>,
}

impl Imprint {
    /// A digest made elsewhere.
    ///
    /// # Errors
    /// When it does not have the length of its algorithm.
    pub fn new(algorithm: DigestAlgorithm, digest: Vec<u8>) -> Result<Self, Error> {
        if digest.len() == algorithm.length() {
            Ok(Self { algorithm, digest })
        } else {
            Err(Error::DigestLength)
        }
    }

    /// The digest of these octets.
    #[must_use]
    pub fn of(algorithm: DigestAlgorithm, octets: &[u8]) -> Self {
        let digest = algorithm.digest(octets);
        Self { algorithm, digest }
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    fn message(&self) -> der::Result<MessageImprint> {
        Ok(MessageImprint {
            algorithm: self.algorithm.identifier(),
            digest: OctetString::new(self.digest.as_slice())?,
        })
    }
}

/// A number of who asks, which the token repeats: what counts is its value, not its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(Uint);

impl Nonce {
    /// From big-endian octets, leading zeros or not.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(octets: &[u8]) -> Result<Self, Error> {
        Ok(Self(Uint::new(octets)?))
    }
}

/// What a token says besides the imprint.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The policy it is issued under.
    pub policy: ObjectIdentifier,
    /// Its serial number, big-endian: unique for the authority.
    pub serial: Vec<u8>,
    /// The time, to the millisecond.
    pub time: SystemTime,
    /// How far the time may be off; fractions of a millisecond count as a whole one.
    pub accuracy: Duration,
    /// The number of who asked.
    pub nonce: Option<Nonce>,
    /// How the authority's key signs.
    pub scheme: Scheme,
}

/// Makes everything of a token but the signature value. The chain is the authority's, embedded as given.
///
/// # Errors
/// When the scheme does not fit the key, or a value cannot be encoded.
pub fn prepare(
    imprint: &Imprint,
    chain: &Chain,
    parameters: &Parameters,
) -> Result<Prepared, Error> {
    let info = TstInfo {
        version: 1,
        policy: parameters.policy,
        imprint: imprint.message()?,
        serial: Uint::new(&parameters.serial)?,
        time: generalized(parameters.time)?,
        accuracy: Some(Accuracy::of(parameters.accuracy)),
        ordering: false,
        nonce: parameters.nonce.clone().map(|nonce| nonce.0),
    };
    let info = info.to_der()?;
    let algorithm = parameters.scheme.digest_algorithm();
    let digest = algorithm.digest(&info);
    let scheme = parameters.scheme;
    Ok(cades::prepare_profile(
        Some(info),
        digest,
        chain,
        scheme,
        Profile::TimeStamp,
    )?)
}

/// The request for a token (DER) that asks for the authority's certificates too.
///
/// # Errors
/// When it cannot be encoded.
pub fn request(imprint: &Imprint, nonce: Option<&Nonce>) -> Result<Vec<u8>, Error> {
    let request = Request {
        version: 1,
        imprint: imprint.message()?,
        policy: None,
        nonce: nonce.map(|nonce| nonce.0.clone()),
        certificates: true,
    };
    Ok(request.to_der()?)
}

/// The token in an authority's answer (DER), if it is for this imprint and nonce and comes with certificates. Who made it is for whoever
/// validates it to judge. Read member by member: other authorities' certificates need not please this library.
///
/// # Errors
/// [`Error::Refused`], [`Error::Mismatch`], or the answer cannot be read.
pub fn answered(answer: &[u8], imprint: &Imprint, nonce: Option<&Nonce>) -> Result<Vec<u8>, Error> {
    let members = Vec::<Any>::from_der(answer)?;
    let status: Vec<Any> = member(&members, 0)?;
    // granted, grantedWithMods.
    match member(&status, 0)? {
        0u8 | 1 => {}
        refused => return Err(Error::Refused(refused)),
    }
    let token = members.get(1).ok_or(Error::Mismatch("there is none"))?;
    check(token, imprint, nonce)?;
    Ok(token.to_der()?)
}

fn check(token: &Any, imprint: &Imprint, nonce: Option<&Nonce>) -> Result<(), Error> {
    let content: ContentInfo = token.decode_as()?;
    if content.content_type != rfc5911::ID_SIGNED_DATA {
        return Err(Error::Mismatch("it is not signed"));
    }
    let signed: Vec<Any> = content.content.decode_as()?;
    let stamped: EncapsulatedContentInfo = member(&signed, 2)?;
    if stamped.econtent_type != rfc3161::ID_CT_TST_INFO {
        return Err(Error::Mismatch("what is signed is no time-stamp"));
    }
    let certificates =
        |part: &Any| part.tag().is_context_specific() && part.tag().number().value() == 0;
    if !signed.iter().any(certificates) {
        return Err(Error::Mismatch("it has no certificate"));
    }
    let info = stamped
        .econtent
        .ok_or(Error::Mismatch("what is signed is missing"))?;
    let info = Vec::<Any>::from_der(info.value())?;
    let of: MessageImprint = member(&info, 2)?;
    if of.algorithm.oid != imprint.algorithm.oid() || of.digest.as_bytes() != imprint.digest {
        return Err(Error::Mismatch("it is of another digest"));
    }
    // After version, policy, imprint, serial number and time no other member is an INTEGER.
    let repeated = info.iter().skip(5).find(|part| part.tag() == Tag::Integer);
    let repeated = repeated.map(Any::decode_as::<Uint>).transpose()?;
    if repeated.as_ref() != nonce.map(|nonce| &nonce.0) {
        return Err(Error::Mismatch("it has another nonce"));
    }
    Ok(())
}

fn member<T: for<'a> DecodeValue<'a, Error = der::Error> + FixedTag>(
    members: &[Any],
    at: usize,
) -> Result<T, Error> {
    let member = members
        .get(at)
        .ok_or(Error::Mismatch("a part is missing"))?;
    Ok(member.decode_as()?)
}

/// `GeneralizedTime` with milliseconds; DER leaves trailing zeros out (X.690, 11.7).
fn generalized(time: SystemTime) -> der::Result<Any> {
    let whole = GeneralizedTime::from_date_time(DateTime::from_system_time(time)?);
    let whole = Any::encode_from(&whole)?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().subsec_millis();
    if milliseconds == 0 {
        return Ok(whole);
    }
    let fraction = format!("{milliseconds:03}");
    let mut text = whole.value().to_vec();
    text.pop();
    text.push(b'.');
    text.extend_from_slice(fraction.trim_end_matches('0').as_bytes());
    text.push(b'Z');
    Any::new(Tag::GeneralizedTime, text)
}

/// RFC 3161, 2.4.2.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    imprint: MessageImprint,
    serial: Uint,
    time: Any,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "no")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Uint>,
}

/// RFC 3161, 2.4.1.
#[derive(Sequence)]
struct Request {
    version: u8,
    imprint: MessageImprint,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Uint>,
    #[asn1(default = "no")]
    certificates: bool,
}

fn no() -> bool {
    false
}

#[derive(Sequence)]
struct MessageImprint {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u32>,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "IMPLICIT")]
    milliseconds: Option<u16>,
    #[asn1(context_specific = "1", optional = "true", tag_mode = "IMPLICIT")]
    microseconds: Option<u16>,
}

impl Accuracy {
    fn of(accuracy: Duration) -> Self {
        let all = accuracy.as_nanos().div_ceil(1_000_000);
        let seconds = u32::try_from(all / 1000).unwrap_or(u32::MAX);
        let milliseconds = (all % 1000) as u16;
        Self {
            seconds: (seconds > 0).then_some(seconds),
            milliseconds: (milliseconds > 0).then_some(milliseconds),
            microseconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_milliseconds_without_trailing_zeros() {
        let at = |milliseconds| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
            String::from_utf8(generalized(time).unwrap().value().to_vec()).unwrap()
        };
        assert_eq!(at(0), "19700101000000Z");
        assert_eq!(at(120), "19700101000000.12Z");
        assert_eq!(at(1_007), "19700101000001.007Z");
    }

    #[test]
    fn a_nonce_is_a_number() {
        assert_eq!(
            Nonce::new(&[0, 0xff]).unwrap(),
            Nonce::new(&[0xff]).unwrap()
        );
        assert_ne!(Nonce::new(&[1]).unwrap(), Nonce::new(&[2]).unwrap());
    }

    #[test]
    fn an_accuracy_is_not_told_better_than_it_is() {
        let of = |nanoseconds| {
            let accuracy = Accuracy::of(Duration::from_nanos(nanoseconds));
            (accuracy.seconds, accuracy.milliseconds)
        };
        assert_eq!(of(1_000_000_000), (Some(1), None));
        assert_eq!(of(1_500_000_001), (Some(1), Some(501)));
        assert_eq!(of(1), (None, Some(1)));
    }
}
