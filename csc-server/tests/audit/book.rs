//! A log with several chains and checkpoints, and a copy of it that can be changed and put back.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use csc_server::{
    audit::{
        self, Body, Checkpoint, Event, Hash, Keeper, Keys, Row, export,
        verify::{Anchor, Finding, Verdict, Verifier},
    },
    clock::Clock,
    params,
    store::{Store, Tx},
};
use hsm_adapter::{Issuer, KeyAlgorithm, Pool, PoolLimits, memory::MemoryToken};

use crate::support::Database;

/// How often a keeper makes a checkpoint.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// A small pool.
pub(crate) const LIMITS: PoolLimits = PoolLimits {
    sessions: 1,
    queue: 16,
    deadline: Duration::from_secs(20),
};

/// Chains that are written to, and a keeper.
pub(crate) struct Book {
    pub(crate) nodes: Vec<Store>,
    pub(crate) clock: Clock,
    pub(crate) token: MemoryToken,
    pub(crate) issuer: Issuer,
    pub(crate) keys: Keys,
    _database: Database,
}

impl Book {
    /// As many chains as `nodes`.
    pub(crate) async fn open(database: &Database, nodes: usize) -> Self {
        let token = MemoryToken::new("issuer");
        let issuer = Issuer::new(Pool::start(Arc::new(token.clone()), LIMITS).unwrap());
        issuer
            .ensure(audit::LABEL, KeyAlgorithm::P256)
            .await
            .unwrap();
        let mut stores = Vec::new();
        for _ in 0..nodes {
            stores.push(database.node().await);
        }
        Self {
            nodes: stores,
            clock: Clock::Manual(Arc::new(AtomicI64::new(1_000_000))),
            token,
            keys: Keys::of(&issuer).await.unwrap(),
            issuer,
            _database: database.clone(),
        }
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, time: Duration) {
        if let Clock::Manual(now) = &self.clock {
            now.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
        }
    }

    /// Rows in the chain of a node, each in a transaction of its own.
    pub(crate) async fn record(&self, node: usize, rows: usize) {
        for _ in 0..rows {
            self.pass(Duration::from_millis(1));
            let event = Event::LoginFail {
                client: "direct".into(),
            };
            audit::note(&self.nodes[node], self.clock.now(), "somebody", event)
                .await
                .unwrap();
        }
    }

    /// A keeper of this node.
    pub(crate) async fn keeper(&self, node: usize) -> Keeper {
        let store = self.nodes[node].clone();
        Keeper::new(store, self.clock.clone(), self.issuer.clone(), EVERY)
            .await
            .unwrap()
    }

    /// Covers every row.
    pub(crate) async fn seal(&self) {
        self.keeper(0).await.seal().await.unwrap();
    }

    /// Whether the log in the database is intact.
    pub(crate) async fn verify(&self, anchor: Option<Anchor>) -> Result<Verdict, Finding> {
        let mut verifier = Verifier::new(self.keys.clone(), anchor);
        let mut snapshot = self.nodes[0].snapshot().await.unwrap();
        let found = audit::walk(&mut snapshot, |item| match verifier.take(&item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(finding) => ControlFlow::Break(finding),
        });
        match found.await.unwrap() {
            Some(finding) => Err(finding),
            None => verifier.finish(),
        }
    }

    /// How many events of this name the log has.
    pub(crate) async fn events(&self, name: &str) -> usize {
        let rows = self.tables().await.rows;
        rows.values().filter(|row| row.event.contains(name)).count()
    }

    /// The whole log as JSON lines.
    pub(crate) async fn export(&self) -> String {
        let mut lines = Vec::new();
        let filter = export::Filter::default();
        export::write(&self.nodes[0], &filter, &mut lines, || {})
            .await
            .unwrap();
        String::from_utf8(lines).unwrap()
    }

    /// What stands in the tables.
    pub(crate) async fn tables(&self) -> Tables {
        const ROWS: &str = "SELECT chain, sequence, version, time, event, person, hash FROM audit";
        const CHECKPOINTS: &str = "SELECT number, body, signature FROM checkpoint";
        let mut tables = Tables::default();
        for mut row in self.nodes[0].query(ROWS, &[]).await.unwrap() {
            let place = (row.get(0).unwrap(), row.get(1).unwrap());
            let content = Content {
                version: row.get(2).unwrap(),
                time: row.get(3).unwrap(),
                event: row.get(4).unwrap(),
                person: row.get(5).unwrap(),
                hash: row.get(6).unwrap(),
            };
            tables.rows.insert(place, content);
        }
        for mut row in self.nodes[0].query(CHECKPOINTS, &[]).await.unwrap() {
            let checkpoint = Checkpoint {
                body: row.get(1).unwrap(),
                signature: row.get(2).unwrap(),
            };
            tables.checkpoints.insert(row.get(0).unwrap(), checkpoint);
        }
        tables
    }

    /// Makes the tables hold this.
    pub(crate) async fn put(&self, tables: &Tables) {
        let tables = tables.clone();
        self.nodes[0]
            .write(async move |tx: &mut Tx| {
                tx.execute("DELETE FROM audit", &[]).await?;
                for ((chain, sequence), row) in &tables.rows {
                    tx.execute(
                        "INSERT INTO audit (chain, sequence, version, time, event, person, hash)
                         VALUES ($1, $2, $3, $4, $5, $6, $7)",
                        params![
                            chain.as_str(),
                            *sequence,
                            row.version,
                            row.time,
                            row.event.as_str(),
                            row.person.as_str(),
                            row.hash
                        ],
                    )
                    .await?;
                }
                tx.execute("DELETE FROM checkpoint", &[]).await?;
                for (number, checkpoint) in &tables.checkpoints {
                    tx.execute(
                        "INSERT INTO checkpoint (number, body, signature) VALUES ($1, $2, $3)",
                        params![
                            *number,
                            checkpoint.body.as_str(),
                            checkpoint.signature.clone()
                        ],
                    )
                    .await?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// Chain and sequence.
pub(crate) type Place = (String, i64);

/// A row without its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) version: i64,
    pub(crate) time: i64,
    pub(crate) event: String,
    pub(crate) person: String,
    pub(crate) hash: [u8; 32],
}

/// The log as tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<Place, Content>,
    pub(crate) checkpoints: BTreeMap<i64, Checkpoint>,
}

impl Tables {
    /// The chains, and the last row of each.
    pub(crate) fn last(&self) -> BTreeMap<String, i64> {
        self.rows.keys().cloned().collect()
    }

    /// From which row to which a checkpoint covers the chain around this row; nothing when none does.
    pub(crate) fn segment(&self, (chain, sequence): &Place) -> Option<(i64, i64)> {
        let bodies = self.checkpoints.values().map(|checkpoint| {
            serde_json::from_str::<Body>(&checkpoint.body)
                .unwrap()
                .heads
        });
        let mut heads = bodies.flatten().filter(|head| head.chain == *chain);
        let covering = heads.find(|head| (head.first..=head.last).contains(sequence));
        covering.map(|head| (head.first, head.last))
    }

    /// Puts a well-made row at this place, after what stands before it.
    pub(crate) fn forge(&mut self, (chain, sequence): &Place, event: &str) {
        let before = self.rows.get(&(chain.clone(), sequence - 1));
        let before = Hash(before.map_or([0; 32], |row| row.hash));
        let row = Row {
            chain: chain.clone(),
            sequence: *sequence,
            version: 1,
            time: 1_000_000,
            event: event.to_owned(),
            person: String::new(),
            hash: Hash::default(),
        };
        let content = Content {
            version: row.version,
            time: row.time,
            event: row.event.clone(),
            person: row.person.clone(),
            hash: row.hash_after(&before).0,
        };
        self.rows.insert((chain.clone(), *sequence), content);
    }

    /// The row at this place.
    pub(crate) fn row(&self, place: &Place) -> Row {
        let content = self.rows[place].clone();
        Row {
            chain: place.0.clone(),
            sequence: place.1,
            version: content.version,
            time: content.time,
            event: content.event,
            person: content.person,
            hash: Hash(content.hash),
        }
    }

    /// Moves the rows of a chain from this one on to the next place.
    pub(crate) fn make_room(&mut self, (chain, sequence): &Place) {
        let from = (chain.clone(), *sequence)..=(chain.clone(), i64::MAX);
        let moved: Vec<_> = self
            .rows
            .range(from)
            .map(|(place, row)| (place.1, row.clone()))
            .collect();
        for (at, row) in moved.into_iter().rev() {
            self.rows.remove(&(chain.clone(), at));
            self.rows.insert((chain.clone(), at + 1), row);
        }
    }
}
