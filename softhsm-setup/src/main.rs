//! Makes ready SoftHSM2 tokens for a developer, a test or the demo: one for holder keys, one for issuer keys.
//!
//! A run that finds the tokens leaves them and their PINs alone and prints the same configuration again.
//! It makes tokens and nothing more: the master keys in them are made by `csc-server slot init`, which is
//! the same on SoftHSM2 and on a real HSM.

mod home;
mod module;
mod output;
mod token;

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use home::Home;

/// Makes two ready SoftHSM2 tokens, csc-holder and csc-issuer, and prints their sections for the configuration file.
///
/// Run it as the user that runs the service: the PINs are files that only this user may read.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where tokens, PINs and softhsm2.conf go [default: csc-server/softhsm in the user's data directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The SoftHSM2 library [default: found where Debian, Fedora and Homebrew install it]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::progress(&format!("softhsm-setup: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let module = module::find(arguments.module.as_deref())?;
    let dir = match &arguments.dir {
        Some(dir) => dir.clone(),
        None => home::default_dir()?,
    };
    let home = Home::open(&dir)?;
    if env::var_os(home::CONF_VARIABLE).as_deref() != Some(home.conf().as_os_str()) {
        return Err(again_with_conf(&home.conf()));
    }

    let _lock = home.lock()?;
    home.write_conf()?;
    let tokens = token::make_ready(&module, &home)?;
    output::configuration(&module, &home, tokens)
}

/// Starts this program over with SOFTHSM2_CONF set: SoftHSM reads it from its own environment at C_Initialize, and a
/// process may not safely change its environment.
fn again_with_conf(conf: &Path) -> anyhow::Error {
    let program = match env::current_exe().context("cannot find this program's own file") {
        Ok(program) => program,
        Err(error) => return error,
    };
    let error = Command::new(program)
        .args(env::args_os().skip(1))
        .env(home::CONF_VARIABLE, conf)
        .exec();
    anyhow!(error).context("cannot start this program over")
}
