//! Whether a log is intact: rows and checkpoints in, the first bad one out. Keeps the heads of the chains and nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
};

use super::{
    checkpoint::{Checkpoint, Leaves, Spki},
    key::{Key, Keys},
    log::Item,
    row::{Hash, Row, VERSION},
};
use crate::clock::Millis;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Where,
    /// What.
    pub kind: Kind,
    /// In words.
    pub why: &'static str,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as what they are")]
pub enum Where {
    Row { chain: String, sequence: i64 },
    Checkpoint(i64),
    Line(u64),
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not what was written.
    Changed,
    /// It was taken out; what follows it is there.
    Missing,
    /// It was put in, or stands where it does not belong.
    Inserted,
    /// This row and all that followed it in its chain, or this checkpoint and all that followed it, were taken away.
    CutTail,
    /// A checkpoint that is not what the key signed, or does not follow from the one before.
    BadCheckpoint,
    /// A line of an export that is none of ours.
    Unreadable,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Where::Row { chain, sequence } => write!(f, "chain {chain}, row {sequence}")?,
            Where::Checkpoint(number) => write!(f, "checkpoint {number}")?,
            Where::Line(number) => write!(f, "line {number}")?,
        }
        let kind = match self.kind {
            Kind::Changed => "changed",
            Kind::Missing => "missing",
            Kind::Inserted => "inserted",
            Kind::CutTail => "cut tail",
            Kind::BadCheckpoint => "bad checkpoint",
            Kind::Unreadable => "unreadable",
        };
        write!(f, ": {kind}: {}", self.why)
    }
}

impl Finding {
    pub(crate) fn row(chain: &str, sequence: i64, kind: Kind, why: &'static str) -> Self {
        let chain = chain.to_owned();
        Self {
            place: Where::Row { chain, sequence },
            kind,
            why,
        }
    }

    pub(super) fn checkpoint(number: i64, why: &'static str) -> Self {
        Self {
            place: Where::Checkpoint(number),
            kind: Kind::BadCheckpoint,
            why,
        }
    }
}

/// A checkpoint that somebody remembers: `NUMBER:HASH`, as the service logs it and as `audit verify` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub number: i64,
    /// SHA-256 of its body.
    pub hash: Hash,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (number, hash) = text.split_once(':')?;
            let hash: [u8; 32] = hex::decode(hash).ok()?.try_into().ok()?;
            Some(Self {
                number: number.parse().ok()?,
                hash: Hash(hash),
            })
        };
        parse().ok_or("expected NUMBER:HASH, as `audit verify` prints it")
    }
}

/// What an intact log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows.
    pub rows: u64,
    /// Chains.
    pub chains: usize,
    /// The last checkpoint and its time: up to here everything is proven.
    pub proven: Option<(Anchor, Millis)>,
    /// Rows since then, sealed to each other and to nothing else yet.
    pub unsealed: u64,
    /// The time of the first of these.
    pub unsealed_since: Option<Millis>,
}

/// Verifies a log, piece by piece in its order.
pub struct Verifier {
    keys: Keys,
    /// What the next checkpoint must be signed with; before the first, any of `keys`.
    signer: Option<Key>,
    anchor: Option<Anchor>,
    heads: HashMap<String, Head>,
    /// The chains that grew since the last checkpoint, and from which row on.
    grown: BTreeMap<String, i64>,
    leaves: Leaves,
    verdict: Verdict,
    /// A checkpoint covers rows that did not come: missing if later ones of the chain do, cut off if none does.
    short: Option<(String, i64)>,
}

#[derive(Clone, Copy, Default)]
struct Head {
    sequence: i64,
    hash: Hash,
}

impl Verifier {
    /// Against these keys and those that succeed them, and a checkpoint that must be there.
    pub fn new(keys: Keys, anchor: Option<Anchor>) -> Self {
        Self {
            keys,
            signer: None,
            anchor,
            heads: HashMap::new(),
            grown: BTreeMap::new(),
            leaves: Leaves::default(),
            verdict: Verdict::default(),
            short: None,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn take(&mut self, item: &Item) -> Result<(), Finding> {
        match item {
            Item::Row(row) => self.row(row),
            Item::Garbled { chain, sequence } => {
                self.beyond(chain)?;
                let why = "a column has a value that no row has";
                Err(Finding::row(chain, *sequence, Kind::Changed, why))
            }
            Item::Checkpoint(number, checkpoint) => self.checkpoint(*number, checkpoint),
            Item::Unsealed => Ok(()),
        }
    }

    /// After the last piece.
    ///
    /// # Errors
    /// What was cut off at the end.
    pub fn finish(self) -> Result<Verdict, Finding> {
        if let Some((chain, sequence)) = self.short {
            let why = "a checkpoint covers it, and no later row of its chain is there";
            return Err(Finding::row(&chain, sequence, Kind::CutTail, why));
        }
        let proven = self.verdict.proven.map_or(0, |(last, _)| last.number);
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.number > proven) {
            return Err(Finding {
                place: Where::Checkpoint(proven + 1),
                kind: Kind::CutTail,
                why: if anchor.number == proven + 1 {
                    "it was there, and is not any more"
                } else {
                    "it and later ones were there, and are not any more"
                },
            });
        }
        Ok(Verdict {
            chains: self.heads.len(),
            ..self.verdict
        })
    }

    fn row(&mut self, row: &Row) -> Result<(), Finding> {
        self.beyond(&row.chain)?;
        if self.short.is_some() {
            return Ok(());
        }
        let head = self.heads.get(&row.chain).copied().unwrap_or_default();
        let finding = |sequence, kind, why| Err(Finding::row(&row.chain, sequence, kind, why));
        let next = head.sequence + 1;
        if row.sequence < next {
            let why = "its place in the chain was taken before";
            return finding(row.sequence, Kind::Inserted, why);
        }
        if row.sequence > next {
            return finding(next, Kind::Missing, "later rows of its chain are there");
        }
        if row.version != VERSION || row.hash_after(&head.hash) != row.hash {
            let why = "its hash is not that of its content after the row before";
            return finding(row.sequence, Kind::Changed, why);
        }
        let head = Head {
            sequence: row.sequence,
            hash: row.hash,
        };
        self.heads.insert(row.chain.clone(), head);
        if !self.grown.contains_key(&row.chain) {
            self.grown.insert(row.chain.clone(), row.sequence);
        }
        self.leaves.push(row.hash);
        self.verdict.rows += 1;
        self.verdict.unsealed += 1;
        let since = self.verdict.unsealed_since.unwrap_or(row.time);
        self.verdict.unsealed_since = Some(since.min(row.time));
        Ok(())
    }

    /// When rows of a chain did not come, and later ones of it do, the former were taken out of the middle.
    fn beyond(&self, chain: &str) -> Result<(), Finding> {
        match &self.short {
            Some((short, sequence)) if short == chain => {
                let why = "a checkpoint covers it, and later rows of its chain are there";
                Err(Finding::row(chain, *sequence, Kind::Missing, why))
            }
            _ => Ok(()),
        }
    }

    fn checkpoint(&mut self, number: i64, checkpoint: &Checkpoint) -> Result<(), Finding> {
        if self.short.is_some() {
            return Ok(());
        }
        let (last, previous) = match &self.verdict.proven {
            Some((last, _)) => (last.number, last.hash),
            None => (0, Hash::default()),
        };
        let bad = |why| Err(Finding::checkpoint(number, why));
        if number != last + 1 {
            return Err(Finding::checkpoint(last + 1, "it is not there"));
        }
        let signer = match &self.signer {
            Some(signer) => Ok(signer.clone()),
            None => self.keys.signer(checkpoint).cloned(),
        };
        let opened = signer.and_then(|signer| Ok((signer.open(checkpoint)?, signer)));
        let (body, signer) = match opened {
            Ok(opened) => opened,
            Err(why) => return bad(why),
        };
        if body.previous != previous {
            return bad("it does not follow the one before");
        }
        let anchor = Anchor {
            number,
            hash: checkpoint.hash(),
        };
        if self
            .anchor
            .is_some_and(|known| known.number == number && known != anchor)
        {
            return bad("it is not the one that was there");
        }
        for head in &body.heads {
            let ours = self.heads.get(&head.chain).copied().unwrap_or_default();
            let first = self.grown.remove(&head.chain).unwrap_or(ours.sequence + 1);
            let finding = |sequence, kind, why| Err(Finding::row(&head.chain, sequence, kind, why));
            if first != head.first {
                return bad("it covers rows that another covers, or leaves some out");
            }
            if ours.sequence < head.last {
                self.short = Some((head.chain.clone(), ours.sequence + 1));
                return Ok(());
            }
            if ours.sequence > head.last {
                let why = "the checkpoint over the rows around it does not cover it";
                return finding(head.last + 1, Kind::Inserted, why);
            }
            if ours.hash != head.hash {
                let why = "rows from here on were hashed anew: they do not lead to the hash that was signed";
                return finding(head.first, Kind::Changed, why);
            }
        }
        if let Some((chain, sequence)) = self.grown.pop_first() {
            let why = "the checkpoint over the rows around it does not cover it";
            return Err(Finding::row(&chain, sequence, Kind::Inserted, why));
        }
        let leaves = std::mem::take(&mut self.leaves);
        if leaves.count() != body.rows || leaves.root() != body.root {
            return bad("the tree over its rows has another root");
        }
        let successor = body.successor.map(|Spki(spki)| Key::new(spki));
        self.signer = Some(successor.unwrap_or(signer));
        self.verdict.proven = Some((anchor, body.time));
        self.verdict.unsealed = 0;
        self.verdict.unsealed_since = None;
        Ok(())
    }
}
