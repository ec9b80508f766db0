//! The product's binaries, beside the running test, and what they answer on the terminal.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What a command left behind.
pub struct Run {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether it ended with status 0.
    pub success: bool,
    /// The status, unless a signal ended it.
    pub code: Option<i32>,
}

impl Run {
    /// The command's standard output; panics with what it said when it failed.
    pub fn expect(self, what: &str) -> String {
        assert!(
            self.success,
            "{what} failed:\n{}{}",
            self.stdout, self.stderr
        );
        self.stdout
    }
}

/// The binary or library of this name, in the directory this program was built into.
pub fn path(name: &str) -> PathBuf {
    let program = env::current_exe().expect("a program knows its own file");
    // target/<profile>/deps/<test>, or target/<profile>/<program>
    let built = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name));
    built.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!(
            "{name} is missing beside {}: use conformance-tests/run, or build it first with `cargo build --workspace --lib --bins`",
            program.display()
        )
    })
}

/// Runs a command to its end, with these lines on its standard input.
pub fn run(command: &mut Command, stdin: &[&str]) -> Run {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let mut input = child.stdin.take().expect("standard input is a pipe");
    for line in stdin {
        // A command that ends without reading its input is judged by its answer.
        let _ = writeln!(input, "{line}");
    }
    drop(input);
    let output = child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("cannot wait for {program}: {error}"));
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        success: output.status.success(),
        code: output.status.code(),
    }
}
