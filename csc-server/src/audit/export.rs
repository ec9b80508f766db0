//! The log outside the database: JSON lines. A whole export has rows and checkpoints in the order in which they are proven; a filtered one
//! has a proof for each row.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
    ops::ControlFlow,
};

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::Checkpoint,
    key::Keys,
    log::{Item, walk},
    proof::{Proof, Segment},
    row::{Hash, Row},
    verify::{Anchor, Finding, Kind, Verdict, Verifier, Where},
};
use crate::{
    clock::Millis,
    store::{Store, StoreError},
};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// A row of a whole export.
    Row(Row),
    /// A checkpoint of a whole export, over the rows since the one before.
    Checkpoint(Checkpoint),
    /// A row of a filtered export.
    Proof(Proof),
    /// A row of a filtered export that no checkpoint covers yet.
    Unsealed(Row),
}

/// Which rows are exported; every condition that is there must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From this time on.
    pub from: Option<Millis>,
    /// Before this time.
    pub to: Option<Millis>,
    /// About the person with this pseudonym.
    pub person: Option<String>,
    /// About this credential.
    pub credential: Option<String>,
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        self.from.is_none()
            && self.to.is_none()
            && self.person.is_none()
            && self.credential.is_none()
    }

    fn takes(&self, row: &Row) -> bool {
        self.from.is_none_or(|from| row.time >= from)
            && self.to.is_none_or(|to| row.time < to)
            && self
                .person
                .as_ref()
                .is_none_or(|person| row.person == *person)
            && self
                .credential
                .as_ref()
                .is_none_or(|id| names(&row.event, id))
    }
}

/// Whether the event is about this credential.
fn names(event: &str, credential: &str) -> bool {
    #[derive(Deserialize)]
    struct About {
        credential: Option<String>,
    }
    serde_json::from_str::<About>(event)
        .is_ok_and(|about| about.credential.as_deref() == Some(credential))
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A row that cannot even be written.
    #[error("the log is not intact: {0}")]
    Broken(Finding),
}

/// Writes the rows of the filter, each with what proves it; without a filter, everything. `progress` is told of each row read.
///
/// # Errors
/// When the database or the output fails.
pub async fn write(
    store: &Store,
    filter: &Filter,
    output: &mut impl Write,
    progress: impl Fn(),
) -> Result<u64, Error> {
    let mut writer = Writer {
        output,
        whole: filter.is_empty(),
        filter,
        segment: Segment::default(),
        before: HashMap::new(),
        sealed: true,
        written: 0,
    };
    let stopped = walk(&mut store.snapshot().await?, |item| {
        if matches!(item, Item::Row(_)) {
            progress();
        }
        match writer.take(item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    })
    .await?;
    if let Some(error) = stopped {
        return Err(error);
    }
    writer.finish()
}

struct Writer<'a, W> {
    output: &'a mut W,
    filter: &'a Filter,
    whole: bool,
    segment: Segment,
    /// The last hash of each chain.
    before: HashMap<String, Hash>,
    sealed: bool,
    written: u64,
}

impl<W: Write> Writer<'_, W> {
    fn take(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Row(row) if self.whole => self.line(&Line::Row(row)),
            Item::Checkpoint(_, checkpoint) if self.whole => {
                self.line(&Line::Checkpoint(checkpoint))
            }
            Item::Row(row) => {
                let before = self.before.insert(row.chain.clone(), row.hash);
                let wanted = self.filter.takes(&row);
                if self.sealed {
                    self.segment.push(row, before.unwrap_or_default(), wanted);
                } else if wanted {
                    self.line(&Line::Unsealed(row))?;
                }
                Ok(())
            }
            Item::Checkpoint(_, checkpoint) => {
                for proof in std::mem::take(&mut self.segment).proofs(&checkpoint) {
                    self.line(&Line::Proof(proof))?;
                }
                Ok(())
            }
            Item::Unsealed => {
                self.sealed = false;
                Ok(())
            }
            Item::Garbled { chain, sequence } => {
                let why = "a column has a value that no row has";
                Err(Error::Broken(Finding::row(
                    &chain,
                    sequence,
                    Kind::Changed,
                    why,
                )))
            }
        }
    }

    fn line(&mut self, line: &Line) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.output, line).map_err(io::Error::from)?;
        self.output.write_all(b"\n")?;
        self.written += u64::from(!matches!(line, Line::Checkpoint(_)));
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        self.output.flush()?;
        Ok(self.written)
    }
}

/// What an export shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The whole log.
    Whole(Verdict),
    /// Some of its rows.
    Rows {
        /// With proof.
        proven: u64,
        /// Not yet covered by a checkpoint: not proven at all.
        unproven: u64,
    },
}

/// Verifies an export against the public keys alone. `progress` is told how many octets were read.
///
/// # Errors
/// The first thing that is wrong, or a file that cannot be read.
pub fn verify(
    input: impl BufRead,
    keys: Keys,
    anchor: Option<Anchor>,
    progress: impl Fn(u64),
) -> io::Result<Result<Shown, Finding>> {
    let mut verifier = Verifier::new(keys.clone(), anchor);
    let (mut proven, mut unproven) = (0, 0);
    let mut whole = None;
    for (number, text) in (1..).zip(input.lines()) {
        let text = text?;
        progress(text.len() as u64 + 1);
        let line: Option<Line> = serde_json::from_str(&text).ok();
        let of_whole = matches!(line, Some(Line::Row(_) | Line::Checkpoint(_)));
        let line = line.filter(|_| *whole.get_or_insert(of_whole) == of_whole);
        let taken = match line {
            Some(Line::Row(row)) => verifier.take(&Item::Row(row)),
            Some(Line::Checkpoint(signed)) => {
                verifier.take(&Item::Checkpoint(signed.claimed_number(), signed))
            }
            Some(Line::Proof(proof)) => {
                proven += 1;
                proof.check(&keys).map(drop)
            }
            Some(Line::Unsealed(_)) => {
                unproven += 1;
                Ok(())
            }
            None => Err(Finding {
                place: Where::Line(number),
                kind: Kind::Unreadable,
                why: "no line of an export, or of another kind of export than the lines before",
            }),
        };
        if let Err(finding) = taken {
            return Ok(Err(finding));
        }
    }
    Ok(match whole {
        Some(false) => Ok(Shown::Rows { proven, unproven }),
        _ => verifier.finish().map(Shown::Whole),
    })
}
