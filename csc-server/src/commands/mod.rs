//! What an operator types.

mod audit;
mod ca;
mod client;
mod context;
mod credential;
mod history;
mod holder;
mod otp;
mod serve;
mod slot;
mod terminal;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Remote signing service (Cloud Signature Consortium API).
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// Configuration file; `deploy/csc-server.toml` is the commented reference.
    #[arg(
        long,
        env = "CSC_CONFIG",
        default_value = "csc-server.toml",
        global = true
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve,
    /// The slots of the HSM.
    #[command(subcommand)]
    Slot(slot::Command),
    /// The embedded certification authority.
    #[command(subcommand)]
    Ca(ca::Command),
    /// People who sign.
    #[command(subcommand)]
    Holder(holder::Command),
    /// One-time passwords of holders.
    #[command(subcommand)]
    Otp(otp::Command),
    /// Keys with certificates.
    #[command(subcommand)]
    Credential(credential::Command),
    /// Signing applications.
    #[command(subcommand)]
    Client(client::Command),
    /// The audit log: export, verify, prove.
    #[command(subcommand)]
    Audit(audit::Command),
    /// What was signed with a credential, one JSON object a line.
    History(history::History),
}

/// Runs a command: success, or one sentence on standard error about what is wrong.
pub async fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config.as_path();
    let ended = match arguments.command {
        Command::Serve => serve::run(config).await,
        Command::Slot(command) => command.run(config).await,
        Command::Ca(command) => command.run(config).await,
        Command::Holder(command) => command.run(config).await,
        Command::Otp(command) => command.run(config).await,
        Command::Credential(command) => command.run(config).await,
        Command::Client(command) => command.run(config).await,
        Command::Audit(command) => command.run(config).await,
        Command::History(history) => history.run(config).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}
