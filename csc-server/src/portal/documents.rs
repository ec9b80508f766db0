//! What is to be signed, as pages show it: a card a document, and the code that both sides can compare.

use super::page::Page;
use crate::credential::{Hash, verification_code};

/// The documents of a request (template `parts/documents.html`).
pub(super) struct Documents {
    pub(super) each: Vec<Document>,
    pub(super) check: String,
}

/// One of them.
pub(super) struct Document {
    pub(super) name: String,
    /// The first and the last octets of its hash.
    pub(super) short: String,
    pub(super) hash: String,
}

impl Documents {
    /// These hashes, each with its label where the application gave one.
    pub(super) fn of<'a>(
        page: &Page,
        documents: impl Iterator<Item = (&'a Hash, Option<&'a str>)>,
    ) -> Self {
        let (hashes, each) = documents
            .map(|(hash, label)| {
                let label = label.filter(|label| !label.trim().is_empty());
                let shown = Document {
                    name: label.unwrap_or(page.t.no_label).to_owned(),
                    short: short(&hash.hex()),
                    hash: hash.hex(),
                };
                (hash.clone(), shown)
            })
            .unzip::<_, _, Vec<_>, _>();
        Self {
            each,
            check: verification_code(&hashes),
        }
    }
}

/// Enough of a hash to compare at a glance.
fn short(hash: &str) -> String {
    let (first, rest) = hash.split_at_checked(8).unwrap_or((hash, ""));
    let last = rest.len().saturating_sub(8);
    format!("{first}…{}", rest.get(last..).unwrap_or_default())
}
