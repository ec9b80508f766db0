//! The outbox folder: a file a message, for demonstrations and tests.

use std::path::Path;

use tokio::io::AsyncWriteExt;

/// A file that is there whole or not at all, and nobody else's to read.
pub(super) async fn put(folder: &Path, name: &str, octets: &[u8]) -> std::io::Result<()> {
    let partial = folder.join(format!(".{name}.partial"));
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .await?;
    file.write_all(octets).await?;
    file.sync_all().await?;
    tokio::fs::rename(&partial, folder.join(name)).await
}
