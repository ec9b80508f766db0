//! From a file to the digest that is signed, and from the signature value to a file.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ades::cades::{self, Content};
use ades::{Chain, Scheme, pades};
use anyhow::{Context as _, bail, ensure};

use crate::arguments::{Format, Sign};

/// A file to sign, how, and where the result goes.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    format: Format,
}

/// A file that lacks only its signature value.
pub(crate) enum Prepared {
    Pades(Box<pades::Prepared>),
    Cades(Box<cades::Prepared>),
}

impl Prepared {
    /// The digest to sign.
    pub(crate) fn digest(&self) -> Vec<u8> {
        match self {
            Self::Pades(prepared) => prepared.digest(),
            Self::Cades(prepared) => prepared.digest(),
        }
    }

    /// The octets of the signed file.
    pub(crate) fn finish(self, signature: &[u8]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Pades(prepared) => Ok(prepared.finish(signature)?),
            Self::Cades(prepared) => Ok(prepared.finish(signature)?),
        }
    }
}

/// Decides the format and the result of every file; nothing is written yet.
pub(crate) fn plan(options: &Sign) -> anyhow::Result<Vec<Document>> {
    let documents: Vec<Document> = options
        .files
        .iter()
        .map(|input| {
            let describe = || format!("{} cannot be signed", input.display());
            let format = format(input, options).with_context(describe)?;
            let output = output(input, format, options).with_context(describe)?;
            Ok(Document {
                input: input.clone(),
                output,
                format,
            })
        })
        .collect::<anyhow::Result<_>>()?;

    let mut outputs = HashSet::new();
    for Document { output, .. } in &documents {
        ensure!(
            outputs.insert(output),
            "two files would be written to {}; sign them one by one",
            output.display()
        );
        ensure!(
            options.force || !output.exists(),
            "{} exists already; give --force to replace it, or another --output",
            output.display()
        );
    }
    let of_pdfs = [
        options.visible.is_some(),
        options.reason.is_some(),
        options.location.is_some(),
    ]
    .contains(&true);
    let pdfs = documents
        .iter()
        .any(|document| document.format == Format::Pades);
    ensure!(
        pdfs || !of_pdfs,
        "--visible, --reason and --location are for PDFs signed with --format pades"
    );
    Ok(documents)
}

fn format(input: &Path, options: &Sign) -> anyhow::Result<Format> {
    let mut start = Vec::new();
    File::open(input)?.take(5).read_to_end(&mut start)?;
    let is_pdf = start == b"%PDF-";
    match options.format {
        Some(Format::Pades) if options.detached => bail!("--detached is for --format cades"),
        Some(Format::Pades) if !is_pdf => bail!("it is not a PDF; use --format cades"),
        Some(format) => Ok(format),
        None if options.detached => Ok(Format::Cades),
        None if is_pdf => Ok(Format::Pades),
        None if has_extension(input, "pdf") => {
            bail!("it is named as a PDF but is none; use --format cades to sign it as it is")
        }
        None => Ok(Format::Cades),
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn output(input: &Path, format: Format, options: &Sign) -> anyhow::Result<PathBuf> {
    let name = input.file_name().context("it has no name")?;
    let (stem, ending) = match format {
        Format::Pades => (input.file_stem().unwrap_or(name), "-signed.pdf"),
        Format::Cades if options.detached => (name, ".p7s"),
        Format::Cades => (name, ".p7m"),
    };
    let mut name = stem.to_owned();
    name.push(ending);
    let output = match &options.output {
        None => input.with_file_name(name),
        Some(path) if path.is_dir() || options.files.len() > 1 => path.join(name),
        Some(path) => path.clone(),
    };
    let same = fs::canonicalize(&output)
        .is_ok_and(|output| fs::canonicalize(input).is_ok_and(|input| input == output));
    ensure!(!same, "the result would replace it; give another --output");
    Ok(output)
}

impl Document {
    /// Reads the file and makes everything of its signature but the value.
    pub(crate) fn prepare(
        &self,
        chain: &Chain,
        scheme: Scheme,
        time: SystemTime,
        options: &Sign,
    ) -> anyhow::Result<Prepared> {
        let prepare = || match self.format {
            Format::Pades => {
                let parameters = pades::Parameters {
                    reason: options.reason.clone(),
                    location: options.location.clone(),
                    placement: options.visible,
                    ..pades::Parameters::new(scheme, time)
                };
                let prepared = pades::prepare(fs::read(&self.input)?, chain, &parameters)?;
                anyhow::Ok(Prepared::Pades(Box::new(prepared)))
            }
            Format::Cades => {
                let content = if options.detached {
                    let mut hasher = scheme.digest_algorithm().hasher();
                    io::copy(&mut File::open(&self.input)?, &mut hasher)?;
                    Content::Detached(hasher.finish())
                } else {
                    Content::Attached(fs::read(&self.input)?)
                };
                let media_type = media_type(&self.input).to_owned();
                let parameters = cades::Parameters {
                    scheme,
                    signing_time: time,
                    media_type,
                };
                Ok(Prepared::Cades(Box::new(cades::prepare(
                    content,
                    chain,
                    &parameters,
                )?)))
            }
        };
        prepare().with_context(|| format!("{} cannot be signed", self.input.display()))
    }

    /// Writes the result: whole or not at all.
    pub(crate) fn write(&self, content: &[u8], force: bool) -> anyhow::Result<()> {
        let write = || {
            let folder = match self.output.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            fs::create_dir_all(folder)?;
            // As any new file: what the umask leaves.
            let permissions = Permissions::from_mode(0o666);
            let mut file = tempfile::Builder::new()
                .permissions(permissions)
                .tempfile_in(folder)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            if force {
                file.persist(&self.output)?
            } else {
                file.persist_noclobber(&self.output)?
            };
            anyhow::Ok(())
        };
        write().with_context(|| format!("{} cannot be written", self.output.display()))
    }
}

/// The media type that the file's name suggests.
fn media_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "csv" => "text/csv",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "htm" | "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "odt" => "application/vnd.oasis.opendocument.text",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" => "text/plain",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml" => "application/xml",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tempfile::TempDir;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("a.pdf"), "%PDF-1.7\n").unwrap();
        fs::write(folder.path().join("b.txt"), "text").unwrap();
        fs::write(folder.path().join("c.pdf"), "text").unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        folder
    }

    /// The plan for a command line whose words that name files start with `@`.
    fn planned(folder: &TempDir, line: &str) -> anyhow::Result<Vec<String>> {
        let path = |word: &str| match word.strip_prefix('@') {
            Some(name) => folder.path().join(name).display().to_string(),
            None => word.to_owned(),
        };
        let words = ["csc-client".to_owned(), "sign".to_owned()]
            .into_iter()
            .chain(line.split(' ').map(path));
        let Command::Sign(options) = Arguments::try_parse_from(words)?.command else {
            unreachable!()
        };
        let documents = plan(&options)?;
        let name = |document: Document| {
            let output = document
                .output
                .strip_prefix(folder.path())
                .unwrap_or(&document.output)
                .display()
                .to_string();
            format!("{output} {:?}", document.format)
        };
        Ok(documents.into_iter().map(name).collect())
    }

    #[test]
    fn the_file_decides_the_format_and_the_name() {
        let folder = folder();
        assert_eq!(
            planned(&folder, "@a.pdf @b.txt").unwrap(),
            ["a-signed.pdf Pades", "b.txt.p7m Cades"]
        );
        assert_eq!(
            planned(&folder, "--detached @a.pdf").unwrap(),
            ["a.pdf.p7s Cades"]
        );
        assert_eq!(
            planned(&folder, "--format cades @a.pdf").unwrap(),
            ["a.pdf.p7m Cades"]
        );
        assert_eq!(
            planned(&folder, "-o @out @a.pdf").unwrap(),
            ["out/a-signed.pdf Pades"]
        );
        assert_eq!(
            planned(&folder, "-o @new @a.pdf @b.txt").unwrap()[1],
            "new/b.txt.p7m Cades"
        );
        assert_eq!(
            planned(&folder, "--output @x.pdf @a.pdf").unwrap(),
            ["x.pdf Pades"]
        );
    }

    #[test]
    fn what_would_surprise_is_refused() {
        let folder = folder();
        fs::write(folder.path().join("b.txt.p7m"), "signed before").unwrap();
        for (line, reason) in [
            ("@c.pdf", "named as a PDF"),
            ("--format pades @b.txt", "not a PDF"),
            ("--format pades --detached @a.pdf", "--detached"),
            ("@missing", "cannot be signed"),
            ("-o @a.pdf @a.pdf", "would replace it"),
            ("--force -o @out/../a.pdf @a.pdf", "would replace it"),
            ("@b.txt", "exists already"),
            ("-o @out @a.pdf @out/../a.pdf", "two files"),
            ("--detached --reason x @a.pdf", "--reason"),
        ] {
            let error = format!("{:#}", planned(&folder, line).unwrap_err());
            assert!(error.contains(reason), "{line}: {error}");
        }
        assert!(planned(&folder, "--force @b.txt").is_ok());
    }

    #[test]
    fn a_result_never_replaces_a_file_unasked() {
        let folder = folder();
        let output = folder.path().join("b.txt");
        let document = Document {
            input: folder.path().join("a.pdf"),
            output: output.clone(),
            format: Format::Pades,
        };
        assert!(document.write(b"new", false).is_err());
        assert_eq!(fs::read(&output).unwrap(), b"text");
        document.write(b"new", true).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"new");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            4,
            "no temporary file stays"
        );
    }
}
