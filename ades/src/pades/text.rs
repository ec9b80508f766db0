//! Text strings and dates of PDF (ISO 32000-2, 7.9).

use der::DateTime;
use lopdf::{Object, StringFormat, encode_utf16_be};

/// A text string, in hexadecimal so that nothing in it reads as PDF syntax.
pub(super) fn string(text: &str) -> Object {
    let mut octets = Vec::new();
    if text.is_ascii() {
        octets.extend_from_slice(text.as_bytes());
    } else {
        encode_utf16_be(text, &mut octets);
    }
    Object::String(octets, StringFormat::Hexadecimal)
}

/// A date, such as `D:20261121100000+00'00'`.
pub(super) fn date(time: DateTime) -> Object {
    let digits: String = time
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Object::String(
        format!("D:{digits}+00'00'").into_bytes(),
        StringFormat::Literal,
    )
}

/// A time as people read it, such as `2026-11-21 10:00:00 UTC`.
pub(super) fn readable(time: DateTime) -> String {
    time.to_string().replace('T', " ").replace('Z', " UTC")
}
