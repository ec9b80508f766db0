//! The chain that this process writes. One chain a process start, commands of the terminal included, so that nodes never wait
//! for each other.

use super::row::{Hash, Row};
use crate::{
    ids::random_id,
    store::{Entry, Journal, Statement, Value},
};

/// The chain of this process.
pub struct Chain {
    id: String,
    durable: Head,
    tentative: Head,
}

#[derive(Clone, Copy, Default)]
struct Head {
    sequence: i64,
    hash: Hash,
}

impl Chain {
    /// A new chain.
    pub fn start() -> Self {
        Self {
            id: random_id(),
            durable: Head::default(),
            tentative: Head::default(),
        }
    }

    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Journal for Chain {
    fn seal(&mut self, entries: &[Entry]) -> Vec<Statement> {
        self.tentative = self.durable;
        entries
            .iter()
            .map(|entry| {
                let Head { sequence, hash } = self.tentative;
                let row = Row::after(&hash, &self.id, sequence + 1, entry);
                self.tentative = Head {
                    sequence: row.sequence,
                    hash: row.hash,
                };
                insert(row)
            })
            .collect()
    }

    fn settle(&mut self, durable: bool) {
        if durable {
            self.durable = self.tentative;
        }
    }
}

fn insert(row: Row) -> Statement {
    Statement {
        sql: "INSERT INTO audit (chain, sequence, version, time, event, person, hash)
              VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params: vec![
            Value::Text(row.chain),
            row.sequence.into(),
            row.version.into(),
            row.time.into(),
            Value::Text(row.event),
            Value::Text(row.person),
            row.hash.0.into(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: &str) -> Entry {
        Entry {
            time: 5,
            event: event.into(),
            person: String::new(),
        }
    }

    fn hashes(statements: &[Statement]) -> Vec<Value> {
        statements
            .iter()
            .map(|statement| statement.params[6].clone())
            .collect()
    }

    #[test]
    fn a_batch_that_was_rolled_back_leaves_no_gap_in_the_chain() {
        let mut chain = Chain::start();
        let lost = chain.seal(&[entry("a"), entry("b")]);
        chain.settle(false);
        let kept = chain.seal(&[entry("a"), entry("b")]);
        assert_eq!(hashes(&lost), hashes(&kept));
        chain.settle(true);
        assert_eq!(chain.seal(&[entry("c")])[0].params[1], Value::Int(3));
    }
}
