//! A PDF opened for an incremental update (ISO 32000-2, 7.5.6): what may be signed, and what is written.

use std::time::SystemTime;

use lopdf::{
    Dictionary, Document, IncrementalDocument, LoadOptions, Object, ObjectId, Permissions,
    StringFormat,
};

use super::Error;
use crate::DigestAlgorithm;

/// The octets that one object stream or cross-reference stream may have decompressed; real ones are far smaller.
const LARGEST_STREAM: usize = 32 << 20;

/// A document and the objects to append to it.
pub(super) struct Update(IncrementalDocument);

impl Update {
    /// Opens a document, with the empty password where it is encrypted.
    pub(super) fn open(octets: Vec<u8>) -> Result<Self, Error> {
        // Readers differ on where offsets count from when something stands before the header: refuse it.
        if !octets.starts_with(b"%PDF-") {
            return Err(Error::NotPdf);
        }
        // lopdf's offsets have 32 bits; the update itself is far below the 16 MiB left for it.
        if octets.len() > (u32::MAX as usize) - (16 << 20) {
            return Err(Error::TooLarge);
        }
        let document = Document::load_mem_with_options(
            &octets,
            LoadOptions::with_max_decompressed_size(LARGEST_STREAM),
        )
        .map_err(|error| match error {
            lopdf::Error::UnsupportedSecurityHandler(_) | lopdf::Error::InvalidPassword => {
                Error::Encrypted
            }
            other => other.into(),
        })?;
        check(&document)?;
        let mut update = IncrementalDocument::create_from(octets, document);
        // A file may declare more numbers than it uses; numbers once given are not given again.
        let size = update
            .get_prev_documents()
            .trailer
            .get(b"Size")
            .and_then(Object::as_i64)
            .unwrap_or(0);
        if let Ok(last) = u32::try_from(size.saturating_sub(1)) {
            update.new_document.max_id = update.new_document.max_id.max(last);
        }
        Ok(Self(update))
    }

    /// The document before the update.
    pub(super) fn document(&self) -> &Document {
        self.0.get_prev_documents()
    }

    /// A number for a new object. The number reserved last is written last.
    pub(super) fn reserve(&mut self) -> Result<ObjectId, Error> {
        Ok(self.0.new_document.try_new_object_id()?)
    }

    /// Adds or replaces an object.
    pub(super) fn set(&mut self, id: ObjectId, object: impl Into<Object>) {
        self.0.new_document.set_object(id, object);
    }

    /// A dictionary as the update leaves it.
    pub(super) fn dictionary(&self, id: ObjectId) -> Result<&Dictionary, Error> {
        let document = if self.0.new_document.has_object(id) {
            &self.0.new_document
        } else {
            self.document()
        };
        Ok(document.get_dictionary(id)?)
    }

    /// An object of the document, to be written anew with changes.
    pub(super) fn edit(&mut self, id: ObjectId) -> Result<&mut Object, Error> {
        self.0.opt_clone_object_to_new_document(id)?;
        Ok(self.0.new_document.get_object_mut(id)?)
    }

    /// The number of the catalog.
    pub(super) fn catalog(&self) -> Result<ObjectId, Error> {
        Ok(self
            .document()
            .trailer
            .get(b"Root")
            .and_then(Object::as_reference)?)
    }

    /// Makes this signature the one that certifies the document (ISO 32000-2, 12.8.6).
    pub(super) fn certify(&mut self, signature: ObjectId) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut permissions = match self.dictionary(catalog)?.get(b"Perms") {
            Ok(Object::Reference(id)) => self.dictionary(*id)?.clone(),
            Ok(Object::Dictionary(permissions)) => permissions.clone(),
            _ => Dictionary::new(),
        };
        permissions.set("DocMDP", signature);
        self.edit(catalog)?.as_dict_mut()?.set("Perms", permissions);
        Ok(())
    }

    /// The document followed by the update.
    pub(super) fn write(mut self, time: SystemTime) -> Result<Vec<u8>, Error> {
        let trailer = self.trailer(time);
        self.0.new_document.trailer = trailer;
        let mut output = Vec::with_capacity(self.0.get_prev_documents_bytes().len() + (1 << 16));
        self.0.save_to(&mut output).map_err(lopdf::Error::from)?;
        output.push(b'\n');
        Ok(output)
    }

    /// The entries of ISO 32000-2, table 15, and no other: those of a cross-reference stream are the writer's,
    /// and `XRefStm` would send readers to the table of an older revision.
    fn trailer(&self, time: SystemTime) -> Dictionary {
        let old = &self.0.new_document.trailer;
        let mut trailer = Dictionary::new();
        for key in [&b"Root"[..], b"Info", b"Prev"] {
            if let Ok(value) = old.get(key) {
                trailer.set(key, value.clone());
            }
        }
        let identifiers = old
            .get_deref(b"ID", self.document())
            .and_then(Object::as_array);
        if let Some(Ok(first)) = identifiers
            .ok()
            .and_then(|ids| ids.first())
            .map(Object::as_str)
        {
            // ISO 32000-2, 14.4: the first stays, the second changes with every update.
            let seconds = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs();
            let length = self.0.get_prev_documents_bytes().len();
            let seed = [first, &seconds.to_be_bytes(), &length.to_be_bytes()].concat();
            let second = DigestAlgorithm::Sha256
                .digest(&seed)
                .into_iter()
                .take(16)
                .collect();
            let hexadecimal = |octets| Object::String(octets, StringFormat::Hexadecimal);
            trailer.set("ID", vec![hexadecimal(first.to_vec()), hexadecimal(second)]);
        }
        trailer
    }
}

fn check(document: &Document) -> Result<(), Error> {
    if document.is_encrypted() {
        return Err(Error::Encrypted);
    }
    if document.xref_recovery.is_some() {
        return Err(Error::Damaged(
            "its cross-reference data does not match its objects".into(),
        ));
    }
    if let Some(state) = &document.encryption_state {
        let allowed = Permissions::MODIFIABLE | Permissions::ANNOTABLE | Permissions::FILLABLE;
        if !state.permissions().intersects(allowed) {
            return Err(Error::Forbidden);
        }
        if state.encrypt_object_id().is_none() {
            // An update has to refer to the encryption dictionary.
            return Err(Error::Encrypted);
        }
    }
    let catalog = document.catalog()?;
    if catalog
        .get_deref(b"NeedsRendering", document)
        .and_then(Object::as_bool)
        .unwrap_or(false)
    {
        return Err(Error::DynamicForm);
    }
    if modifications_allowed(document, catalog) == Some(1) {
        return Err(Error::Certified);
    }
    Ok(())
}

/// The `P` of a certification signature (ISO 32000-2, 12.8.2.2): 1 no change, 2 forms, 3 annotations too.
fn modifications_allowed(document: &Document, catalog: &Dictionary) -> Option<i64> {
    let dictionary = |object: &Dictionary, key: &[u8]| -> Option<Dictionary> {
        object
            .get_deref(key, document)
            .and_then(Object::as_dict)
            .ok()
            .cloned()
    };
    let certification = dictionary(&dictionary(catalog, b"Perms")?, b"DocMDP")?;
    let references = certification
        .get_deref(b"Reference", document)
        .and_then(Object::as_array)
        .ok()?;
    references
        .iter()
        .filter_map(|reference| document.dereference(reference).ok()?.1.as_dict().ok())
        .filter(|reference| {
            reference
                .get(b"TransformMethod")
                .and_then(Object::as_name)
                .is_ok_and(|n| n == b"DocMDP")
        })
        .map(|reference| {
            let parameters = dictionary(reference, b"TransformParams").unwrap_or_default();
            parameters
                .get_deref(b"P", document)
                .and_then(Object::as_i64)
                .unwrap_or(2)
        })
        .next()
}
