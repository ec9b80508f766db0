//! What an operator types.

mod approval;
mod audit;
mod ca;
mod caller;
mod client;
mod context;
mod credential;
mod history;
mod holder;
mod operator;
mod otp;
mod serve;
mod slot;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::caller::{Caller, Options};
use crate::operator::Error as OperatorError;

/// How a command ends that waits for a second officer.
const WAITING: u8 = 3;

/// Remote signing service (Cloud Signature Consortium API).
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    options: Options,
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
    /// Who runs the service.
    #[command(subcommand)]
    Operator(operator::Command),
    /// What takes two officers.
    #[command(subcommand)]
    Approval(approval::Command),
}

/// Runs the command of this process: success, or one sentence on standard error about what is wrong.
pub async fn run() -> ExitCode {
    let definition = Arguments::command();
    let matches = definition.clone().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let caller = &Caller::new(arguments.options, &definition, &matches);
    let ended = match arguments.command {
        Command::Serve => serve::run(caller).await,
        Command::Slot(command) => command.run(caller).await,
        Command::Ca(command) => command.run(caller).await,
        Command::Holder(command) => command.run(caller).await,
        Command::Otp(command) => command.run(caller).await,
        Command::Credential(command) => command.run(caller).await,
        Command::Client(command) => command.run(caller).await,
        Command::Audit(command) => command.run(caller).await,
        Command::History(history) => history.run(caller).await,
        Command::Operator(command) => command.run(caller).await,
        Command::Approval(command) => command.run(caller).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            Some(waiting @ OperatorError::Waiting(_)) => {
                terminal::say(&waiting.to_string());
                ExitCode::from(WAITING)
            }
            _ => {
                terminal::complain(&error);
                ExitCode::FAILURE
            }
        },
    }
}
