//! The chain: `hash[n] = SHA-256("audit/1" ‖ hash[n-1] ‖ version ‖ chain ‖ sequence ‖ time ‖ event ‖ person)`, every
//! part with its length before it. One chain a process start, commands of the terminal included, so that nodes never wait for each
//! other; a chain begins with the all-zero hash.

use sha2::{Digest, Sha256};

use crate::{
    ids::random_id,
    store::{Entry, Journal, Statement, Value},
};

const VERSION: i64 = 1;

/// The chain of this process.
pub struct Chain {
    id: String,
    durable: Head,
    tentative: Head,
}

#[derive(Clone, Copy)]
struct Head {
    sequence: i64,
    hash: [u8; 32],
}

impl Chain {
    /// A new chain.
    pub fn start() -> Self {
        let head = Head {
            sequence: 0,
            hash: [0; 32],
        };
        Self {
            id: random_id(),
            durable: head,
            tentative: head,
        }
    }
}

impl Journal for Chain {
    fn seal(&mut self, entries: &[Entry]) -> Vec<Statement> {
        self.tentative = self.durable;
        entries
            .iter()
            .map(|entry| {
                let sequence = self.tentative.sequence + 1;
                let hash = row_hash(&self.tentative.hash, &self.id, sequence, entry);
                self.tentative = Head { sequence, hash };
                Statement {
                    sql: "INSERT INTO audit (chain, sequence, version, time, event, person, hash)
                          VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    params: vec![
                        Value::from(self.id.as_str()),
                        sequence.into(),
                        VERSION.into(),
                        entry.time.into(),
                        Value::from(entry.event.as_str()),
                        Value::from(entry.person.as_str()),
                        hash.into(),
                    ],
                }
            })
            .collect()
    }

    fn settle(&mut self, durable: bool) {
        if durable {
            self.durable = self.tentative;
        }
    }
}

fn row_hash(before: &[u8; 32], chain: &str, sequence: i64, entry: &Entry) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"audit/1");
    for part in [
        before.as_slice(),
        &VERSION.to_be_bytes(),
        chain.as_bytes(),
        &sequence.to_be_bytes(),
        &entry.time.to_be_bytes(),
        entry.event.as_bytes(),
        entry.person.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
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

    #[test]
    fn a_row_depends_on_the_row_before_and_on_each_of_its_fields() {
        let before = [0; 32];
        let base = row_hash(&before, "c", 1, &entry("a"));
        assert_ne!(base, row_hash(&[1; 32], "c", 1, &entry("a")));
        assert_ne!(base, row_hash(&before, "d", 1, &entry("a")));
        assert_ne!(base, row_hash(&before, "c", 2, &entry("a")));
        assert_ne!(base, row_hash(&before, "c", 1, &entry("b")));
        assert_ne!(
            base,
            row_hash(
                &before,
                "c",
                1,
                &Entry {
                    time: 6,
                    ..entry("a")
                }
            )
        );
        assert_ne!(
            base,
            row_hash(
                &before,
                "c",
                1,
                &Entry {
                    person: "p".into(),
                    ..entry("a")
                }
            )
        );
    }
}
