//! Small PDF files, and what validators that others wrote say of signed ones.

use std::{env, fmt::Write, fs, process::Command};

use crate::binary;

/// A PDF of one page with this text (ISO 32000-2, annex H).
pub fn pdf(text: &str) -> Vec<u8> {
    let content = format!("BT /F1 24 Tf 72 720 Td ({text}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = "%PDF-1.7\n".to_owned();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        places.push(file.len());
        write!(file, "{number} 0 obj\n{object}\nendobj\n").expect("a string takes all");
    }
    let table = file.len();
    write!(file, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1)
        .expect("a string takes all");
    for place in places {
        writeln!(file, "{place:010} 00000 n ").expect("a string takes all");
    }
    let size = objects.len() + 1;
    write!(
        file,
        "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"
    )
    .expect("a string takes all");
    file.into_bytes()
}

/// What poppler says of the signatures in a PDF, and what pyHanko says, which trusts this CA (PEM).
pub fn reports(pdf: &[u8], ca: &str) -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("signed.pdf"), pdf).expect("it takes files");
    fs::write(dir.path().join("ca.pem"), ca).expect("it takes files");
    let mut pdfsig = Command::new("pdfsig");
    pdfsig
        .current_dir(dir.path())
        .args(["-nocert", "signed.pdf"]);
    let mut pyhanko =
        Command::new(env::var_os("PYHANKO").expect("PYHANKO: start conformance-tests/run"));
    pyhanko.current_dir(dir.path()).args([
        "sign",
        "validate",
        "--trust-replace",
        "--no-revocation-check",
        "--pretty-print",
        "--trust",
        "ca.pem",
        "signed.pdf",
    ]);
    let said = |command: &mut Command| {
        let run = binary::run(command, &[]);
        run.stdout + run.stderr.as_str()
    };
    (said(&mut pdfsig), said(&mut pyhanko))
}
