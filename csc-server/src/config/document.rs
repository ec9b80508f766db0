//! `[document]`: bounds of signatures/signDoc, whose documents are in memory while they are signed.

use serde::Deserialize;

use super::{ConfigError, value};

/// Bounds of what one request and all together may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    /// Largest body of a request, in octets; a document is four thirds of its size in it.
    pub max_body_bytes: usize,
    /// Documents, or digests of documents, of one request.
    pub max_documents: u32,
    /// Requests that are read and worked on at once; further ones wait.
    pub at_once: u32,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 << 20,
            max_documents: 20,
            at_once: 4,
        }
    }
}

impl Document {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("document.max_body_bytes", self.max_body_bytes as u64)?;
        value::positive("document.max_documents", self.max_documents)?;
        value::positive("document.at_once", self.at_once)
    }
}
