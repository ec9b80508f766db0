//! `docs/sole-control.md` says what holds and which test shows it: no row is left out, and no test it names is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What a row without a test begins with: whose duty it is, or what it waits for.
const INSTEAD: [&str; 3] = ["Not yet: comes with ", "Not claimed: ", "Operator's: "];

/// How the page shortens the directories of tests.
const SHORT: [(&str, &str); 3] = [
    ("wire/", "conformance-tests/tests/"),
    ("contract/", "hsm-adapter/tests/contract/"),
    ("server/", "csc-server/tests/"),
];

#[test]
fn every_row_of_sole_control_is_answered_and_every_test_it_names_is_run() {
    let page = fs::read_to_string(root().join("docs/sole-control.md")).expect("the page is there");
    let rows = rows(&page);
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    assert_eq!(
        numbers,
        (1..=104).collect::<Vec<_>>(),
        "each row once, in order"
    );
    let mut run = Tests::default();
    let wrong: Vec<String> = rows.iter().filter_map(|row| row.fault(&mut run)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `| SC-01 | M | what holds | shown by |`
struct Row<'a> {
    number: u32,
    grade: &'a str,
    holds: &'a str,
    shown_by: &'a str,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = page.lines().filter(|line| line.starts_with("| SC-"));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, grade, holds, shown_by] = cells[..] else {
            panic!("a row has four cells: {line}");
        };
        let number = number
            .strip_prefix("SC-")
            .and_then(|digits| digits.parse().ok());
        Row {
            number: number.unwrap_or_else(|| panic!("no number: {line}")),
            grade,
            holds,
            shown_by,
        }
    });
    rows.collect()
}

impl Row<'_> {
    fn fault(&self, run: &mut Tests) -> Option<String> {
        let fault = |what: &str| Some(format!("SC-{:02}: {what}", self.number));
        if !["M", "S", "X"].contains(&self.grade) {
            return fault("its grade is none of M, S, X");
        }
        if self.holds.is_empty() {
            return fault("it does not say what holds");
        }
        if INSTEAD.iter().any(|word| self.shown_by.starts_with(word)) {
            return None;
        }
        let mut named = self.shown_by.split(", ");
        let missing = named.find(|test| !run.has(test))?;
        fault(&format!("there is no test '{missing}'"))
    }
}

/// The names of the tests that a file runs, by its path.
#[derive(Default)]
struct Tests(BTreeMap<PathBuf, BTreeSet<String>>);

impl Tests {
    fn has(&mut self, test: &str) -> bool {
        let Some((file, name)) = test.split_once("::") else {
            return false;
        };
        let short = SHORT.iter().find_map(|(short, long)| {
            let rest = file.strip_prefix(short)?;
            Some(format!("{long}{rest}"))
        });
        let path = root().join(short.unwrap_or_else(|| file.to_owned()));
        let names = self.0.entry(path);
        let names = names.or_insert_with_key(|path| names_in(path));
        names.contains(name)
    }
}

/// Functions marked as tests, and the names that `on_both!`, `contract!` and `contract_inside!` make tests of. One that is ignored is none.
fn names_in(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut names = BTreeSet::new();
    let (mut marked, mut ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(name) = function(line) {
            if marked && !ignored {
                names.insert(name.to_owned());
            }
            (marked, ignored) = (false, false);
        }
        marked |= line == "#[test]" || line.starts_with("#[tokio::test");
        ignored |= line.starts_with("#[ignore");
    }
    names.extend(listed(&text, "on_both! {"));
    // The rules of a contract stand in files of their own; the list of them is the binary's.
    let directory = path.parent().unwrap_or(path);
    let main = fs::read_to_string(directory.join("main.rs")).unwrap_or_default();
    let lists = ["contract! {", "contract_inside! {"];
    let rules: BTreeSet<String> = lists.iter().flat_map(|list| listed(&main, list)).collect();
    let functions = text.lines().filter_map(|line| function(line.trim()));
    names.extend(
        functions
            .filter(|name| rules.contains(*name))
            .map(str::to_owned),
    );
    names
}

/// The name of the function whose head this line is.
fn function(line: &str) -> Option<&str> {
    let head = ["pub(crate) ", "async "]
        .iter()
        .fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    let rest = head.strip_prefix("fn ")?;
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
    rest.get(..end)
}

/// The names in the list that a macro is called with: `name,`, `name;` or `name => function;`, one a line.
fn listed<'a>(text: &'a str, opening: &str) -> impl Iterator<Item = String> + 'a {
    let list = text
        .split_once(&format!("\n{opening}\n"))
        .map_or("", |(_, rest)| rest);
    let lines = list.lines().take_while(|line| *line != "}");
    lines.filter_map(|line| {
        let name = line.trim().split([' ', ',', ';']).next()?;
        let named = !name.is_empty()
            && name
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
        named.then(|| name.to_owned())
    })
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
