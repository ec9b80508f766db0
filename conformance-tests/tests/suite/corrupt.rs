//! One change in one answer.

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::suite::Answer;
use serde_json::Value;
use url::Url;

/// Which answer, counted from the last, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Corruption {
    pub(crate) back: usize,
    pub(crate) change: Change,
}

/// What happens to an answer.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Another status.
    Status(u16),
    /// Another body.
    Body(String),
    /// The same as this answer, counted from the last.
    Same(usize),
    /// A success with this body.
    Success(String),
    /// A member, by JSON pointer, is not there.
    Drop(String),
    /// A member, by JSON pointer, has this value.
    Set(String, Value),
    /// The first two entries of a list, by JSON pointer, change places.
    Swap(String),
    /// A base64 member, by JSON pointer, has one bit changed.
    Flip(String),
    /// A base64 member, by JSON pointer, has one bit of its last octet changed: in a CMS that is the signature.
    FlipEnd(String),
    /// A header is not there.
    DropHeader(String),
    /// A header has this value.
    Header(String, String),
    /// A parameter of the address that the browser is sent to has this value, or is not there.
    Parameter(String, Option<String>),
}

impl Corruption {
    /// From a line of the table: `@1 drop /SAD`, where `@1` is the last answer but one.
    pub(crate) fn parse(line: &str) -> Self {
        let (back, rest) = match line.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').unwrap(),
            None => ("0", line),
        };
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let pair = || rest.split_once(' ').unwrap();
        let change = match word {
            "status" => Change::Status(rest.parse().unwrap()),
            "body" => Change::Body(rest.to_owned()),
            "same" => Change::Same(rest.parse().unwrap()),
            "success" => Change::Success(rest.to_owned()),
            "drop" => Change::Drop(rest.to_owned()),
            "set" => Change::Set(pair().0.to_owned(), serde_json::from_str(pair().1).unwrap()),
            "swap" => Change::Swap(rest.to_owned()),
            "flip-end" => Change::FlipEnd(rest.to_owned()),
            "flip" => Change::Flip(rest.to_owned()),
            "no-header" => Change::DropHeader(rest.to_owned()),
            "header" => Change::Header(pair().0.to_owned(), pair().1.to_owned()),
            "parameter" => Change::Parameter(pair().0.to_owned(), Some(pair().1.to_owned())),
            "no-parameter" => Change::Parameter(rest.to_owned(), None),
            other => panic!("no corruption '{other}'"),
        };
        Self {
            back: back.parse().unwrap(),
            change,
        }
    }

    /// Corrupts the answers of a record.
    pub(crate) fn apply(&self, answers: &mut [Answer]) {
        let at = |back: usize| answers.len() - 1 - back;
        let place = at(self.back);
        let like = match self.change {
            Change::Same(back) => Some(answers[at(back)].clone()),
            _ => None,
        };
        let answer = &mut answers[place];
        match &self.change {
            Change::Status(status) => answer.status = *status,
            Change::Body(body) => answer.body.clone_from(body),
            Change::Same(_) => *answer = like.unwrap(),
            Change::Success(body) => {
                answer.status = 200;
                answer.body.clone_from(body);
            }
            Change::Drop(pointer) => edit(answer, |body| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                match body.pointer_mut(parent).unwrap() {
                    Value::Object(members) => drop(members.remove(name).unwrap()),
                    Value::Array(list) => drop(list.remove(name.parse().unwrap())),
                    other => panic!("{pointer}: {other}"),
                }
            }),
            Change::Set(pointer, value) => edit(answer, |body| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                match body.pointer_mut(parent).unwrap() {
                    Value::Object(members) => drop(members.insert(name.to_owned(), value.clone())),
                    Value::Array(list) if name == "-" => list.push(value.clone()),
                    Value::Array(list) => list[name.parse::<usize>().unwrap()] = value.clone(),
                    other => panic!("{pointer}: {other}"),
                }
            }),
            Change::Swap(pointer) => edit(answer, |body| {
                let list = body.pointer_mut(pointer).unwrap();
                list.as_array_mut().unwrap().swap(0, 1);
            }),
            Change::Flip(pointer) => edit(answer, |body| {
                let member = body.pointer_mut(pointer).unwrap();
                let mut octets = STANDARD.decode(member.as_str().unwrap()).unwrap();
                let middle = octets.len() / 2;
                octets[middle] ^= 1;
                *member = Value::String(STANDARD.encode(octets));
            }),
            Change::FlipEnd(pointer) => edit(answer, |body| {
                let member = body.pointer_mut(pointer).unwrap();
                let mut octets = STANDARD.decode(member.as_str().unwrap()).unwrap();
                *octets.last_mut().unwrap() ^= 1;
                *member = Value::String(STANDARD.encode(octets));
            }),
            Change::DropHeader(name) => answer.headers.retain(|(found, _)| found != name),
            Change::Header(name, value) => put_header(answer, name, value.clone()),
            Change::Parameter(name, value) => {
                let location = answer.header("location").unwrap();
                let mut url = Url::parse(location).unwrap();
                let pairs = url.query_pairs().into_owned();
                let mut pairs: Vec<_> = pairs.filter(|(found, _)| found != name).collect();
                pairs.extend(value.clone().map(|value| (name.clone(), value)));
                url.query_pairs_mut().clear().extend_pairs(pairs);
                put_header(answer, "location", url.into());
            }
        }
    }
}

fn put_header(answer: &mut Answer, name: &str, value: String) {
    answer.headers.retain(|(found, _)| found != name);
    answer.headers.push((name.to_owned(), value));
}

fn edit(answer: &mut Answer, change: impl FnOnce(&mut Value)) {
    let mut body = serde_json::from_str(&answer.body).unwrap();
    change(&mut body);
    answer.body = body.to_string();
}
