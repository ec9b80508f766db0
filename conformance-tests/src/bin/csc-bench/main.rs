//! What a signature costs here beside what the HSM takes for it: the raw PKCS#11 loop and the service in one run, on one machine.
//!
//! Prints a table, and writes `performance.json` and `performance.svg` into the directory it is given. Targets are those of
//! `docs/performance.md`, which says how to read the rows.
#![expect(clippy::print_stderr, reason = "progress for who waits")]

mod check;
mod cpu;
mod load;
mod measure;
mod null;
mod raw;
mod report;
mod scene;

use std::{env, path::Path, time::Duration};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "raw" => raw::run(rest),
        Some((role, rest)) if role == "null" => {
            let tls = rest.first().expect("null DIRECTORY");
            runtime(1).block_on(null::run(Path::new(tls)));
        }
        Some((out, rest)) => {
            let only = rest.first().map_or("", String::as_str);
            let rows = runtime(2).block_on(measure::all(only));
            report::write(&rows, Path::new(out));
        }
        None => eprintln!("usage: csc-bench DIRECTORY [PART OF A NAME]"),
    }
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).enable_all().build();
    runtime.expect("a runtime")
}

/// A line of progress.
pub(crate) fn say(text: &str) {
    eprintln!("csc-bench: {text}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement lasts as long as it is told to"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
