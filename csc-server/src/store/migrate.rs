//! The schema, brought up to date when the database is opened.

use super::{
    StoreError,
    tx::{Source, Tx},
};
use crate::params;

/// Each step in both dialects; they differ in BLOB and BYTEA only.
const STEPS: [(&str, &str); 6] = [
    (
        include_str!("migrations/sqlite/0001_start.sql"),
        include_str!("migrations/postgres/0001_start.sql"),
    ),
    (
        include_str!("migrations/sqlite/0002_oauth.sql"),
        include_str!("migrations/postgres/0002_oauth.sql"),
    ),
    (
        include_str!("migrations/sqlite/0003_portal.sql"),
        include_str!("migrations/postgres/0003_portal.sql"),
    ),
    (
        include_str!("migrations/sqlite/0004_operation.sql"),
        include_str!("migrations/postgres/0004_operation.sql"),
    ),
    (
        include_str!("migrations/sqlite/0005_question.sql"),
        include_str!("migrations/postgres/0005_question.sql"),
    ),
    (
        include_str!("migrations/sqlite/0006_rate.sql"),
        include_str!("migrations/postgres/0006_rate.sql"),
    ),
];

pub(super) async fn run(source: &mut Source) -> Result<(), StoreError> {
    let mut tx = Tx::begin(source).await?;
    match steps(&mut tx).await {
        Ok(()) => tx.end("COMMIT", source).await,
        Err(error) => {
            tx.end("ROLLBACK", source).await?;
            Err(error)
        }
    }
}

async fn steps(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.is_postgres() {
        // Nodes that start together take turns.
        tx.script("SELECT pg_advisory_xact_lock(1129530113)")
            .await?;
    }
    tx.script("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .await?;
    let done = match tx.find("SELECT version FROM schema_version", &[]).await? {
        Some(mut row) => row.get::<u32>(0)? as usize,
        None => {
            tx.execute("INSERT INTO schema_version (version) VALUES (0)", &[])
                .await?;
            0
        }
    };
    if done > STEPS.len() {
        return Err(StoreError::Database(format!(
            "the schema has version {done}, this program knows {}: start the newer program",
            STEPS.len()
        )));
    }
    for (sqlite, postgres) in STEPS.iter().skip(done) {
        let step = if tx.is_postgres() { postgres } else { sqlite };
        tx.script(step).await?;
    }
    tx.execute(
        "UPDATE schema_version SET version = $1",
        params![STEPS.len() as i64],
    )
    .await?;
    Ok(())
}
