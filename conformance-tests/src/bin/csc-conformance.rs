//! Holds a CSC server against the specification. See `docs/conformance.md`.
//!
//! Exit status: 0 nothing the specification demands is violated; 1 something is (with `--strict`, or recommends, or we
//! find safest); 2 the checks could not be run: arguments, settings, or a server that does not answer.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use conformance_tests::suite::{
    Check, Real, Session, Settings, catalogue,
    report::{Counts, Entry, Terminal, junit, now, page},
};

/// Checks whether a remote signing service keeps to the CSC API, v1.0.4.0 and v2.0 to 2.2.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 nothing demanded is violated, 1 something is, 2 the checks could not be run."
)]
struct Arguments {
    /// The server and what is needed to sign with it: TOML, see conformance-tests/csc-conformance.toml.
    #[arg(required_unless_present = "list")]
    settings: Option<PathBuf>,
    /// Prints one check a line: identifier, clause, title.
    #[arg(long)]
    list: bool,
    /// Runs only checks whose identifier contains this; may be given several times.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Runs only the checks of this method, as signHash; may be given several times.
    #[arg(long, value_name = "NAME")]
    section: Vec<String>,
    /// Warnings and notes count as failures.
    #[arg(long)]
    strict: bool,
    /// Writes the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments);
    if arguments.list {
        for check in chosen {
            say(&format!("{}\t{}\t{}", check.id, check.clause, check.title));
        }
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run(&arguments, &chosen)));
    match done {
        Ok(counts) => {
            let all = counts.failures + counts.warnings + counts.notes;
            let bad = if arguments.strict {
                all
            } else {
                counts.failures
            };
            ExitCode::from(u8::from(bad > 0))
        }
        Err(why) => {
            complain(&format!("csc-conformance: {why}"));
            ExitCode::from(2)
        }
    }
}

/// The checks that the arguments ask for.
fn chosen(arguments: &Arguments) -> Vec<Check> {
    let mut checks = catalogue();
    checks.retain(|check| {
        let named = |pattern: &String| check.id.contains(pattern.as_str());
        let section = |name: &String| check.section == name;
        (arguments.only.is_empty() || arguments.only.iter().any(named))
            && (arguments.section.is_empty() || arguments.section.iter().any(section))
    });
    checks
}

async fn run(arguments: &Arguments, checks: &[Check]) -> Result<Counts, String> {
    if checks.is_empty() {
        return Err("no check has such a name; --list shows all".to_owned());
    }
    let path = arguments.settings.as_ref().ok_or("no settings")?;
    let settings = Settings::load(path)?;
    let world = Real::new(&settings)?;
    let session = Session::new(settings);
    session.prepare(&world).await?;
    let terminal = Terminal::new(checks.len());
    let mut entries = Vec::new();
    for check in checks {
        terminal.begins(&check.id);
        let ran = session.run(check, &world).await;
        let entry = Entry::new(&session, check, &ran);
        terminal.ended(&entry);
        entries.push(entry);
    }
    terminal.summary(&entries);
    if let Some(path) = &arguments.junit {
        write(path, &junit(&entries)?)?;
    }
    if let Some(path) = &arguments.html {
        let page = page(&session.servers(), &session.name(), &now(), &entries)?;
        write(path, &page)?;
    }
    Ok(Counts::of(&entries))
}

fn write(path: &PathBuf, text: &str) -> Result<(), String> {
    let written = std::fs::write(path, text);
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[expect(clippy::print_stdout, reason = "the list goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "what went wrong goes to standard error"
)]
fn complain(line: &str) {
    eprintln!("{line}");
}
