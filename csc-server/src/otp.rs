//! Codes of devices: TOTP (RFC 6238) in steps of 30 s, HOTP (RFC 4226) by a count. One is the other with another moving factor, so one
//! generator serves both.

use std::{ops::RangeInclusive, str::FromStr};

use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use crate::{clock::Millis, store::StoreError};

/// A time step, seconds (OWASP ASVS 6.5.5: at most 30).
const STEP: u64 = 30;

/// A one-time password as it was sent or typed: 6 or 8 digits. Prints nothing, is wiped when dropped.
pub struct Otp(Zeroizing<String>);

impl Otp {
    /// `None` when it can be no code at all: refused without counting as a try.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = matches!(text.len(), 6 | 8) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Otp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Otp(…)")
    }
}

/// The hash of a device's HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What every device can do.
    Sha1,
    /// What some can.
    Sha256,
}

impl Algorithm {
    /// The name on the command line and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    fn of_totp(self) -> totp_rs::Algorithm {
        match self {
            Self::Sha1 => totp_rs::Algorithm::SHA1,
            Self::Sha256 => totp_rs::Algorithm::SHA256,
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "use sha1 or sha256".to_owned())
    }
}

/// The time steps of now, so many early or late.
pub(crate) fn steps(now: Millis, drift: u16) -> RangeInclusive<i64> {
    let (now, drift) = (now / 1000 / STEP.cast_signed(), i64::from(drift));
    now - drift..=now + drift
}

/// The codes of a seed by their count: a HOTP generator is a TOTP one whose step is one and whose time is the count.
pub(crate) fn generator(
    algorithm: Algorithm,
    digits: u32,
    seed: &[u8],
) -> Result<Totp, StoreError> {
    builder(algorithm, digits, seed)
        .with_step_duration(1)
        .with_skew(0)
        .build()
        .map_err(|_| StoreError::Corrupt("the seed of a device"))
}

/// The `otpauth` URI of an app that steps with the time.
///
/// # Errors
/// When account or seed fit none.
pub(crate) fn uri(
    issuer: &str,
    account: &str,
    algorithm: Algorithm,
    digits: u32,
    seed: &[u8],
) -> Result<Zeroizing<String>, StoreError> {
    builder(algorithm, digits, seed)
        .with_step_duration(STEP)
        .with_issuer(Some(issuer))
        .with_account_name(account)
        .build()
        .and_then(|app| app.to_url())
        .map(Zeroizing::new)
        .map_err(|_| StoreError::Corrupt("a name that fits no otpauth URI"))
}

fn builder(algorithm: Algorithm, digits: u32, seed: &[u8]) -> Builder {
    Builder::new()
        .with_algorithm(algorithm.of_totp())
        // What is no number of digits is refused when building.
        .with_digits(u8::try_from(digits).unwrap_or_default())
        .with_secret(seed.to_vec())
}

/// The first of these counts that has this code.
pub(crate) fn count_of(device: &Totp, code: &str, mut counts: RangeInclusive<i64>) -> Option<i64> {
    counts
        .find(|count| u64::try_from(*count).is_ok_and(|count| device.check(code, count).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";

    fn code(device: &Totp, count: u64) -> String {
        device.generate(count).to_string()
    }

    #[test]
    fn a_token_counts_as_rfc_4226_says() {
        let token = generator(Algorithm::Sha1, 6, SEED).unwrap();
        // RFC 4226, appendix D.
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (count, expected) in (0..).zip(expected) {
            assert_eq!(code(&token, count), expected);
        }
    }

    #[test]
    fn an_app_steps_as_rfc_6238_says() {
        // RFC 6238, appendix B: 1111111109 s and 20000000000 s.
        let long = b"12345678901234567890123456789012";
        let sha1 = generator(Algorithm::Sha1, 8, SEED).unwrap();
        let sha256 = generator(Algorithm::Sha256, 8, long).unwrap();
        for (seconds, of_sha1, of_sha256) in [
            (1_111_111_109, "07081804", "68084774"),
            (20_000_000_000, "65353130", "77737706"),
        ] {
            assert_eq!(code(&sha1, seconds / STEP), of_sha1);
            assert_eq!(code(&sha256, seconds / STEP), of_sha256);
        }
    }

    #[test]
    fn a_code_is_found_within_its_window_and_not_beyond() {
        let token = generator(Algorithm::Sha1, 6, SEED).unwrap();
        assert_eq!(count_of(&token, "520489", 0..=9), Some(9));
        assert_eq!(count_of(&token, "520489", 0..=8), None);
        assert_eq!(count_of(&token, "755224", 1..=9), None);
        assert_eq!(count_of(&token, "84755224", 0..=9), None, "eight digits");
        assert_eq!(count_of(&token, "755224", -3..=9), Some(0));
    }

    #[test]
    fn a_seed_below_128_bits_makes_no_codes() {
        assert!(generator(Algorithm::Sha1, 6, &SEED[..15]).is_err());
        assert!(generator(Algorithm::Sha1, 6, &SEED[..16]).is_ok());
        assert!(generator(Algorithm::Sha1, 5, SEED).is_err());
    }
}
