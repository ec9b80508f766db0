//! The terminal: the only place that prints, and the only one that asks for secrets.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands of the terminal print their results"
)]

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use qrcode::{QrCode, render::unicode::Dense1x2};
use zeroize::Zeroizing;

use crate::otp::Otp;

/// Prints a line.
pub(super) fn say(line: &str) {
    println!("{line}");
}

/// Prints what an authenticator app scans, and the same as text.
///
/// # Errors
/// When it is too long for a QR code.
pub(super) fn say_otpauth(uri: &str) -> Result<()> {
    say(&QrCode::new(uri.as_bytes())?.render::<Dense1x2>().build());
    say("Scan this with the authenticator app; it is not shown again.");
    say(uri);
    Ok(())
}

/// Prints what went wrong, with its causes.
pub(super) fn complain(error: &anyhow::Error) {
    eprintln!("csc-server: {error:#}");
}

/// Prints one of several things that are wrong.
pub(super) fn complain_of(problem: &str) {
    eprintln!("csc-server: {problem}");
}

/// A progress bar over so many rows, on standard error; none where that is not a terminal.
pub(super) fn progress(rows: u64, what: &'static str) -> ProgressBar {
    bar(
        rows,
        what,
        "{msg} {bar:30} {human_pos}/{human_len} rows, {eta}",
    )
}

/// A progress bar over so many octets.
pub(super) fn progress_octets(octets: u64, what: &'static str) -> ProgressBar {
    bar(octets, what, "{msg} {bar:30} {bytes}/{total_bytes}, {eta}")
}

fn bar(length: u64, what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// A secret: asked without echo, or one line of standard input when that is no terminal. Never an argument, which everybody
/// on the machine could read.
///
/// # Errors
/// When there is nothing to read.
pub(super) fn secret(what: &str) -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{what}: "))?;
        return Ok(Zeroizing::new(typed));
    }
    line(what)
}

/// A one-time code, asked for or read as secrets are.
///
/// # Errors
/// When there is nothing to read, or it can be no code.
pub(super) fn code(what: &str) -> Result<Otp> {
    Otp::parse(&secret(what)?).context("a code has 6 or 8 digits")
}

/// A new secret: on a terminal it is asked twice.
///
/// # Errors
/// When the two differ, or there is nothing to read.
pub(super) fn new_secret(what: &str) -> Result<Zeroizing<String>> {
    let first = secret(what)?;
    if std::io::stdin().is_terminal() && secret(&format!("{what}, again"))? != first {
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
