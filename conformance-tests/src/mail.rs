//! The outbox folder: a file a mail, put there by the service or by a mail server.

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::sync::Mutex;

use crate::{canary, wait};

/// A mail server that keeps what it gets in `outbox`; it ends with its standard input.
pub(crate) struct MailServer {
    /// Host and port.
    pub(crate) address: String,
    _process: Child,
}

impl MailServer {
    pub(crate) fn start(dir: &Path) -> Self {
        let python = env::var("PYTHON").expect("PYTHON is not set: use conformance-tests/run");
        let mut command = Command::new(python);
        command.args(["-c", include_str!("mail_server.py")]);
        command.arg(dir.join("outbox"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("Python can be started");
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let mut address = String::new();
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("the mail server says where it listens");
        Self {
            address: address.trim().to_owned(),
            _process: process,
        }
    }
}

/// The mails to one address.
pub(crate) struct Inbox {
    outbox: PathBuf,
    address: String,
    seen: Mutex<HashSet<String>>,
}

impl Inbox {
    pub(crate) fn new(outbox: PathBuf, address: String) -> Self {
        Self {
            outbox,
            address,
            seen: Mutex::default(),
        }
    }

    /// The code in the next mail that has not been read yet, waited for; registered as a secret.
    pub(crate) async fn next_code(&self) -> String {
        let mut seen = self.seen.lock().await;
        let what = format!("a mail with a code to {}", self.address);
        let code = wait::until(&what, async || {
            let mails = self.mails().into_iter();
            let mut unread = mails.filter(|(name, _)| !seen.contains(name));
            let (name, code) = unread.find_map(|(name, mail)| Some((name, code_in(&mail)?)))?;
            seen.insert(name);
            Some(code)
        });
        canary::register(code.await)
    }

    /// The link in the next mail that has one and has not been read yet, waited for: its path.
    pub(crate) async fn next_link(&self) -> String {
        let mut seen = self.seen.lock().await;
        let what = format!("a mail with a link to {}", self.address);
        wait::until(&what, async || {
            let mails = self.mails().into_iter();
            let mut unread = mails.filter(|(name, _)| !seen.contains(name));
            let (name, link) = unread.find_map(|(name, mail)| Some((name, link_in(&mail)?)))?;
            seen.insert(name);
            Some(link)
        })
        .await
    }

    /// How many mails came to this address.
    pub(crate) fn count(&self) -> usize {
        self.mails().len()
    }

    /// Name and text, oldest first: names begin with the time.
    fn mails(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(&self.outbox) else {
            return Vec::new();
        };
        let mut mails: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry
                    .file_name()
                    .into_string()
                    .ok()
                    .filter(|name| name.ends_with(".eml"))?;
                Some((name, fs::read_to_string(entry.path()).ok()?))
            })
            .filter(|(_, mail)| header(mail, "To").is_some_and(|to| to.contains(&self.address)))
            .collect();
        mails.sort();
        mails
    }
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let headers = mail.lines().take_while(|line| !line.is_empty());
    headers
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// The path of the first page to answer on in the body.
fn link_in(mail: &str) -> Option<String> {
    let mut words = mail.split_ascii_whitespace();
    words.find_map(|word| {
        word.find("/approve/")
            .and_then(|at| word.get(at..).map(str::to_owned))
    })
}

/// The first word of six to eight digits in the body.
fn code_in(mail: &str) -> Option<String> {
    let body = mail.lines().skip_while(|line| !line.is_empty());
    let mut words =
        body.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric()));
    words
        .find(|word| {
            (6..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
        })
        .map(str::to_owned)
}
