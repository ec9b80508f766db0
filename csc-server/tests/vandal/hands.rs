//! The hands of the vandal: a connection to the file beside the service's, which keeps no foreign keys.

use csc_server::store::Location;
use rusqlite::{Connection, params, types::Value};

use crate::support::Database;

/// SQLite's own number of a row.
pub(crate) type Number = i64;

/// The connection.
pub(crate) struct Hands(Connection);

/// A row as it stood: columns by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) table: String,
    pub(crate) number: Number,
    pub(crate) columns: Vec<(String, Value)>,
}

impl Row {
    /// What stands in a column.
    pub(crate) fn get(&self, column: &str) -> &Value {
        let found = self.columns.iter().find(|(name, _)| name == column);
        &found.expect("the table has the column").1
    }
}

impl Hands {
    pub(crate) fn on(database: &Database) -> Self {
        let Location::Sqlite(path) = &database.location else {
            panic!("the vandal works on SQLite");
        };
        let connection = Connection::open(path).unwrap();
        let set = "PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 10000";
        connection.execute_batch(set).unwrap();
        Self(connection)
    }

    /// Every table and its columns, in their order.
    pub(crate) fn schema(&self) -> Vec<(String, String)> {
        let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid";
        let mut statement = self.0.prepare(sql).unwrap();
        let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        columns.unwrap().map(Result::unwrap).collect()
    }

    /// Every row of a table.
    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        let sql = format!("SELECT rowid, * FROM {table} ORDER BY rowid");
        let mut statement = self.0.prepare(&sql).unwrap();
        let names = statement.column_names();
        let names: Vec<_> = names[1..].iter().map(|name| (*name).to_owned()).collect();
        let rows = statement.query_map([], |row| {
            let columns = names.iter().enumerate();
            let columns = columns.map(|(index, name)| Ok((name.clone(), row.get(index + 1)?)));
            Ok(Row {
                table: table.to_owned(),
                number: row.get(0)?,
                columns: columns.collect::<Result<_, rusqlite::Error>>()?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The row that has this in a column.
    pub(crate) fn row(&self, table: &str, column: &str, value: &str) -> Row {
        let value = Value::Text(value.to_owned());
        let mut rows = self.rows(table).into_iter();
        let found = rows.find(|row| *row.get(column) == value);
        found.unwrap_or_else(|| panic!("no {table} with {column} = {value:?}"))
    }

    /// Writes into a column of a row; false when a constraint of the schema does not let him.
    pub(crate) fn write(&self, row: &Row, column: &str, value: &Value) -> bool {
        let sql = format!("UPDATE {} SET {column} = ?1 WHERE rowid = ?2", row.table);
        match self.0.execute(&sql, params![value, row.number]) {
            Ok(changed) => {
                assert_eq!(changed, 1, "{sql}");
                true
            }
            Err(error) => {
                let constraint = rusqlite::ErrorCode::ConstraintViolation;
                assert_eq!(
                    error.sqlite_error_code(),
                    Some(constraint),
                    "{sql}: {error}"
                );
                false
            }
        }
    }

    /// Makes a row what it was.
    pub(crate) fn put_back(&self, row: &Row) {
        for (column, value) in &row.columns {
            assert!(self.write(row, column, value), "{} {column}", row.table);
        }
    }

    /// How often it was alarmed that a row is not what the service wrote.
    pub(crate) fn alarms(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM audit WHERE event LIKE '%_INTEGRITY_FAIL\"%'";
        self.0.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Takes a row out.
    pub(crate) fn delete(&self, row: &Row) {
        let sql = format!("DELETE FROM {} WHERE rowid = ?1", row.table);
        assert_eq!(self.0.execute(&sql, [row.number]).unwrap(), 1);
    }

    /// Puts a row in; its new number, or nothing when a constraint of the schema does not let him.
    pub(crate) fn insert(&self, row: &Row) -> Option<Number> {
        let names: Vec<_> = row.columns.iter().map(|(name, _)| name.as_str()).collect();
        let marks: Vec<_> = (1..=names.len())
            .map(|number| format!("?{number}"))
            .collect();
        let (names, marks) = (names.join(", "), marks.join(", "));
        let sql = format!("INSERT INTO {} ({names}) VALUES ({marks})", row.table);
        let values = row.columns.iter().map(|(_, value)| value);
        let inserted = self.0.execute(&sql, rusqlite::params_from_iter(values));
        inserted.ok().map(|_| self.0.last_insert_rowid())
    }
}

/// Other values of the same type: what a hand may write that changes a little.
pub(crate) fn flipped(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![Value::Integer(1), Value::Text("1".into())],
        Value::Integer(number) => vec![Value::Integer(number + 1), Value::Integer(number - 1)],
        Value::Text(text) => {
            let replaced = |index: usize| {
                let mut octets = text.clone().into_bytes();
                octets[index] = if octets[index] == b'1' { b'2' } else { b'1' };
                Value::Text(String::from_utf8(octets).unwrap())
            };
            let digit = text.bytes().position(|octet| octet.is_ascii_digit());
            let last = text.len().checked_sub(1);
            let mut values: Vec<_> = last.into_iter().chain(digit).map(replaced).collect();
            values.push(Value::Text(format!("{text}1")));
            values
        }
        Value::Blob(octets) if octets.is_empty() => vec![Value::Blob(vec![0])],
        Value::Blob(octets) => {
            let flip = |index: usize| {
                let mut changed = octets.clone();
                changed[index] ^= 1;
                Value::Blob(changed)
            };
            let cut = octets[..octets.len() - 1].to_vec();
            vec![
                Value::Blob(Vec::new()),
                Value::Blob(cut),
                flip(octets.len() - 1),
                flip(0),
            ]
        }
        Value::Real(_) => panic!("no column holds one"),
    }
}

/// What may be written into a column of a row: a little changed, what others have there, what it had before.
pub(crate) fn writings(row: &Row, others: &[Row], before: &[Row], column: &str) -> Vec<Value> {
    let now = row.get(column);
    let others = others.iter().filter(|other| other.table == row.table);
    let older = before.iter();
    let older = older.filter(|older| older.table == row.table && older.number == row.number);
    let mut values: Vec<Value> = Vec::new();
    let taken = others.chain(older).map(|other| other.get(column).clone());
    for value in flipped(now).into_iter().chain(taken) {
        if value != *now && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}
