//! Small PDFs of every kind that a signature has to cope with.

use std::sync::Arc;

use lopdf::encryption::crypt_filters::{Aes256CryptFilter, CryptFilter};
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

/// How a file is encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cipher {
    Rc4,
    Aes256,
}

/// With the user password given.
pub(crate) fn encrypted(
    mut document: Document,
    cipher: Cipher,
    user_password: &str,
    permissions: Permissions,
) -> Vec<u8> {
    let (owner_password, key) = ("owner", [7; 32]);
    let version = match cipher {
        Cipher::Rc4 => EncryptionVersion::V2 {
            document: &document,
            owner_password,
            user_password,
            key_length: 128,
            permissions,
        },
        Cipher::Aes256 => EncryptionVersion::V5 {
            encrypt_metadata: true,
            crypt_filters: [(
                b"StdCF".to_vec(),
                Arc::new(Aes256CryptFilter) as Arc<dyn CryptFilter>,
            )]
            .into(),
            file_encryption_key: &key,
            stream_filter: b"StdCF".to_vec(),
            string_filter: b"StdCF".to_vec(),
            owner_password,
            user_password,
            permissions,
        },
    };
    let state = EncryptionState::try_from(version).unwrap();
    document.encrypt(&state).unwrap();
    classic(document)
}

/// A hybrid-reference file (ISO 32000-2, 7.5.8.4): a table, and a stream for an object that old readers do not see.
pub(crate) fn hybrid() -> Vec<u8> {
    let mut file = b"%PDF-1.5\n".to_vec();
    let mut offsets = Vec::new();
    let mut add = |file: &mut Vec<u8>, object: &[u8]| {
        offsets.push(file.len());
        file.extend_from_slice(object);
        file.push(b'\n');
    };
    add(
        &mut file,
        b"1 0 obj <</Type/Catalog/Pages 2 0 R/Lang 5 0 R>> endobj",
    );
    add(
        &mut file,
        b"2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 595 842]>> endobj",
    );
    add(&mut file, b"3 0 obj <</Type/Page/Parent 2 0 R>> endobj");
    add(
        &mut file,
        b"4 0 obj <</Type/ObjStm/N 1/First 4/Length 8>> stream\n5 0 (it)\nendstream endobj",
    );
    let stream = file.len();
    // Object 5 is the first in object stream 4; the stream itself is object 6.
    let mut entries = vec![2, 0, 0, 0, 4, 0, 0, 1];
    entries.extend_from_slice(&u32::try_from(stream).unwrap().to_be_bytes());
    entries.extend_from_slice(&[0, 0]);
    file.extend_from_slice(
        b"6 0 obj <</Type/XRef/Size 7/W[1 4 2]/Index[5 2]/Root 1 0 R/Length 14>> stream\n",
    );
    file.extend_from_slice(&entries);
    file.extend_from_slice(b"\nendstream endobj\n");
    let table = file.len();
    file.extend_from_slice(b"xref\n0 7\n0000000000 65535 f \n");
    for offset in offsets {
        file.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    file.extend_from_slice(b"0000000000 00000 f \n0000000000 00000 f \n");
    let trailer =
        format!("trailer <</Size 7/Root 1 0 R/XRefStm {stream}>>\nstartxref\n{table}\n%%EOF\n");
    file.extend_from_slice(trailer.as_bytes());
    file
}

/// The first page, to be changed.
pub(crate) fn page(document: &mut Document) -> &mut lopdf::Dictionary {
    let id = document.page_iter().next().unwrap();
    document.get_dictionary_mut(id).unwrap()
}
