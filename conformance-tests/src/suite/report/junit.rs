//! JUnit, as build servers read it.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    super::{check::Level, run::Outcome},
    Entry,
};

/// The report as XML: a suite a section; warnings and notes are successes with their text as output.
///
/// # Errors
/// Text that XML cannot hold.
pub fn junit(entries: &[Entry]) -> Result<String, String> {
    let mut report = Report::new("csc-conformance");
    let mut suites: Vec<TestSuite> = Vec::new();
    for entry in entries {
        let name = format!("{}.{}", entry.version, entry.section);
        let case = case(entry, &name);
        match suites.iter_mut().find(|suite| suite.name.as_str() == name) {
            Some(suite) => suite.add_test_case(case),
            None => {
                let mut suite = TestSuite::new(name);
                suite.add_test_case(case);
                suites.push(suite);
                continue;
            }
        };
    }
    report.add_test_suites(suites);
    report.to_string().map_err(|error| error.to_string())
}

fn case(entry: &Entry, suite: &str) -> TestCase {
    let status = match &entry.outcome {
        Outcome::Found(Level::Must, why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(why.as_str()).set_type("must");
            status.set_description(transcript(entry));
            status
        }
        Outcome::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        }
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(entry.id.as_str(), status);
    case.set_classname(suite).set_time(entry.took);
    let mut told = format!("{}: {}\n", entry.clause, entry.title);
    if let Outcome::Found(Level::Should | Level::Silent, why) = &entry.outcome {
        told += &format!("{}: {why}\n{}", entry.word(), transcript(entry));
    }
    case.set_system_out(told);
    case
}

fn transcript(entry: &Entry) -> String {
    let exchanges = entry.exchanges.iter();
    let exchanges = exchanges.map(|(sent, came)| format!("\n> {sent}\n\n< {came}\n"));
    exchanges.collect()
}
