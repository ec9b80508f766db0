//! One-time codes as they reach the person.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fs,
    path::Path,
    time::Duration,
};

use totp_rs::Builder;

use super::{clock, settings::Otp};

/// Where codes come from, and what was seen there.
pub(super) struct Codes {
    source: Otp,
    seen: RefCell<BTreeSet<String>>,
    last_step: Cell<u64>,
}

impl Codes {
    pub(super) fn new(source: Otp) -> Self {
        Self {
            source,
            seen: RefCell::default(),
            last_step: Cell::new(0),
        }
    }

    /// What is in the outbox now is old.
    pub(super) fn expect(&self) {
        if let Otp::Outbox { directory, .. } = &self.source {
            self.seen
                .borrow_mut()
                .extend(messages(directory).into_iter().map(|(name, _)| name));
        }
    }

    /// The code; waits for it.
    pub(super) async fn next(&self) -> Result<String, String> {
        match &self.source {
            Otp::Fixed { code } => Ok(code.value().to_owned()),
            Otp::Totp {
                seed,
                digits,
                period,
            } => self.app(seed.value(), *digits, *period).await,
            Otp::Command { command } => printed(command).await,
            Otp::Outbox { directory, to } => self.message(directory, to.as_deref()).await,
            Otp::Typed => {
                let typed = tokio::task::spawn_blocking(|| rpassword::prompt_password("Code: "));
                let typed = typed.await.map_err(|error| error.to_string())?;
                typed.map_err(|error| error.to_string())
            }
        }
    }

    /// A step's code is good once: the next step is waited for.
    async fn app(&self, seed: &str, digits: u8, period: u64) -> Result<String, String> {
        let seed = totp_rs::Secret::try_from_base32(seed);
        let seed = seed.map_err(|_| "otp.seed is no base32".to_owned())?;
        let app = Builder::new()
            .with_secret(seed)
            .with_digits(digits)
            .with_step_duration(period)
            .build();
        let app = app.map_err(|error| format!("otp: {error}"))?;
        let step = loop {
            let step = clock::now() / period.max(1);
            if step > self.last_step.get() {
                break step;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        self.last_step.set(step);
        Ok(app.generate(step * period).to_string())
    }

    async fn message(&self, directory: &Path, to: Option<&str>) -> Result<String, String> {
        const TRIES: u32 = 600;
        for _ in 0..TRIES {
            let new = messages(directory).into_iter().find_map(|(name, text)| {
                let unread = !self.seen.borrow().contains(&name);
                let mine = to.is_none_or(|to| text.contains(to));
                (unread && mine).then(|| Some((name, code_in(&text)?)))?
            });
            if let Some((name, code)) = new {
                self.seen.borrow_mut().insert(name);
                return Ok(code);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!(
            "no message with a code came to {}",
            directory.display()
        ))
    }
}

async fn printed(command: &str) -> Result<String, String> {
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .output();
    let output = output.await.map_err(|error| error.to_string())?;
    let code = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() && !code.is_empty() {
        true => Ok(code),
        false => Err(format!("otp.command printed no code: {}", output.status)),
    }
}

/// Name and text of every file, by name.
fn messages(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut messages: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect();
    messages.sort();
    messages
}

/// The first word of six to eight digits behind the headers.
fn code_in(message: &str) -> Option<String> {
    let lines: Vec<_> = message.lines().collect();
    let body = lines
        .iter()
        .position(|line| line.is_empty())
        .map_or(0, |at| at + 1);
    let mut words = lines
        .iter()
        .skip(body)
        .flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric()));
    let code = words.find(|word| {
        (6..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
    });
    code.map(str::to_owned)
}
