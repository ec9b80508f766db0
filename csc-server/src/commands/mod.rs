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
mod mandate;
mod mass;
mod module;
mod operator;
mod otp;
mod policy;
mod routes;
mod serve;
mod session;
mod slot;
mod terminal;
mod terminate;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::caller::{Caller, Options};
pub use self::module::run_if_asked;
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
    /// Every URL that is answered: listener, method, path.
    Routes,
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
    /// What holders let applications sign without them.
    #[command(subcommand)]
    Mandate(mandate::Command),
    /// Signing applications.
    #[command(subcommand)]
    Client(client::Command),
    /// The audit log: export, verify, prove.
    #[command(subcommand)]
    Audit(audit::Command),
    /// What was signed with a credential, one JSON object a line.
    History(history::History),
    /// Begin a session: every command of an operator wants one.
    Login(session::Login),
    /// End the session.
    Logout,
    /// Who runs the service.
    #[command(subcommand)]
    Operator(operator::Command),
    /// The settings that two security officers approve.
    #[command(subcommand)]
    Policy(policy::Command),
    /// What takes two officers.
    #[command(subcommand)]
    Approval(approval::Command),
    /// End the service: revoke every credential, destroy what keys of holders are sealed under, seal the audit log. There is no way back.
    Terminate,
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
        Command::Routes => routes::run(),
        Command::Slot(command) => command.run(caller).await,
        Command::Ca(command) => command.run(caller).await,
        Command::Holder(command) => command.run(caller).await,
        Command::Otp(command) => command.run(caller).await,
        Command::Credential(command) => command.run(caller).await,
        Command::Mandate(command) => command.run(caller).await,
        Command::Client(command) => command.run(caller).await,
        Command::Audit(command) => command.run(caller).await,
        Command::History(history) => history.run(caller).await,
        Command::Login(login) => login.run(caller).await,
        Command::Logout => session::log_out(caller).await,
        Command::Policy(command) => command.run(caller).await,
        Command::Operator(command) => command.run(caller).await,
        Command::Approval(command) => command.run(caller).await,
        Command::Terminate => terminate::run(caller).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(waiting @ OperatorError::Waiting(_)) = error.downcast_ref() {
                terminal::say(&waiting.to_string());
                return ExitCode::from(WAITING);
            }
            if let Some(judged) = error.downcast_ref::<slot::Judged>() {
                return judged.status();
            }
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{access, commands};

    /// Every command that can be given, by the names before its arguments.
    fn leaves(command: &clap::Command, name: &str, into: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name());
            match below.has_subcommands() {
                true => leaves(below, &name, into),
                false => into.push(name.trim().to_owned()),
            }
        }
    }

    #[test]
    fn every_command_has_its_row_in_the_table_and_every_row_its_command() {
        let mut leaves_of_all = Vec::new();
        leaves(&Arguments::command(), "", &mut leaves_of_all);
        for command in &leaves_of_all {
            assert!(access(command, &[]).is_some(), "no row for '{command}'");
        }
        for row in commands() {
            let name = row.split(" --").next().unwrap_or(row);
            assert!(
                leaves_of_all.iter().any(|command| command == name),
                "no command '{row}'"
            );
        }
    }
}
