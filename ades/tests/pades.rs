//! PAdES B-B as poppler and pyHanko see it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot prepare itself fails"
)]

mod support;

use std::ops::Range;
use std::process::Command;

use ades::pades::{self, Parameters, Placement, Rectangle};
use ades::{DigestAlgorithm, Scheme};
use lopdf::{Document, Object, Permissions, dictionary};
use support::pdf::{Cipher, classic, document, encrypted, hybrid, modern, page};
use support::{Folder, Signer, pyhanko, run, schemes, text, time};

const P256: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);

fn invisible(signer: &Signer) -> Parameters {
    Parameters::new(signer.scheme, time())
}

fn sign(signer: &Signer, pdf: &[u8], parameters: &Parameters) -> Vec<u8> {
    let prepared = pades::prepare(pdf.to_vec(), &signer.chain, parameters).unwrap();
    let signature = signer.sign(&prepared.digest());
    let signed = prepared.finish(&signature).unwrap();
    assert_eq!(&signed[..pdf.len()], pdf, "the original octets stay");
    signed
}

fn refusal(pdf: &[u8], parameters: &Parameters) -> String {
    let signer = Signer::new(P256, "Alice Muster");
    pades::prepare(pdf.to_vec(), &signer.chain, parameters)
        .unwrap_err()
        .to_string()
}

/// What `pdfsig` says about every signature in the file.
fn pdfsig(pdf: &[u8]) -> String {
    let folder = Folder::new();
    let output = run(Command::new("pdfsig")
        .arg("-nocert")
        .arg(folder.write("signed.pdf", pdf)));
    text(&output)
}

fn assert_valid(pdf: &[u8], signatures: usize) {
    let report = pdfsig(pdf);
    assert_eq!(
        report
            .matches("Signature Validation: Signature is Valid.")
            .count(),
        signatures,
        "{report}"
    );
    assert_eq!(
        report.matches("ETSI.CAdES.detached").count(),
        signatures,
        "{report}"
    );
    assert!(report.contains("Total document signed"), "{report}");
}

#[test]
fn every_kind_of_key_signs_every_kind_of_file() {
    for scheme in schemes() {
        let signer = Signer::new(scheme, "Alice Muster");
        for pdf in [classic(document()), modern(document())] {
            let signed = sign(&signer, &pdf, &invisible(&signer));
            assert_valid(&signed, 1);
            let report = pdfsig(&signed);
            assert!(
                report.contains("Signer Certificate Common Name: Alice Muster"),
                "{report}"
            );
        }
    }
}

#[test]
fn a_second_and_third_signature_keep_the_first_valid() {
    for pdf in [classic(document()), modern(document())] {
        let mut signed = pdf;
        for (count, scheme) in schemes().into_iter().enumerate() {
            let signer = Signer::new(scheme, "Alice Muster");
            signed = sign(&signer, &signed, &invisible(&signer));
            assert_valid(&signed, count + 1);
        }
        let report = pdfsig(&signed);
        assert!(report.contains("Signature4"), "{report}");
    }
}

/// What pyHanko, strict about structure and about what an update changes, says about every signature in the file.
fn pyhanko_report(pdf: &[u8], signers: &[&Signer]) -> String {
    let folder = Folder::new();
    let mut command = pyhanko();
    command.args([
        "sign",
        "validate",
        "--trust-replace",
        "--no-revocation-check",
        "--pretty-print",
    ]);
    for (number, signer) in signers.iter().enumerate() {
        command
            .arg("--trust")
            .arg(folder.write(&format!("root{number}.pem"), &signer.root));
    }
    text(&run(command.arg(folder.write("signed.pdf", pdf))))
}

fn assert_pyhanko_agrees(pdf: &[u8], signers: &[&Signer]) {
    let report = pyhanko_report(pdf, signers);
    assert_eq!(
        report.matches("The signature is judged VALID.").count(),
        signers.len(),
        "{report}"
    );
}

#[test]
fn pyhanko_agrees_on_every_kind_of_key_and_file() {
    let signers = schemes().map(|scheme| Signer::new(scheme, "Alice Muster"));
    for pdf in [classic(document()), modern(document())] {
        let mut signed = pdf;
        for count in 1..=signers.len() {
            signed = sign(
                &signers[count - 1],
                &signed,
                &invisible(&signers[count - 1]),
            );
            assert_pyhanko_agrees(&signed, &signers[..count].iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn pyhanko_notices_a_changed_octet() {
    let signer = Signer::new(P256, "Alice Muster");
    let mut signed = sign(&signer, &classic(document()), &invisible(&signer));
    let position = signed
        .windows(8)
        .position(|part| part == b"contract")
        .unwrap();
    signed[position] = b'C';
    let report = pyhanko_report(&signed, &[&signer]);
    assert!(report.contains("judged INVALID"), "{report}");
}

#[test]
fn the_update_has_the_cross_reference_type_of_the_file() {
    let signer = Signer::new(P256, "Alice Muster");
    let appended = |pdf: Vec<u8>| {
        let signed = sign(&signer, &pdf, &invisible(&signer));
        String::from_utf8_lossy(&signed[pdf.len()..]).into_owned()
    };
    let table = appended(classic(document()));
    assert!(
        table.contains("\nxref\n") && !table.contains("/XRef"),
        "{table}"
    );
    let stream = appended(modern(document()));
    assert!(
        !stream.contains("\nxref\n") && stream.contains("/XRef"),
        "{stream}"
    );
}

#[test]
fn a_changed_octet_anywhere_in_the_signed_part_is_noticed() {
    let signer = Signer::new(P256, "Alice Muster");
    let signed = sign(&signer, &classic(document()), &invisible(&signer));
    for mark in ["A contract.", "/FT/Sig", "Adobe.PPKLite"] {
        let mut changed = signed.clone();
        let position = changed
            .windows(mark.len())
            .position(|part| part == mark.as_bytes())
            .unwrap();
        changed[position + mark.len() - 1] ^= 1;
        let report = pdfsig(&changed);
        assert!(!report.contains("Signature is Valid"), "{mark}: {report}");
    }
}

#[test]
fn the_signature_dictionary_is_that_of_the_baseline_profile() {
    let signer = Signer::new(P256, "Alice Muster");
    let parameters = Parameters {
        name: Some("Alice Müster".into()),
        reason: Some("I agree (really)".into()),
        location: Some("Zürich".into()),
        ..invisible(&signer)
    };
    let signed = sign(&signer, &classic(document()), &parameters);
    let reread = Document::load_mem(&signed).unwrap();
    let form = reread
        .catalog()
        .unwrap()
        .get_deref(b"AcroForm", &reread)
        .unwrap()
        .as_dict()
        .unwrap();
    assert_eq!(form.get(b"SigFlags").unwrap().as_i64().unwrap(), 3);
    let field = form.get(b"Fields").unwrap().as_array().unwrap()[0]
        .as_reference()
        .unwrap();
    let field = reread.get_dictionary(field).unwrap();
    assert_eq!(
        field.get(b"Rect").unwrap().as_array().unwrap(),
        &[0.into(), 0.into(), 0.into(), Object::Integer(0)]
    );
    let signature = field.get_deref(b"V", &reread).unwrap().as_dict().unwrap();
    let date = signature.get(b"M").unwrap().as_str().unwrap();
    assert_eq!(date, b"D:20261121100000+00'00'");
    assert!(!signature.has(b"Cert"));
    let decoded = |key| lopdf::decode_text_string(signature.get(key).unwrap()).unwrap();
    assert_eq!(decoded(b"Name"), "Alice Müster");
    assert_eq!(decoded(b"Reason"), "I agree (really)");
    assert_eq!(decoded(b"Location"), "Zürich");

    // EN 319 142-1: the claimed time stands in M, and no signing-time in the CMS signature.
    let folder = Folder::new();
    let contents = signature.get(b"Contents").unwrap().as_str().unwrap();
    let path = folder.write("contents.der", contents);
    let output = run(Command::new("openssl")
        .args(["asn1parse", "-inform", "DER", "-in"])
        .arg(path));
    let parsed = text(&output);
    assert!(
        parsed.contains("id-smime-aa-signingCertificateV2"),
        "{parsed}"
    );
    assert!(!parsed.contains("signingTime"), "{parsed}");
}

#[test]
fn a_text_that_looks_like_a_signature_dictionary_is_only_a_text() {
    let signer = Signer::new(P256, "Alice Muster");
    let zeros = "0".repeat(32_768);
    let dictionary =
        format!("<</ByteRange[0 1111111111 1111111111 1111111111]/Contents<{zeros}>>>");
    let trap: String = (1..20)
        .map(|number| format!("\n{number} 0 obj{dictionary}"))
        .collect();
    let mut pdf = document();
    page(&mut pdf).set("Trap", Object::string_literal(trap.clone()));
    pdf.trailer.set(
        "ID",
        vec![
            Object::string_literal(trap.clone()),
            Object::string_literal("second"),
        ],
    );
    let parameters = Parameters {
        reason: Some(trap.clone()),
        ..invisible(&signer)
    };
    assert_valid(&sign(&signer, &classic(pdf), &parameters), 1);
}

#[test]
fn a_form_keeps_its_fields_and_values() {
    let signer = Signer::new(P256, "Alice Muster");
    for (direct, annotations_apart) in [(true, true), (false, false)] {
        let mut pdf = document();
        let text = pdf.add_object(dictionary! {
            "Type" => "Annot", "Subtype" => "Widget", "FT" => "Tx", "F" => 4, "T" => Object::string_literal("city"),
            "V" => Object::string_literal("Roma"), "Rect" => vec![72.into(), 600.into(), 200.into(), 620.into()],
        });
        let form = dictionary! {
            "Fields" => vec![text.into()], "DA" => Object::string_literal("/Helv 0 Tf 0 g"), "CO" => vec![text.into()],
        };
        let annotations = Object::Array(vec![text.into()]);
        let annotations = if annotations_apart {
            pdf.add_object(annotations).into()
        } else {
            annotations
        };
        page(&mut pdf).set("Annots", annotations);
        let form = if direct {
            form.into()
        } else {
            Object::Reference(pdf.add_object(form))
        };
        pdf.catalog_mut().unwrap().set("AcroForm", form);

        for pdf in [classic(pdf.clone()), modern(pdf)] {
            let signed = sign(&signer, &pdf, &invisible(&signer));
            assert_valid(&signed, 1);
            let again = sign(&signer, &signed, &invisible(&signer));
            assert_pyhanko_agrees(&again, &[&signer; 2]);
            let reread = Document::load_mem(&signed).unwrap();
            let form = reread
                .catalog()
                .unwrap()
                .get_deref(b"AcroForm", &reread)
                .unwrap()
                .as_dict()
                .unwrap();
            assert!(form.has(b"DA") && form.has(b"CO"));
            let fields = form
                .get_deref(b"Fields", &reread)
                .unwrap()
                .as_array()
                .unwrap();
            assert_eq!(fields.len(), 2);
            let city = reread
                .get_dictionary(fields[0].as_reference().unwrap())
                .unwrap();
            assert_eq!(city.get(b"V").unwrap().as_str().unwrap(), b"Roma");
            let annotations = reread
                .get_page_annotations(reread.page_iter().next().unwrap())
                .unwrap();
            assert_eq!(annotations.len(), 2);
        }
    }
}

/// A document with two signature fields: `first` is empty and has an extent, `second` has a lock.
fn with_empty_fields() -> Document {
    let mut pdf = document();
    let on = pdf.page_iter().next().unwrap();
    let field = |name: &str, rect: [i64; 4]| {
        dictionary! {
            "Type" => "Annot", "Subtype" => "Widget", "FT" => "Sig", "F" => 4, "T" => Object::string_literal(name),
            "P" => on, "Rect" => rect.map(Object::Integer).to_vec(),
        }
    };
    let mut locked = field("second", [72, 100, 272, 150]);
    locked.set(
        "Lock",
        dictionary! { "Type" => "SigFieldLock", "Action" => "All" },
    );
    let first = field("first", [72, 200, 272, 250]);
    let fields = vec![pdf.add_object(first).into(), pdf.add_object(locked).into()];
    page(&mut pdf).set("Annots", fields.clone());
    pdf.catalog_mut()
        .unwrap()
        .set("AcroForm", dictionary! { "Fields" => fields });
    pdf
}

#[test]
fn the_first_empty_field_is_used_and_drawn() {
    let signer = Signer::new(P256, "Alice Muster");
    for parameters in [
        invisible(&signer),
        Parameters {
            field: Some("first".into()),
            ..invisible(&signer)
        },
    ] {
        let signed = sign(&signer, &classic(with_empty_fields()), &parameters);
        assert_valid(&signed, 1);
        let report = pdfsig(&signed);
        assert!(report.contains("first"), "{report}");
        let reread = Document::load_mem(&signed).unwrap();
        let form = reread
            .catalog()
            .unwrap()
            .get_deref(b"AcroForm", &reread)
            .unwrap()
            .as_dict()
            .unwrap();
        let fields = form.get(b"Fields").unwrap().as_array().unwrap();
        assert_eq!(fields.len(), 2, "no field is added");
        let report = pdfsig(&sign(&signer, &signed, &invisible(&signer)));
        assert!(
            report.contains("Signature1"),
            "the field with a lock is left alone: {report}"
        );
        assert!(
            reread
                .get_dictionary(fields[0].as_reference().unwrap())
                .unwrap()
                .has(b"AP")
        );
    }
}

#[test]
fn a_field_that_cannot_be_signed_as_it_asks_is_refused() {
    let signer = Signer::new(P256, "Alice Muster");
    let pdf = classic(with_empty_fields());
    let named = |name: &str| Parameters {
        field: Some(name.into()),
        ..invisible(&signer)
    };
    assert!(
        refusal(&pdf, &named("second")).contains("lock"),
        "{}",
        refusal(&pdf, &named("second"))
    );
    let signed = sign(&signer, &pdf, &named("first"));
    assert_eq!(
        refusal(&signed, &named("first")),
        "the signature field first is signed already"
    );
    assert!(refusal(&pdf, &named("a.b")).contains("no valid name"));
}

#[test]
fn a_visible_signature_shows_name_time_and_reason_where_asked() {
    let signer = Signer::new(P256, "Łucja Müller");
    for rotation in [0, 90, 180, 270] {
        let mut pdf = document();
        page(&mut pdf).set("Rotate", rotation);
        page(&mut pdf).set("CropBox", [20, 30, 520, 730].map(Object::Integer).to_vec());
        let parameters = Parameters {
            name: Some("Lucia Müller".into()),
            reason: Some("Approved".into()),
            placement: Some(Placement {
                page: 1,
                rectangle: Rectangle {
                    x: 50.0,
                    y: 60.0,
                    width: 200.0,
                    height: 50.0,
                },
            }),
            ..invisible(&signer)
        };
        let signed = sign(&signer, &classic(pdf), &parameters);
        assert_valid(&signed, 1);
        // The page is displayed 500 by 700 points, or turned; poppler measures from its upper left corner.
        let height = if rotation % 180 == 0 { 700.0 } else { 500.0 };
        let words = words_in(&signed, 50.0..250.0, height - 110.0..height - 60.0);
        assert_eq!(
            words,
            [
                "Lucia",
                "Müller",
                "2026-11-21",
                "10:00:00",
                "UTC",
                "Approved"
            ],
            "{rotation} degrees"
        );
    }
}

/// The words that poppler draws inside a rectangle of the page as displayed.
fn words_in(pdf: &[u8], across: Range<f32>, down: Range<f32>) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write("signed.pdf", pdf);
    let output = text(&run(Command::new("pdftotext")
        .args(["-bbox", "-cropbox"])
        .arg(path)
        .arg("-")));
    let words = output.lines().filter_map(|line| {
        let parts: Vec<&str> = line
            .trim()
            .strip_prefix("<word ")?
            .split(['"', '>', '<'])
            .collect();
        let number = |position: usize| parts[position].parse::<f32>().unwrap();
        let inside = across.start <= number(1)
            && number(5) <= across.end
            && down.start <= number(3)
            && number(7) <= down.end;
        inside.then(|| parts[9].to_owned())
    });
    words.collect()
}

#[test]
fn a_visible_signature_that_cannot_be_shown_is_refused() {
    let signer = Signer::new(P256, "Alice Muster");
    let pdf = classic(document());
    let at = |page, x| {
        let rectangle = Rectangle {
            x,
            y: 10.0,
            width: 100.0,
            height: 40.0,
        };
        Parameters {
            placement: Some(Placement { page, rectangle }),
            ..invisible(&signer)
        }
    };
    assert_eq!(
        refusal(&pdf, &at(2, 10.0)),
        "the PDF has 1 pages; there is no page 2"
    );
    assert!(refusal(&pdf, &at(1, 550.0)).contains("595 by 842 points"));
    assert!(refusal(&pdf, &at(1, f32::NAN)).contains("595 by 842 points"));
    let cyrillic = Parameters {
        name: Some("Алиса".into()),
        ..at(1, 10.0)
    };
    assert!(refusal(&pdf, &cyrillic).contains('А'));
}

#[test]
fn an_encrypted_file_that_opens_without_a_password_stays_encrypted_and_is_signed() {
    let signer = Signer::new(P256, "Alice Muster");
    for cipher in [Cipher::Rc4, Cipher::Aes256] {
        let pdf = encrypted(document(), cipher, "", Permissions::all());
        let rectangle = Rectangle {
            x: 50.0,
            y: 60.0,
            width: 200.0,
            height: 50.0,
        };
        let parameters = Parameters {
            reason: Some("Approved".into()),
            placement: Some(Placement { page: 1, rectangle }),
            ..invisible(&signer)
        };
        let signed = sign(&signer, &pdf, &parameters);
        assert_valid(&signed, 1);
        let appended = &signed[pdf.len()..];
        let reason = b"Approved".map(|octet| format!("{octet:02X}")).concat();
        assert!(
            !appended.windows(16).any(|part| part == reason.as_bytes()),
            "{cipher:?}: a text in clear"
        );
        let words = words_in(&signed, 50.0..250.0, 732.0..782.0);
        assert!(
            words.contains(&"Approved".to_owned()),
            "{cipher:?}: {words:?}"
        );
        let again = sign(&signer, &signed, &invisible(&signer));
        assert_valid(&again, 2);
        assert_pyhanko_agrees(&again, &[&signer; 2]);
    }
}

#[test]
fn a_hybrid_file_gets_a_table_that_leaves_its_stream_alone() {
    let signer = Signer::new(P256, "Alice Muster");
    let pdf = hybrid();
    let signed = sign(&signer, &pdf, &invisible(&signer));
    assert_valid(&signed, 1);
    let appended = String::from_utf8_lossy(&signed[pdf.len()..]);
    assert!(
        appended.contains("\nxref\n") && !appended.contains("XRefStm"),
        "{appended}"
    );
}

#[test]
fn a_file_that_must_not_be_signed_is_refused_with_the_reason() {
    let signer = Signer::new(P256, "Alice Muster");
    let ask = |pdf: Vec<u8>| refusal(&pdf, &invisible(&signer));

    assert_eq!(ask(b"<html>".to_vec()), "the file is not a PDF");
    assert_eq!(ask(Vec::new()), "the file is not a PDF");
    assert!(ask([b"junk\n".to_vec(), classic(document())].concat()).contains("not a PDF"));
    let mut cut = classic(document());
    cut.truncate(cut.len() / 2);
    assert!(ask(cut).contains("damaged"));
    let shifted =
        String::from_utf8_lossy(&classic(document())).replace("startxref\n", "startxref\n1");
    assert!(ask(shifted.into_bytes()).contains("damaged"));

    assert!(
        ask(encrypted(
            document(),
            Cipher::Rc4,
            "secret",
            Permissions::all()
        ))
        .contains("password")
    );
    assert!(
        ask(encrypted(
            document(),
            Cipher::Rc4,
            "",
            Permissions::PRINTABLE
        ))
        .contains("forbids")
    );

    let mut form = document();
    form.catalog_mut().unwrap().set("NeedsRendering", true);
    assert!(ask(classic(form)).contains("dynamic XFA"));
}

#[test]
fn a_certification_decides_whether_a_signature_may_follow() {
    let signer = Signer::new(P256, "Alice Muster");
    let certified = |level: i64| {
        let mut pdf = document();
        let parameters = dictionary! { "Type" => "TransformParams", "V" => "1.2", "P" => level };
        let reference = dictionary! {
            "Type" => "SigRef", "TransformMethod" => "DocMDP", "TransformParams" => parameters,
        };
        let signature =
            pdf.add_object(dictionary! { "Type" => "Sig", "Reference" => vec![reference.into()] });
        pdf.catalog_mut()
            .unwrap()
            .set("Perms", dictionary! { "DocMDP" => signature });
        classic(pdf)
    };
    assert!(refusal(&certified(1), &invisible(&signer)).contains("certified against any change"));
    for level in [2, 3] {
        assert_valid(&sign(&signer, &certified(level), &invisible(&signer)), 1);
    }
}

#[test]
fn a_damaged_file_is_refused_or_signed_and_never_a_panic() {
    let signer = Signer::new(P256, "Alice Muster");
    for pdf in [classic(with_empty_fields()), modern(document())] {
        for position in 0..pdf.len() {
            for octet in [0, b'9'] {
                let mut damaged = pdf.clone();
                damaged[position] = octet;
                if let Ok(prepared) =
                    pades::prepare(damaged.clone(), &signer.chain, &invisible(&signer))
                {
                    let signature = signer.sign(&prepared.digest());
                    assert_eq!(&prepared.finish(&signature).unwrap()[..pdf.len()], damaged);
                }
            }
        }
    }
}
