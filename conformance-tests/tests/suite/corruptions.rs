//! Which corruptions each check must notice.

use conformance_tests::suite::Record;
use serde_json::json;

use crate::corrupt::{Change, Corruption};

/// A line a corruption: identifier without its version, `*` for any end of it, a colon, the corruption. `loose` stands
/// for every corruption of a refusal but other codes and texts, `coded` for every one but other texts.
const TABLE: &str = include_str!("corruptions.txt");

/// The corruptions of the table; without any, those that a refusal must notice.
pub(crate) fn corruptions_of(id: &str, record: &Record) -> Vec<Corruption> {
    let (_, name) = id.split_once('.').unwrap();
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = lines.map(|line| line.split_once(": ").unwrap());
    let own = rows.filter(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *pattern || id == *pattern,
    });
    let own: Vec<_> = own.map(|(_, text)| text).collect();
    let last = record.exchanges.iter().rfind(|exchange| !exchange.shared);
    if let (true, Some(last)) = (own.is_empty(), last) {
        if last.answer.status >= 400 {
            return refusal(0, "exact");
        }
        let location = last.answer.header("location").unwrap_or_default();
        if location.contains("error=") {
            return sent_back();
        }
    }
    own.into_iter().flat_map(parsed).collect()
}

fn parsed(line: &str) -> Vec<Corruption> {
    let (back, word) = match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').unwrap(),
        None => ("0", line),
    };
    match word {
        "exact" | "coded" | "loose" => refusal(back.parse().unwrap(), word),
        _ => vec![Corruption::parse(line)],
    }
}

/// A page in its place, a failure of the server, another address; another error or none; a code beside it; no state or another; another issuer.
fn sent_back() -> Vec<Corruption> {
    let parameter = |name: &str, value: Option<&str>| {
        Change::Parameter(name.to_owned(), value.map(str::to_owned))
    };
    let changes = [
        Change::Success(String::new()),
        Change::Status(500),
        Change::Header("location".to_owned(), "/authorize".to_owned()),
        parameter("error", None),
        parameter("error", Some("other")),
        parameter("code", Some("x")),
        parameter("state", None),
        parameter("state", Some("other")),
        parameter("iss", None),
        parameter("iss", Some("https://other.example")),
    ];
    let back = 0;
    changes
        .into_iter()
        .map(|change| Corruption { back, change })
        .collect()
}

/// A success in its place, a failure of the server, no error body, another code, another description.
fn refusal(back: usize, strictness: &str) -> Vec<Corruption> {
    let mut changes = vec![
        Change::Success("{}".to_owned()),
        Change::Status(500),
        Change::Header("content-type".to_owned(), "text/html".to_owned()),
        Change::Drop("/error".to_owned()),
    ];
    if strictness != "loose" {
        changes.push(Change::Set("/error".to_owned(), json!("other")));
    }
    if strictness == "exact" {
        changes.push(Change::Set("/error_description".to_owned(), json!("other")));
    }
    changes
        .into_iter()
        .map(|change| Corruption { back, change })
        .collect()
}
