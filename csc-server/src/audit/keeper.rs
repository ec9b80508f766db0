//! Makes the checkpoints: at intervals, when something happened, by one node at a time.

use std::time::Duration;

use hsm_adapter::{HsmError, Issuer};
use tokio::sync::watch;

use super::{
    Event,
    checkpoint::{Body, Checkpoint, Head, Leaves, MAX_ROWS, Spki},
    key::Keys,
    log::chains,
    record,
    row::Hash,
};
use crate::{
    clock::{Clock, Millis},
    params,
    store::{Store, StoreError},
    turn,
};

/// How long a node may work on its turn before another takes it: the wait for a session and two writes. Who dies at it holds nobody up longer.
pub(super) const LEASE: Millis = 10_000;
/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
const TURN: &str = "checkpoint";

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// Two at once would make two keys of one label.
    #[error(
        "the audit key is being rotated, or that was interrupted within the last minute; try again then"
    )]
    UnderWay,
}

/// Makes the checkpoints of this node.
#[derive(Clone)]
pub struct Keeper {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) issuer: Issuer,
    every: Duration,
}

/// What the next checkpoint follows.
#[derive(Default)]
pub(super) struct Last {
    number: i64,
    hash: Hash,
    /// The key that signs after it; `None` before the first.
    pub(super) signer: Option<Hash>,
}

/// A checkpoint that is ready to be signed.
pub(super) struct Next {
    body: Body,
    /// The version of the key that signs.
    key: u32,
    /// There is more than one checkpoint may cover.
    more: bool,
}

impl Keeper {
    /// With the audit key of the issuer slot; `every` is how long a row may wait for its checkpoint.
    ///
    /// # Errors
    /// [`HsmError::Missing`] before `slot init`, or when the HSM does not answer.
    pub async fn new(
        store: Store,
        clock: Clock,
        issuer: Issuer,
        every: Duration,
    ) -> Result<Self, HsmError> {
        Keys::of(&issuer).await?;
        Ok(Self {
            store,
            clock,
            issuer,
            every,
        })
    }

    /// Makes checkpoints until `stop` becomes true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(error) => {
                    metrics::counter!("csc_audit_checkpoint_failures_total").increment(1);
                    tracing::error!(%error, "no checkpoint of the audit log can be made");
                    RETRY.min(self.every)
                }
            };
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(wait, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Takes the turn if it is due and something happened: how long to wait for the next.
    ///
    /// # Errors
    /// When database or HSM fail; the turn is given back then.
    pub async fn turn(&self) -> Result<Duration, Error> {
        let now = self.clock.now();
        let wait = turn::wait(&self.store, TURN, now, self.longest()).await?;
        if wait > 0 {
            return Ok(Duration::from_millis(wait.unsigned_abs()).min(self.every));
        }
        if self.next(None).await?.is_none() {
            return Ok(self.every);
        }
        let lease = now + LEASE;
        if !turn::take(&self.store, TURN, now, lease, self.longest()).await? {
            return Ok(Duration::ZERO);
        }
        let sealed = self.seal().await;
        let wait = match &sealed {
            Ok(_) => self.every,
            Err(_) => RETRY.min(self.every),
        };
        let due = now + i64::try_from(wait.as_millis()).unwrap_or(LEASE);
        turn::give_back(&self.store, TURN, lease, due).await?;
        sealed.map(|_| wait)
    }

    /// How far off the turn may be put, with air for the clocks of two nodes.
    pub(super) fn longest(&self) -> Millis {
        2 * i64::try_from(self.every.as_millis())
            .unwrap_or(LEASE)
            .clamp(LEASE, i64::MAX / 4)
    }

    /// Covers every row there is now, whoever's turn it is: how many checkpoints that took. Of two nodes that do this at
    /// once, one writes each number.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn seal(&self) -> Result<u64, Error> {
        let mut made = 0;
        while let Some(next) = self.next(None).await? {
            let more = next.more;
            made += u64::from(self.sign(next).await?);
            if !more {
                break;
            }
        }
        Ok(made)
    }

    /// Signs a checkpoint and writes it; false when another node wrote this number.
    pub(super) async fn sign(&self, next: Next) -> Result<bool, Error> {
        let checkpoint = next.body.sign(&self.issuer, next.key).await?;
        Ok(self.write(&next, checkpoint).await?)
    }

    /// The last checkpoint there is.
    pub(super) async fn last(&self) -> Result<Last, StoreError> {
        const LAST: &str = "SELECT number, body FROM checkpoint ORDER BY number DESC LIMIT 1";
        let Some(mut row) = self.store.find(LAST, &[]).await? else {
            return Ok(Last::default());
        };
        let body: String = row.get(1)?;
        Ok(Last {
            number: row.get(0)?,
            hash: Hash::of(body.as_bytes()),
            signer: signer_after(&body),
        })
    }

    /// The next checkpoint, which announces this successor of its key; `None` when nothing happened since the last, and there is
    /// nothing to announce.
    pub(super) async fn next(&self, successor: Option<&Spki>) -> Result<Option<Next>, Error> {
        const GROWN: &str = chains!(
            "SELECT p.chain, p.covered FROM (
                 SELECT c.chain AS chain,
                     COALESCE((SELECT MAX(h.sequence) FROM checkpoint_head h WHERE h.chain = c.chain), 0) AS covered
                 FROM c WHERE c.chain IS NOT NULL
             ) p
             WHERE EXISTS (SELECT 1 FROM audit a WHERE a.chain = p.chain AND a.sequence > p.covered)
             ORDER BY p.chain"
        );
        const ROWS: &str = "SELECT sequence, hash FROM audit WHERE chain = $1 AND sequence > $2
                            ORDER BY sequence LIMIT $3";
        let last = self.last().await?;
        let grown = self.store.query(GROWN, &[]).await?;
        let chains = grown.len();
        let (mut heads, mut leaves) = (Vec::new(), Leaves::default());
        for mut row in grown {
            let (chain, covered): (String, i64) = (row.get(0)?, row.get(1)?);
            let room = i64::try_from(MAX_ROWS - leaves.count()).unwrap_or(i64::MAX);
            let rows = self
                .store
                .query(ROWS, params![chain.as_str(), covered, room])
                .await?;
            let mut last = None;
            for mut row in rows {
                let hash = Hash(row.get(1)?);
                leaves.push(hash);
                last = Some((row.get(0)?, hash));
            }
            if let Some((last, hash)) = last {
                heads.push(Head {
                    chain,
                    first: covered + 1,
                    hash,
                    last,
                });
            }
        }
        if heads.is_empty() && successor.is_none() {
            return Ok(None);
        }
        // A chain that was cut off by the limit, or did not get its turn, stands in the next.
        let more = leaves.count() == MAX_ROWS || heads.len() < chains;
        let keys = Keys::of(&self.issuer).await?;
        let (version, key) = keys.in_use(last.signer)?;
        let body = Body::new(
            key,
            last.number + 1,
            last.hash,
            self.clock.now(),
            heads,
            &leaves,
            successor.cloned(),
        );
        Ok(Some(Next {
            body,
            key: version,
            more,
        }))
    }

    /// False when another node wrote this number.
    async fn write(&self, next: &Next, checkpoint: Checkpoint) -> Result<bool, StoreError> {
        let (body, now) = (&next.body, self.clock.now());
        let announced = body.successor.is_some().then_some(next.key + 1);
        let (number, hash, rows, heads) = (
            body.number,
            checkpoint.hash(),
            body.rows,
            body.heads.clone(),
        );
        let written = self
            .store
            .write(async move |tx| {
                let written = tx
                    .execute(
                        "INSERT INTO checkpoint (number, body, signature) VALUES ($1, $2, $3)
                         ON CONFLICT (number) DO NOTHING",
                        params![number, checkpoint.body.as_str(), checkpoint.signature.clone()],
                    )
                    .await?;
                if written == 0 {
                    return Ok(false);
                }
                for head in &heads {
                    tx.execute(
                        "INSERT INTO checkpoint_head (chain, sequence, checkpoint) VALUES ($1, $2, $3)",
                        params![head.chain.as_str(), head.last, number],
                    )
                    .await?;
                }
                if let Some(version) = announced {
                    let rotated = Event::MasterRotated { key: "audit", version };
                    record(tx, now, "", &rotated);
                }
                Ok(true)
            })
            .await?;
        if written {
            metrics::counter!("csc_audit_checkpoints_total").increment(1);
            // The log line leaves the machine: whoever keeps it can tell when checkpoints are taken away later.
            tracing::info!(number, %hash, rows, "checkpoint");
        }
        Ok(written)
    }
}

/// The key that signs after a checkpoint, by its identifier.
fn signer_after(body: &str) -> Option<Hash> {
    let body: Body = serde_json::from_str(body).ok()?;
    Some(
        body.successor
            .map_or(body.key, |Spki(spki)| Hash::of(&spki)),
    )
}
