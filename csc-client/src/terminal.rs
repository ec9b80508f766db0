//! Everything that people read or type: results on standard output, the rest on standard error.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that speaks to people"
)]

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use zeroize::Zeroizing;

/// How often the command that prints a code is run, and for how long.
const COMMAND_INTERVAL: Duration = Duration::from_millis(500);
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// A text that is wiped from memory, and that no formatting shows.
pub(crate) type Secret = Zeroizing<String>;

/// Prints a line of the result.
pub(crate) fn result(line: &str) {
    println!("{}", plain(line));
}

/// Prints the path of a file that was written, as it is.
pub(crate) fn written(path: &Path) {
    println!("{}", path.display());
}

/// Tells something on the way.
pub(crate) fn note(line: &str) {
    eprintln!("{}", plain(line));
}

/// Tells why the program ends in failure.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("{}", plain(&format!("csc-client: {error:#}")));
}

/// A progress bar on standard error; none where that is not a terminal.
pub(crate) fn progress(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    ProgressBar::new(length as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// Asks for a secret, without echo; where standard input is not a terminal, its next line is taken.
pub(crate) fn secret(label: &str) -> anyhow::Result<Secret> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(plain(&format!("{label}: ")))
            .map(Secret::new)
            .context("the terminal cannot be read");
    }
    let mut line = Secret::default();
    let length = io::stdin()
        .lock()
        .read_line(&mut line)
        .context("standard input cannot be read")?;
    ensure!(
        length > 0,
        "standard input ended where {label} was expected, one a line"
    );
    trim_line_end(&mut line);
    Ok(line)
}

/// Lets the user choose one of `options`, and gives its position; fails where there is nobody to ask.
pub(crate) fn choose(question: &str, options: &[String]) -> anyhow::Result<usize> {
    if !interactive() {
        bail!("{question}: {}", options.join(", "));
    }
    note(&format!("{question}:"));
    for (number, option) in options.iter().enumerate() {
        note(&format!("  {}  {option}", number + 1));
    }
    loop {
        eprint!("1 to {}: ", options.len());
        io::stderr().flush()?;
        let mut line = String::new();
        ensure!(
            io::stdin().lock().read_line(&mut line)? > 0,
            "nothing was chosen"
        );
        match line.trim().parse::<usize>() {
            Ok(number) if (1..=options.len()).contains(&number) => return Ok(number - 1),
            _ => {}
        }
    }
}

/// Lets the user choose one of `options`; the first, where there is nobody to ask.
pub(crate) fn choose_or_first(question: &str, options: &[String]) -> anyhow::Result<usize> {
    if interactive() {
        choose(question, options)
    } else {
        Ok(0)
    }
}

fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What a shell command prints, its line end cut off. While it prints nothing it is run again: what was sent a moment
/// ago may not have arrived.
pub(crate) async fn output_of(command: &str) -> anyhow::Result<Secret> {
    let run = async {
        loop {
            let output = Command::new("sh")
                .args(["-c", command])
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output();
            let output = output.context("--otp-command does not start")?;
            ensure!(
                output.status.success(),
                "--otp-command failed ({})",
                output.status
            );
            let mut text = Secret::new(
                String::from_utf8(output.stdout).context("--otp-command printed no text")?,
            );
            trim_line_end(&mut text);
            if !text.is_empty() {
                return Ok(text);
            }
            tokio::time::sleep(COMMAND_INTERVAL).await;
        }
    };
    tokio::time::timeout(COMMAND_PATIENCE, run)
        .await
        .context("--otp-command printed no code")?
}

/// The text without what could command the terminal: much of it comes from the service.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control() || *character == '\t')
        .collect()
}

fn trim_line_end(line: &mut String) {
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_cannot_command_the_terminal() {
        assert_eq!(plain("PIN\u{1b}]0;title\u{7}\r\n"), "PIN]0;title");
    }
}
