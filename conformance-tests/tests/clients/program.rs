//! A program that speaks with its user meanwhile, line by line.

use std::process::{ExitStatus, Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

/// One that runs; it is killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            stdin: child.stdin.take().expect("standard input is a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("standard output is a pipe")),
            stderr: BufReader::new(child.stderr.take().expect("standard error is a pipe")),
            child,
        }
    }

    /// Types a line.
    pub(crate) async fn told(&mut self, line: &str) {
        let line = format!("{line}\n");
        let written = self.stdin.write_all(line.as_bytes()).await;
        written.expect("the program reads its input");
    }

    /// The next line of its standard output; panics with its complaint when there is none.
    pub(crate) async fn says(&mut self) -> String {
        let line = line(&mut self.stdout).await;
        match line {
            Some(line) => line,
            None => panic!("it said no more: {}", all(&mut self.stderr).await),
        }
    }

    /// The next URL on its standard error; panics with its answer when there is none.
    pub(crate) async fn sends_to(&mut self) -> String {
        while let Some(line) = line(&mut self.stderr).await {
            if line.starts_with("https://") {
                return line;
            }
        }
        panic!("it named no URL: {}", all(&mut self.stdout).await);
    }

    /// Its last words on standard output, once it has ended well.
    pub(crate) async fn ends(self) -> String {
        let (status, stdout, stderr) = self.ended().await;
        assert!(status.success(), "{status}: {stdout}{stderr}");
        stdout
    }

    /// How it ended, and its last words.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, String) {
        drop(self.stdin);
        let (stdout, stderr) = tokio::join!(all(&mut self.stdout), all(&mut self.stderr));
        let status = self.child.wait().await.expect("it ends");
        (status, stdout, stderr)
    }
}

async fn line(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut line = String::new();
    let read = from.read_line(&mut line).await.expect("it writes text");
    (read > 0).then(|| line.trim_end().to_owned())
}

async fn all(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    let read = from.read_to_string(&mut text).await;
    read.expect("it writes text");
    text
}
