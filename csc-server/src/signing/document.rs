//! A document → what the key signs of it → the signed document, through `ades`. The documents are worked through on threads of their own:
//! nothing here may be called where requests are answered.

use std::time::SystemTime;

use ades::{Chain, cades, pades};
use hsm_adapter::{Digest, DigestAlgorithm, NotDerived, PdfUpdate, Scheme, Statement};

/// What is to be signed.
#[derive(Debug)]
pub enum Input {
    /// A document.
    Document(Vec<u8>),
    /// The digest of one, or of what the `ByteRange` of a PDF covers.
    Digest(Digest),
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub enum Format {
    /// A CMS signature with the document inside.
    CadesAttached,
    /// A CMS signature beside the document.
    CadesDetached,
    /// A signature in a PDF.
    Pades(Box<PdfSignature>),
    /// A CMS signature that somebody else puts into the PDF he has laid out.
    PadesCms,
}

/// What a signature in a PDF says.
#[derive(Clone, Debug, Default)]
pub struct PdfSignature {
    /// Whether it certifies the document: then forms may be filled and signatures added, and nothing else changed.
    pub certifies: bool,
    /// `Name`.
    pub name: Option<String>,
    /// `Reason`.
    pub reason: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `ContactInfo`.
    pub contact: Option<String>,
}

/// How far a signature can be validated later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// B-B: as long as the certificate is valid.
    Basic,
    /// B-T: with a time-stamp over the signature.
    Stamped,
}

/// A document to be signed, and how.
#[derive(Debug)]
pub struct Document {
    /// What.
    pub input: Input,
    /// As what.
    pub format: Format,
    /// How well.
    pub level: Level,
    /// By what algorithm.
    pub scheme: Scheme,
}

/// Why a document cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The PDF.
    #[error(transparent)]
    Pdf(#[from] pades::Error),
    /// The CMS signature.
    #[error(transparent)]
    Cms(#[from] cades::Error),
    /// `ades` makes no signatures of this scheme, or not of this input.
    #[error("there is no signature of this kind")]
    Unsupported,
    /// What was made does not contain the document.
    #[error(transparent)]
    NotDerived(#[from] NotDerived),
}

/// A signed document that lacks only the signature value.
pub struct Prepared {
    statement: Statement,
    scheme: ades::Scheme,
    level: Level,
    made: Made,
}

enum Made {
    Document(cades::Prepared),
    Signature(cades::Prepared),
    Pdf(pades::Prepared),
}

/// What goes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// The document with the signature.
    Document(Vec<u8>),
    /// The signature alone.
    Signature(Vec<u8>),
}

impl Document {
    /// Makes everything of the signature but its value, and proves that it contains the document, whose digest was approved under this
    /// algorithm. The chain begins with the signer's certificate.
    ///
    /// # Errors
    /// [`Error`]: why not.
    pub fn prepare(
        self,
        chain: &Chain,
        approved: DigestAlgorithm,
        time: SystemTime,
    ) -> Result<Prepared, Error> {
        let (scheme, signed_by) = (
            in_documents(self.scheme).ok_or(Error::Unsupported)?,
            self.scheme,
        );
        let (made, statement) = match (self.input, self.format) {
            (Input::Document(document), Format::CadesAttached) => {
                let content = cades::Content::Attached(document.clone());
                let cms = cades::prepare(content, chain, &cms(scheme, time))?;
                let attributes = cms.to_be_signed();
                let statement = Statement::of_document(signed_by, attributes, &document, approved)?;
                (Made::Document(cms), statement)
            }
            (Input::Document(document), Format::CadesDetached) => {
                let digest = scheme.digest_algorithm().digest(&document);
                let cms =
                    cades::prepare(cades::Content::Detached(digest), chain, &cms(scheme, time))?;
                let attributes = cms.to_be_signed();
                let statement = Statement::of_document(signed_by, attributes, &document, approved)?;
                (Made::Signature(cms), statement)
            }
            (Input::Document(document), Format::Pades(says)) => {
                let original = document.len();
                let parameters = pades::Parameters {
                    name: says.name,
                    reason: says.reason,
                    location: says.location,
                    contact: says.contact,
                    certification: says.certifies.then_some(pades::Changes::Forms),
                    ..pades::Parameters::new(scheme, time)
                };
                let pdf = pades::prepare(document, chain, &parameters)?;
                let update = PdfUpdate {
                    octets: pdf.document(),
                    original,
                    gap: pdf.gap(),
                };
                let statement =
                    Statement::of_pdf(signed_by, pdf.to_be_signed(), &update, approved)?;
                (Made::Pdf(pdf), statement)
            }
            (Input::Digest(digest), format) => {
                let octets = digest.octets().to_vec();
                let cms = match format {
                    Format::CadesDetached => {
                        let content = cades::Content::Detached(octets);
                        cades::prepare(content, chain, &cms(scheme, time))?
                    }
                    Format::PadesCms => pades::prepare_cms(octets, chain, scheme)?,
                    Format::CadesAttached | Format::Pades(_) => return Err(Error::Unsupported),
                };
                let statement = Statement::of_digest(signed_by, cms.to_be_signed(), digest)?;
                (Made::Signature(cms), statement)
            }
            (Input::Document(_), Format::PadesCms) => return Err(Error::Unsupported),
        };
        Ok(Prepared {
            statement,
            scheme,
            level: self.level,
            made,
        })
    }
}

impl Prepared {
    /// What is signed, and which approval it goes by.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What a time-stamp is needed over, if one is: this signature value's digest.
    pub fn imprint(&self, signature: &[u8]) -> Option<ades::timestamp::Imprint> {
        let algorithm = self.scheme.digest_algorithm();
        match self.level {
            Level::Basic => None,
            Level::Stamped => Some(ades::timestamp::Imprint::of(algorithm, signature)),
        }
    }

    /// Whether it needs a time-stamp.
    pub fn is_stamped(&self) -> bool {
        self.level == Level::Stamped
    }

    /// Puts the value in, and the time-stamp token where there is one.
    ///
    /// # Errors
    /// When the value is not one of the signer's key, or there is no room for the token.
    pub fn finish(self, signature: &[u8], token: Option<&[u8]>) -> Result<Signed, Error> {
        let cms = |cms: cades::Prepared| match token {
            Some(token) => cms.finish_stamped(signature, token),
            None => cms.finish(signature),
        };
        Ok(match self.made {
            Made::Document(made) => Signed::Document(cms(made)?),
            Made::Signature(made) => Signed::Signature(cms(made)?),
            Made::Pdf(made) => Signed::Document(match token {
                Some(token) => made.finish_stamped(signature, token)?,
                None => made.finish(signature)?,
            }),
        })
    }
}

fn cms(scheme: ades::Scheme, time: SystemTime) -> cades::Parameters {
    cades::Parameters {
        scheme,
        signing_time: time,
        media_type: "application/octet-stream".to_owned(),
    }
}

/// The scheme of `ades`, which has one salt length a digest.
pub fn in_documents(scheme: Scheme) -> Option<ades::Scheme> {
    Some(match scheme {
        Scheme::RsaPkcs1(digest) => ades::Scheme::RsaPkcs1(digest_in_documents(digest)),
        Scheme::RsaPss { digest, salt } if usize::from(salt) == digest.len() => {
            ades::Scheme::RsaPss(digest_in_documents(digest))
        }
        Scheme::RsaPss { .. } => return None,
        Scheme::Ecdsa(digest) => ades::Scheme::Ecdsa(digest_in_documents(digest)),
    })
}

/// The digest algorithm of `ades`.
pub fn digest_in_documents(algorithm: DigestAlgorithm) -> ades::DigestAlgorithm {
    match algorithm {
        DigestAlgorithm::Sha256 => ades::DigestAlgorithm::Sha256,
        DigestAlgorithm::Sha384 => ades::DigestAlgorithm::Sha384,
        DigestAlgorithm::Sha512 => ades::DigestAlgorithm::Sha512,
    }
}
