//! What a word list does to a copy of the database: every value of every column is held against every word and what can be computed from it
//! without the HSM.

use std::path::Path;

use hsm_adapter::{Cost, Stretcher};
use rusqlite::{Connection, types::Value};
use sha2::{Digest as _, Sha256};

/// A copy of the database.
pub(crate) struct Dump {
    /// Table, column, value.
    values: Vec<(String, String, Vec<u8>)>,
    /// Every salt with the cost beside it.
    salts: Vec<(Vec<u8>, Cost)>,
}

impl Dump {
    pub(crate) fn of(dir: &Path) -> Self {
        let database = Connection::open(dir.join("csc.sqlite")).unwrap();
        let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'";
        let mut values = Vec::new();
        for (table, column) in pairs::<String>(&database, sql) {
            let sql = format!("SELECT {column} FROM {table}");
            let mut statement = database.prepare(&sql).unwrap();
            let column_values = statement.query_map([], |row| row.get::<_, Value>(0));
            for value in column_values.unwrap() {
                let octets = match value.unwrap() {
                    Value::Text(text) => text.into_bytes(),
                    Value::Blob(octets) => octets,
                    _ => continue,
                };
                values.push((table.clone(), column.clone(), octets));
            }
        }
        let sql = "SELECT pin_salt, pin_cost FROM credential UNION SELECT puk_salt, puk_cost FROM credential
                   UNION SELECT password_salt, password_cost FROM holder UNION SELECT password_salt, password_cost FROM operator";
        let salts = pairs::<Vec<u8>>(&database, sql).into_iter();
        let salts = salts.map(|(salt, cost)| (salt, serde_json::from_str(&cost).unwrap()));
        Self {
            salts: salts.collect(),
            values,
        }
    }

    /// Where the octets stand, as they are or as text.
    pub(crate) fn holds(&self, octets: &[u8]) -> Option<String> {
        let hexadecimal = hex::encode(octets);
        let found = self.values.iter().find(|(_, _, value)| {
            let has = |what: &[u8]| value.windows(what.len()).any(|part| part == what);
            has(octets) || has(hexadecimal.as_bytes())
        });
        found.map(|(table, column, _)| format!("{table} {column}"))
    }

    /// Where something stands that this word, and nothing but the dump, leads to.
    pub(crate) async fn confirms(&self, word: &str) -> Option<String> {
        let stretcher = Stretcher::new(Cost::default(), 1, 1);
        let mut derived = vec![word.as_bytes().to_vec()];
        for (salt, cost) in &self.salts {
            let stretched = stretcher.stretch(word.as_bytes(), salt, *cost).await;
            let stretched = stretched.unwrap().to_vec();
            derived.push([salt, word.as_bytes()].concat());
            // U(purpose, p) of each credential.
            for (table, column, id) in &self.values {
                if (table.as_str(), column.as_str()) == ("credential", "id") {
                    for purpose in ["pin", "puk"] {
                        let parts = [purpose.as_bytes(), id, &1_u32.to_be_bytes(), &stretched];
                        let prefixed = parts.map(|part| {
                            [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat()
                        });
                        derived.push(prefixed.concat());
                    }
                }
            }
            derived.push(stretched);
        }
        let hashes: Vec<Vec<u8>> = derived
            .iter()
            .map(|octets| Sha256::digest(octets).to_vec())
            .collect();
        derived.extend(hashes);
        derived.iter().find_map(|octets| self.holds(octets))
    }
}

fn pairs<T: rusqlite::types::FromSql>(database: &Connection, sql: &str) -> Vec<(T, String)> {
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}
