//! `Authorization: Basic …` (RFC 7617): a name and a password.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderMap;
use zeroize::Zeroizing;

/// Why a header is not good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BasicError {
    /// Not `Basic [base64]`.
    Header,
    /// Decoded, it has no colon or is not UTF-8.
    Pair,
}

/// The name and password of a Basic header; `None` when there is no Authorization header.
pub(super) fn basic(
    headers: &HeaderMap,
) -> Option<Result<(String, Zeroizing<String>), BasicError>> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(BasicError::Header));
    }
    Some(parse(value.to_str().unwrap_or_default()))
}

fn parse(value: &str) -> Result<(String, Zeroizing<String>), BasicError> {
    let (scheme, encoded) = value.split_once(' ').ok_or(BasicError::Header)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(BasicError::Header);
    }
    let decoded = Zeroizing::new(
        BASE64_STANDARD
            .decode(encoded)
            .map_err(|_| BasicError::Header)?,
    );
    let pair = std::str::from_utf8(&decoded).map_err(|_| BasicError::Pair)?;
    let (name, password) = pair.split_once(':').ok_or(BasicError::Pair)?;
    Ok((name.to_owned(), Zeroizing::new(password.to_owned())))
}
