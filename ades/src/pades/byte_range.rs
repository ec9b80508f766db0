//! The hole in the signed octets (ISO 32000-2, 12.8.1): everything is signed but `Contents`, brackets included.

use std::ops::Range;

use lopdf::{Dictionary, Object, ObjectId, StringFormat};

use super::Error;
use crate::{DigestAlgorithm, cades};

/// Ten digits a number: enough for the 4 GiB that a cross-reference table addresses.
const UNKNOWN: i64 = 1_111_111_111;

/// The entries that are patched once the file is laid out.
pub(super) fn placeholder(room: usize) -> Dictionary {
    let mut dictionary = Dictionary::new();
    dictionary.set("Type", "Sig");
    dictionary.set("Filter", "Adobe.PPKLite");
    dictionary.set("SubFilter", "ETSI.CAdES.detached");
    dictionary.set(
        "ByteRange",
        vec![
            Object::Integer(0),
            UNKNOWN.into(),
            UNKNOWN.into(),
            UNKNOWN.into(),
        ],
    );
    dictionary.set(
        "Contents",
        Object::String(vec![0; room], StringFormat::Hexadecimal),
    );
    dictionary
}

/// A PDF whose signature lacks only its value.
#[derive(Debug)]
pub struct Prepared {
    document: Vec<u8>,
    /// The hexadecimal digits of `Contents`, without the brackets.
    digits: Range<usize>,
    cms: cades::Prepared,
}

impl Prepared {
    /// The octets that are signed: the DER of the signed attributes.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.cms.to_be_signed()
    }

    /// The digest to sign: that of [`Prepared::to_be_signed`], under the scheme's digest algorithm.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        self.cms.digest()
    }

    /// The file with the signature still missing. The original is its beginning, octet by octet.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// What is not signed of it: the string of `Contents`, brackets included.
    #[must_use]
    pub const fn gap(&self) -> Range<usize> {
        self.digits.start - 1..self.digits.end + 1
    }

    /// The signed document. The original is its beginning, octet by octet.
    ///
    /// # Errors
    /// When the value cannot be one of the signer's key.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let Self {
            document,
            digits,
            cms,
        } = self;
        fill(document, digits, &cms.finish(signature)?)
    }

    /// The signed document, with a time-stamp token (DER) over the signature value: level B-T.
    ///
    /// # Errors
    /// As [`Prepared::finish`]; or the token is larger than the room left for it.
    pub fn finish_stamped(self, signature: &[u8], token: &[u8]) -> Result<Vec<u8>, Error> {
        let Self {
            document,
            digits,
            cms,
        } = self;
        fill(document, digits, &cms.finish_stamped(signature, token)?)
    }
}

fn fill(mut document: Vec<u8>, digits: Range<usize>, cms: &[u8]) -> Result<Vec<u8>, Error> {
    let room = document.get_mut(digits).unwrap_or_default();
    if room.len() < 2 * cms.len() {
        return Err(Error::Damaged(
            "the room left for the signature is too small".into(),
        ));
    }
    for (pair, octet) in room.chunks_exact_mut(2).zip(cms) {
        pair.copy_from_slice(format!("{octet:02X}").as_bytes());
    }
    Ok(document)
}

/// Where `ByteRange` and `Contents` of the new signature stand in the file.
pub(super) struct Gap {
    /// The octets of the array, brackets included.
    byte_range: Range<usize>,
    /// The octets of the string, brackets included.
    contents: Range<usize>,
}

impl Gap {
    /// Finds the placeholders of the signature dictionary, the object written last.
    pub(super) fn find(document: &[u8], signature: ObjectId, room: usize) -> Result<Self, Error> {
        let locate = || {
            let header = format!("\n{} {} obj", signature.0, signature.1);
            let object = document
                .windows(header.len())
                .rposition(|part| part == header.as_bytes())?;
            let after = |from: usize, key: &[u8]| {
                Some(
                    from + document
                        .get(from..)?
                        .windows(key.len())
                        .position(|part| part == key)?
                        + key.len(),
                )
            };
            let byte_range = after(object, b"/ByteRange")?;
            let byte_range = byte_range..after(byte_range, b"]")?;
            let contents = after(byte_range.end, b"/Contents")?;
            let contents = contents..contents + 2 * room + 2;
            let string = document.get(contents.clone())?;
            (string.first() == Some(&b'<') && string.last() == Some(&b'>')).then_some(Self {
                byte_range,
                contents,
            })
        };
        locate().ok_or_else(|| Error::Damaged("the new signature is not found in it".into()))
    }
}

/// Fixes `ByteRange`, digests what it covers and makes the CMS signature over that digest.
pub(super) fn prepare(
    mut document: Vec<u8>,
    gap: Gap,
    algorithm: DigestAlgorithm,
    cms: impl FnOnce(Vec<u8>) -> Result<cades::Prepared, cades::Error>,
) -> Result<Prepared, Error> {
    let Gap {
        byte_range,
        contents: Range { start, end },
    } = gap;
    let width = byte_range.len() - 1;
    let numbers = format!("[0 {start} {end} {}", document.len() - end);
    if let Some(array) = document.get_mut(byte_range) {
        array.copy_from_slice(format!("{numbers:<width$}]").as_bytes());
    }
    let mut hasher = algorithm.hasher();
    for part in [document.get(..start), document.get(end..)]
        .into_iter()
        .flatten()
    {
        hasher.update(part);
    }
    let cms = cms(hasher.finish())?;
    Ok(Prepared {
        document,
        digits: start + 1..end - 1,
        cms,
    })
}
