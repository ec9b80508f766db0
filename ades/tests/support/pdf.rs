//! Small PDFs of every kind that a signature has to cope with.

use lopdf::{
    Document, EncryptionState, EncryptionVersion, Object, Permissions, SaveOptions, Stream,
    StringFormat, dictionary,
};

/// One page of text in `Document` form, to be changed before it is written.
pub(crate) fn document() -> Document {
    let mut document = Document::with_version("1.7");
    let pages = document.new_object_id();
    let font = document.add_object(
        dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier" },
    );
    let content = document.add_object(Stream::new(
        dictionary! {},
        b"BT /F1 24 Tf 72 720 Td (A contract.) Tj ET".to_vec(),
    ));
    let page = document.add_object(dictionary! {
        "Type" => "Page", "Parent" => pages, "Contents" => content,
        "Resources" => dictionary! { "Font" => dictionary! { "F1" => font } },
    });
    let kids = dictionary! {
        "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1,
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    };
    document.set_object(pages, kids);
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    document.trailer.set("ID", vec![identifier(), identifier()]);
    document
}

fn identifier() -> Object {
    Object::String(b"0123456789abcdef".to_vec(), StringFormat::Hexadecimal)
}

/// With a cross-reference table.
pub(crate) fn classic(mut document: Document) -> Vec<u8> {
    document.reference_table.cross_reference_type = lopdf::xref::XrefType::CrossReferenceTable;
    let mut octets = Vec::new();
    document.save_to(&mut octets).unwrap();
    octets
}

/// With a cross-reference stream, catalog and pages inside an object stream.
pub(crate) fn modern(mut document: Document) -> Vec<u8> {
    let mut octets = Vec::new();
    let options = SaveOptions::builder()
        .use_object_streams(true)
        .use_xref_streams(true)
        .build();
    document.save_with_options(&mut octets, options).unwrap();
    octets
}

/// With RC4 and the user password given.
pub(crate) fn encrypted(
    mut document: Document,
    user_password: &str,
    permissions: Permissions,
) -> Vec<u8> {
    let version = EncryptionVersion::V2 {
        document: &document,
        owner_password: "owner",
        user_password,
        key_length: 128,
        permissions,
    };
    let state = EncryptionState::try_from(version).unwrap();
    document.encrypt(&state).unwrap();
    classic(document)
}

/// The first page, to be changed.
pub(crate) fn page(document: &mut Document) -> &mut lopdf::Dictionary {
    let id = document.page_iter().next().unwrap();
    document.get_dictionary_mut(id).unwrap()
}
