//! Files in which makers deliver the seeds of their tokens.

mod csv;
mod pskc;

use std::collections::HashSet;

use zeroize::Zeroizing;

pub use super::token::NewToken;

/// What is wrong with a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong; never what stands there, which may be a seed.
    pub problem: String,
}

/// A token and the line it stands in.
type Entry = (u64, Result<NewToken, String>);

/// Reads lines `serial,seed,digits,counter`, seeds in hexadecimal; the first line names the columns.
///
/// # Errors
/// Every line that is wrong.
pub fn csv(text: &str) -> Result<Vec<NewToken>, Vec<BadLine>> {
    csv::entries(text).and_then(tokens)
}

/// Reads a key container of RFC 6030, its keys in clear or encrypted with this pre-shared key.
///
/// # Errors
/// Every key that is wrong.
pub fn pskc(text: &str, key: Option<&[u8]>) -> Result<Vec<NewToken>, Vec<BadLine>> {
    pskc::entries(text, key).and_then(tokens)
}

fn tokens(entries: Vec<Entry>) -> Result<Vec<NewToken>, Vec<BadLine>> {
    let (mut tokens, mut bad, mut serials) = (Vec::new(), Vec::new(), HashSet::new());
    for (line, entry) in entries {
        let entry = entry.and_then(|token| match token.problem() {
            Some(problem) => Err(problem.to_owned()),
            None if !serials.insert(token.serial.clone()) => {
                Err("its serial number was there before".to_owned())
            }
            None => Ok(token),
        });
        match entry {
            Ok(token) => tokens.push(token),
            Err(problem) => bad.push(BadLine { line, problem }),
        }
    }
    match (tokens.is_empty(), bad.is_empty()) {
        (_, false) => Err(bad),
        (true, _) => Err(vec![whole(1, "there is no token in it")]),
        (false, _) => Ok(tokens),
    }
}

fn whole(line: u64, problem: impl Into<String>) -> BadLine {
    BadLine {
        line,
        problem: problem.into(),
    }
}

/// Octets that stand in hexadecimal.
pub fn hexadecimal(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    hex::decode(text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
