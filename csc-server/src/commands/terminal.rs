//! The terminal: the only place that prints, and the only one that asks for secrets.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands of the terminal print their results"
)]

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use zeroize::Zeroizing;

/// Prints a line.
pub(super) fn say(line: &str) {
    println!("{line}");
}

/// Prints what went wrong, with its causes.
pub(super) fn complain(error: &anyhow::Error) {
    eprintln!("csc-server: {error:#}");
}

/// Prints one of several things that are wrong.
pub(super) fn complain_of(problem: &str) {
    eprintln!("csc-server: {problem}");
}

/// A progress bar on standard error; none where that is not a terminal.
pub(super) fn progress(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    ProgressBar::new(length as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// A code that a device shows: asked for, or one line of standard input when that is no terminal.
///
/// # Errors
/// When there is nothing to read.
pub(super) fn code(what: &str) -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password(format!(
            "{what}: "
        ))?));
    }
    line(what)
}

/// A new secret: asked twice without echo, or one line of standard input when that is no terminal. Never an argument, which
/// everybody on the machine could read.
///
/// # Errors
/// When the two differ, or there is nothing to read.
pub(super) fn new_secret(what: &str) -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        return line(what);
    }
    let first = Zeroizing::new(rpassword::prompt_password(format!("{what}: "))?);
    let again = Zeroizing::new(rpassword::prompt_password(format!("{what}, again: "))?);
    if first != again {
        bail!("the two are not the same; nothing was changed");
    }
    Ok(first)
}

fn line(what: &str) -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(256));
    let read = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("standard input cannot be read")?;
    if read == 0 {
        bail!("{what} is read from standard input, which is empty");
    }
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}
