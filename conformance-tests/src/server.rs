//! One running `csc-server serve`: started, watched through its log, stopped.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use serde_json::Value;

use crate::wait::DEADLINE;

/// A process that listens.
pub(crate) struct Server {
    child: Child,
    /// Where the API answers.
    pub(crate) api: SocketAddr,
    /// Where health and metrics answer.
    pub(crate) admin: SocketAddr,
    /// Silent, and ended when the process has closed its standard output.
    listeners: Receiver<(String, SocketAddr)>,
}

impl Server {
    /// Starts the command and waits until it says that both listeners are there. Its log is appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let open = || OpenOptions::new().append(true).create(true).open(log);
        let output =
            open().unwrap_or_else(|error| panic!("cannot open {}: {error}", log.display()));
        let errors = output.try_clone().expect("a file can be shared");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start csc-server: {error}"));
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let (sender, listeners) = channel();
        thread::spawn(move || {
            copy(stdout, output, |line| {
                if let Some(listener) = listening(line) {
                    let _ = sender.send(listener);
                }
            });
        });

        let (mut api, mut admin) = (None, None);
        let start = Instant::now();
        while api.is_none() || admin.is_none() {
            match listeners.recv_timeout(DEADLINE.saturating_sub(start.elapsed())) {
                Ok((listener, address)) if listener == "api" => api = Some(address),
                Ok((listener, address)) if listener == "admin" => admin = Some(address),
                Ok((listener, _)) => panic!("an unknown listener: {listener}"),
                Err(error) => {
                    let _ = child.kill();
                    let text = std::fs::read_to_string(log).unwrap_or_default();
                    let why = match error {
                        RecvTimeoutError::Disconnected => "it ended",
                        RecvTimeoutError::Timeout => "it took too long",
                    };
                    panic!("csc-server did not come up ({why}); its log:\n{text}");
                }
            }
        }
        let (Some(api), Some(admin)) = (api, admin) else {
            unreachable!("the loop ends with both")
        };
        Self {
            child,
            api,
            admin,
            listeners,
        }
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM: requests under way are answered, then the process ends.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot signal csc-server"
        );
        let start = Instant::now();
        loop {
            match self
                .listeners
                .recv_timeout(DEADLINE.saturating_sub(start.elapsed()))
            {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("csc-server did not stop within {} s", DEADLINE.as_secs())
                }
            }
        }
        self.child.wait().expect("a child can be waited for")
    }

    /// SIGKILL, as a crash or a power cut.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }
}

fn copy(stdout: impl std::io::Read, mut log: File, mut line_seen: impl FnMut(&str)) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        line_seen(&line);
    }
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    if fields.get("message")? != "listening" {
        return None;
    }
    let address = fields.get("address")?.as_str()?.parse().ok()?;
    Some((fields.get("listener")?.as_str()?.to_owned(), address))
}
