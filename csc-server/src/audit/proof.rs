//! Proofs that stand alone: a row, its way up the Merkle tree, and the signed checkpoint over it.

use ct_merkle::{InclusionProof, RootHash};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    checkpoint::{Body, Checkpoint, Leaves, MAX_ROWS},
    key::Keys,
    row::{Hash, Row, columns},
    verify::{Finding, Kind},
};
use crate::{
    params,
    store::{Store, StoreError},
};

/// A row, and what proves that it was in the log when the checkpoint was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The row.
    pub row: Row,
    /// The hash of the row before it.
    pub before: Hash,
    /// Which leaf of the tree it is, from 0.
    pub index: u64,
    /// The siblings from the leaf to the root.
    pub path: Vec<Hash>,
    /// The checkpoint with the root.
    pub checkpoint: Checkpoint,
}

impl Proof {
    /// Checks every step from the row to the signature: what the checkpoint says.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, keys: &Keys) -> Result<Body, Finding> {
        let Row {
            chain, sequence, ..
        } = &self.row;
        let changed = |why| Finding::row(chain, *sequence, Kind::Changed, why);
        if self.row.hash_after(&self.before) != self.row.hash {
            return Err(changed(
                "its hash is not that of its content after the row before",
            ));
        }
        let opened = keys.open(&self.checkpoint);
        let body = opened.map_err(|why| Finding {
            kind: Kind::BadCheckpoint,
            ..changed(why)
        })?;
        let path = self.path.iter().flat_map(|hash| hash.0).collect();
        let included = body.rows <= MAX_ROWS
            && InclusionProof::<Sha256>::try_from_bytes(path).is_ok_and(|path| {
                RootHash::<Sha256>::new(body.root.0.into(), body.rows)
                    .verify_inclusion(&self.row.hash, self.index, &path)
                    .is_ok()
            });
        if !included {
            return Err(changed("it does not lead to the root of its checkpoint"));
        }
        Ok(body)
    }
}

/// The rows of one checkpoint, while proofs are made for some of them.
#[derive(Default)]
pub(super) struct Segment {
    leaves: Leaves,
    wanted: Vec<(u64, Hash, Row)>,
}

impl Segment {
    /// The next row, after the row with the hash `before`.
    pub(super) fn push(&mut self, row: Row, before: Hash, wanted: bool) {
        let index = self.leaves.count();
        self.leaves.push(row.hash);
        if wanted {
            self.wanted.push((index, before, row));
        }
    }

    /// The proofs of the rows that were wanted.
    pub(super) fn proofs(self, checkpoint: &Checkpoint) -> impl Iterator<Item = Proof> {
        let Self { leaves, wanted } = self;
        wanted.into_iter().map(move |(index, before, row)| Proof {
            row,
            before,
            index,
            path: usize::try_from(index).map_or_else(|_| Vec::new(), |index| leaves.path(index)),
            checkpoint: checkpoint.clone(),
        })
    }
}

/// The proof of one row; `None` while no checkpoint covers it.
///
/// # Errors
/// When the database fails, or the log is so damaged that the row cannot be placed.
pub async fn of(store: &Store, chain: &str, sequence: i64) -> Result<Option<Proof>, StoreError> {
    const COVERING: &str = "SELECT c.body, c.signature FROM checkpoint_head h JOIN checkpoint c ON c.number = h.checkpoint
                            WHERE h.chain = $1 AND h.sequence >= $2 ORDER BY h.sequence LIMIT 1";
    const ROWS: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM audit WHERE chain = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence"
    );
    let Some(mut row) = store.find(COVERING, params![chain, sequence]).await? else {
        return Ok(None);
    };
    let checkpoint = Checkpoint {
        body: row.get(0)?,
        signature: row.get(1)?,
    };
    let body: Body = serde_json::from_str(&checkpoint.body)
        .map_err(|_| StoreError::Corrupt("the body of a checkpoint"))?;
    let mut segment = Segment::default();
    for head in body.heads {
        // One row more, for the hash that the first row follows.
        let rows = params![head.chain.as_str(), head.first - 1, head.last];
        let mut before = Hash::default();
        for row in store.query(ROWS, rows).await? {
            let row = Row::read(row)?;
            let hash = row.hash;
            if row.sequence >= head.first {
                let wanted = row.chain == chain && row.sequence == sequence;
                segment.push(row, before, wanted);
            }
            before = hash;
        }
    }
    Ok(segment.proofs(&checkpoint).next())
}

/// Chain and sequence of the row that says that the hash at this position of an activation was signed.
///
/// # Errors
/// When the database fails.
pub async fn signature(
    store: &Store,
    person: &str,
    activation: &str,
    position: u32,
) -> Result<Option<(String, i64)>, StoreError> {
    const SQL: &str = "SELECT chain, sequence, event FROM audit WHERE person = $1 AND event LIKE $2 ORDER BY time";
    /// The members of [`super::Event::SignOk`] that are looked for.
    #[derive(Deserialize)]
    struct SignOk {
        event: String,
        activation: String,
        signatures: Vec<Signed>,
    }
    #[derive(Deserialize)]
    struct Signed {
        position: u32,
    }
    let like = format!("%{activation}%");
    for mut row in store.query(SQL, params![person, like.as_str()]).await? {
        let event: String = row.get(2)?;
        let Ok(event) = serde_json::from_str::<SignOk>(&event) else {
            continue;
        };
        let mut positions = event.signatures.iter().map(|signed| signed.position);
        if event.event == "SIGN_OK"
            && event.activation == activation
            && positions.any(|at| at == position)
        {
            return Ok(Some((row.get(0)?, row.get(1)?)));
        }
    }
    Ok(None)
}
