//! What the log vouches for in a table. Events tell the values of some columns; what seldom changes stands in the *record* of a
//! row: SHA-256 over those columns, told by the event that wrote them. A row that changes has a version, which goes up by one with
//! each change that is told, so that the changes have one order, whatever node made them.
//!
//! Ciphertext is in no record: it opens in its place only, and may be encrypted anew without a change of what it says.

use sha2::{Digest, Sha256};

use crate::store::{Row, StoreError, Tx, Value};

/// A table whose rows the log vouches for.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that name a row.
    pub keys: &'static [&'static str],
    /// The columns whose values events tell.
    pub told: &'static [&'static str],
    /// The columns of the record, or expressions of them.
    pub recorded: &'static [&'static str],
    /// The record of one row, by the first key.
    pub(crate) one: &'static str,
    /// Every row: keys, then what is told, then the record.
    pub(crate) all: &'static str,
}

/// Writes the SQL of a [`Table`].
macro_rules! table {
    ($name:literal, key [$key:literal $(, $more:literal)*], told [$($told:literal),* $(,)?], recorded [$($recorded:literal),* $(,)?]) => {
        $crate::audit::Table {
            name: $name,
            keys: &[$key $(, $more)*],
            told: &[$($told),*],
            recorded: &[$($recorded),*],
            one: concat!("SELECT ", $key $(, ", ", $recorded)*, " FROM ", $name, " WHERE ", $key, " = $1"),
            all: concat!("SELECT ", $key $(, ", ", $more)* $(, ", ", $told)* $(, ", ", $recorded)*, " FROM ", $name),
        }
    };
}
pub(crate) use table;

impl Table {
    /// The record of the row with this key as the unit leaves it, hexadecimal.
    ///
    /// # Errors
    /// When the database fails or there is no such row.
    pub async fn record(&self, tx: &mut Tx, key: impl Into<Value>) -> Result<String, StoreError> {
        let row = tx.find(self.one, &[key.into()]).await?;
        let row = row.ok_or(StoreError::Corrupt("a row that was just written"))?;
        Ok(record(row.values().get(1..).unwrap_or_default()))
    }

    /// What a row of `all` says: its key, what is told, the record.
    pub(crate) fn read(&self, row: &Row) -> (String, Vec<Value>, String) {
        let (key, rest) = row.values().split_at(self.keys.len());
        let (told, recorded) = rest.split_at(self.told.len());
        let key: Vec<_> = key.iter().map(text).collect();
        (key.join("/"), told.to_vec(), record(recorded))
    }
}

/// As text: integers decimal, octets hexadecimal.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null(_) => String::new(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Octets(octets) => hex::encode(octets),
    }
}

/// SHA-256 over the values, each behind its type and its length.
fn record(values: &[Value]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"record/1");
    for value in values {
        let (kind, octets) = match value {
            Value::Null(_) => (0_u8, Vec::new()),
            Value::Int(number) => (1, number.to_be_bytes().to_vec()),
            Value::Text(text) => (2, text.clone().into_bytes()),
            Value::Octets(octets) => (3, octets.clone()),
        };
        hash.update([kind]);
        hash.update((octets.len() as u64).to_be_bytes());
        hash.update(octets);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;

    #[test]
    fn no_two_rows_have_one_record() {
        let text = |text: &str| Value::Text(text.into());
        let rows = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![text("abc")],
            vec![Value::Octets(b"abc".into())],
            vec![Value::Int(0)],
            vec![Value::Octets(vec![0; 8])],
            vec![Value::Null(Kind::Int)],
            vec![text("")],
            vec![],
        ];
        for (number, row) in rows.iter().enumerate() {
            for other in &rows[number + 1..] {
                assert_ne!(record(row), record(other), "{row:?} {other:?}");
            }
        }
        assert_eq!(
            record(&[Value::Null(Kind::Int)]),
            record(&[Value::Null(Kind::Text)])
        );
    }
}
