//! PAdES baseline signatures, levels B-B and B-T (ETSI EN 319 142-1): a CMS signature in an incremental update of a PDF.

mod appearance;
mod byte_range;
mod document;
mod field;
mod geometry;
mod text;

use std::time::SystemTime;

use der::DateTime;
use lopdf::{Dictionary, Object};

use crate::cades::{self, Profile};
use crate::{Chain, Scheme};

pub use byte_range::Prepared;
pub use geometry::Rectangle;

use document::Update;

/// Room for the CMS signature, in octets, where the signature does not need more: a time-stamp token fits later.
const LEAST_ROOM: usize = 16_384;

/// Why a PDF cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not start with `%PDF-`.
    #[error("the file is not a PDF")]
    NotPdf,
    /// The file's structure is damaged; an incremental update of it would be read differently by different readers.
    #[error("the PDF is damaged ({0}); have the program that made it save it anew")]
    Damaged(String),
    /// A password, or a certificate, is needed to open the file.
    #[error(
        "the PDF is encrypted and opens only with a password or a key; remove its protection first"
    )]
    Encrypted,
    /// The file's protection allows neither changes, annotations nor the filling of forms.
    #[error("the PDF's protection forbids signing it")]
    Forbidden,
    /// A certification signature allows no changes (DocMDP, P = 1).
    #[error("the PDF is certified against any change, a further signature included")]
    Certified,
    /// The form is drawn by the reader (dynamic XFA), so that no signature can cover what is seen.
    #[error("the PDF is a dynamic XFA form, which cannot be signed; print it to a PDF first")]
    DynamicForm,
    /// The file has more octets than a cross-reference table can address.
    #[error("the PDF is too large")]
    TooLarge,
    /// The page asked for does not exist.
    #[error("the PDF has {pages} pages; there is no page {page}")]
    NoSuchPage {
        /// The page asked for; the first is 1.
        page: u32,
        /// The pages there are.
        pages: usize,
    },
    /// The signature field asked for cannot take the signature.
    #[error("the signature field {name} {reason}")]
    Field {
        /// The field's full name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The rectangle is empty or not on the page.
    #[error(
        "the rectangle of the visible signature does not lie on the page, which is {width} by {height} points"
    )]
    Placement {
        /// The page's width as displayed, in points.
        width: f32,
        /// The page's height as displayed, in points.
        height: f32,
    },
    /// The appearance's font has no glyph for a character.
    #[error(
        "the character '{0}' cannot be drawn in a visible signature; sign invisibly, or give a text without it"
    )]
    Glyph(char),
    /// Only the first signature of a document can certify it (ISO 32000-2, 12.8.2.2.1).
    #[error("the PDF is signed already, and only a first signature can certify it")]
    NotFirst,
    /// The CMS signature cannot be made.
    #[error(transparent)]
    Cms(#[from] cades::Error),
    /// The time is out of range.
    #[error("the signing time is out of range")]
    Time,
}

impl From<lopdf::Error> for Error {
    fn from(error: lopdf::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What the signature says and where it stands.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// How the key signs.
    pub scheme: Scheme,
    /// The claimed signing time (`M`); fractions of a second are dropped.
    pub signing_time: SystemTime,
    /// The signature field: an empty one of this name is used, else one is made. Without a name, the first empty field
    /// of the document is used where the signature is not placed, else a new one is made.
    pub field: Option<String>,
    /// The signer's name (`Name`); drawn, where the signature is visible, in place of the certificate's common name.
    pub name: Option<String>,
    /// Why it was signed (`Reason`).
    pub reason: Option<String>,
    /// Where it was signed (`Location`).
    pub location: Option<String>,
    /// How the signer can be reached (`ContactInfo`).
    pub contact: Option<String>,
    /// What may change after this signature, which certifies the document; an approval signature if absent.
    pub certification: Option<Changes>,
    /// Where a new field is seen; invisible if absent.
    pub placement: Option<Placement>,
}

impl Parameters {
    /// Parameters of an invisible signature that says nothing but its time.
    #[must_use]
    pub const fn new(scheme: Scheme, signing_time: SystemTime) -> Self {
        Self {
            scheme,
            signing_time,
            field: None,
            name: None,
            reason: None,
            location: None,
            contact: None,
            certification: None,
            placement: None,
        }
    }
}

/// What may change in a certified document (DocMDP; ISO 32000-2, table 257).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    None = 1,
    /// Forms may be filled, and signatures added.
    Forms = 2,
    /// Annotations too.
    Annotations = 3,
}

/// Where a visible signature is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The page; the first is 1.
    pub page: u32,
    /// The rectangle on the page as displayed.
    pub rectangle: Rectangle,
}

/// Appends everything of the signature but its value, for which it leaves room.
///
/// # Errors
/// When the document, the field or the placement does not allow a signature, or the scheme does not fit the key.
pub fn prepare(
    document: Vec<u8>,
    chain: &Chain,
    parameters: &Parameters,
) -> Result<Prepared, Error> {
    let time = DateTime::from_system_time(parameters.signing_time).map_err(|_| Error::Time)?;
    let scheme = parameters.scheme;
    let cms = |digest| cades::prepare_profile(None, digest, chain, scheme, Profile::Pades);
    let room = LEAST_ROOM.max(cms(vec![0; scheme.digest_algorithm().length()])?.longest()?);

    let mut update = Update::open(document)?;
    let signature = field::attach(
        &mut update,
        parameters,
        &appearance_lines(chain, parameters, time),
    )?;
    if parameters.certification.is_some() {
        update.certify(signature)?;
    }
    update.set(signature, signature_dictionary(parameters, time, room));
    let document = update.write(parameters.signing_time)?;
    let gap = byte_range::Gap::find(&document, signature, room)?;
    byte_range::prepare(document, gap, scheme.digest_algorithm(), cms)
}

/// The signature dictionary (EN 319 142-1, clause 6.3; ISO 32000-2, table 255). What is patched later comes first,
/// so that no text of the signer can be taken for it.
fn signature_dictionary(parameters: &Parameters, time: DateTime, room: usize) -> Object {
    let mut dictionary = byte_range::placeholder(room);
    dictionary.set("M", text::date(time));
    for (key, value) in [
        ("Name", &parameters.name),
        ("Reason", &parameters.reason),
        ("Location", &parameters.location),
        ("ContactInfo", &parameters.contact),
    ] {
        if let Some(value) = value {
            dictionary.set(key, text::string(value));
        }
    }
    if let Some(changes) = parameters.certification {
        dictionary.set(
            "Reference",
            vec![Object::Dictionary(certification(changes))],
        );
    }
    Object::Dictionary(dictionary)
}

/// The signature reference of a certification (ISO 32000-2, 12.8.2.2).
fn certification(changes: Changes) -> Dictionary {
    let mut parameters = Dictionary::new();
    parameters.set("Type", "TransformParams");
    parameters.set("P", changes as i64);
    parameters.set("V", Object::Name(b"1.2".to_vec()));
    let mut reference = Dictionary::new();
    reference.set("Type", "SigRef");
    reference.set("TransformMethod", "DocMDP");
    reference.set("TransformParams", parameters);
    reference
}

/// A CMS signature of this profile over the digest of what a `ByteRange` covers, for who lays out the file elsewhere.
///
/// # Errors
/// As [`cades::prepare`].
pub fn prepare_cms(
    digest: Vec<u8>,
    chain: &Chain,
    scheme: Scheme,
) -> Result<cades::Prepared, cades::Error> {
    let expected = scheme.digest_algorithm().length();
    if digest.len() != expected {
        return Err(cades::Error::DigestLength {
            expected,
            found: digest.len(),
        });
    }
    cades::prepare_profile(None, digest, chain, scheme, Profile::Pades)
}

fn appearance_lines(chain: &Chain, parameters: &Parameters, time: DateTime) -> Vec<String> {
    let name = parameters.name.clone().or_else(|| chain.common_name());
    let time = text::readable(time);
    [
        name,
        Some(time),
        parameters.reason.clone(),
        parameters.location.clone(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
