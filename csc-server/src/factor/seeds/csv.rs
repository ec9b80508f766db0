//! Comma-separated values (RFC 4180).

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{BadLine, Entry, NewToken, hexadecimal, whole};
use crate::factor::Algorithm;

const COLUMNS: [&str; 4] = ["serial", "seed", "digits", "counter"];

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Vec<BadLine>> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let named = reader.headers().is_ok_and(|names| names.iter().eq(COLUMNS));
    if !named {
        let problem = "the first line names the columns: serial,seed,digits,counter";
        return Err(vec![whole(1, problem)]);
    }
    let entries = reader.records().map(|record| match record {
        Ok(record) => (
            record.position().map_or(0, csv::Position::line),
            token(&record).map_err(str::to_owned),
        ),
        Err(error) => (
            error.position().map_or(0, csv::Position::line),
            Err("it is no comma-separated text".to_owned()),
        ),
    });
    Ok(entries.collect())
}

fn token(record: &StringRecord) -> Result<NewToken, &'static str> {
    let fields: Vec<&str> = record.iter().collect();
    let &[serial, seed, digits, counter] = fields.as_slice() else {
        return Err("it has not four fields");
    };
    Ok(NewToken {
        serial: serial.to_owned(),
        seed: hexadecimal(seed).ok_or("its seed is not hexadecimal")?,
        algorithm: Algorithm::Sha1,
        digits: digits.parse().map_err(|_| "its digits are no number")?,
        counter: counter.parse().map_err(|_| "its counter is no number")?,
    })
}
