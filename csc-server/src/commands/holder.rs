//! `csc-server holder …`

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::{
    caller::Caller,
    terminal::{new_secret, say},
};
use crate::holder::NewHolder;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; the password is asked twice, or read from standard input.
    Add(Add),
    /// Block a person: no log-in, no signature, until unblocked.
    Block(Which),
    /// Let a blocked person in again.
    Unblock(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// User name.
    #[arg(long)]
    user: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What he types to log in.
    #[arg(long)]
    user: String,
    /// Given name, as in his identity document.
    #[arg(long)]
    given_name: String,
    /// Surname.
    #[arg(long)]
    surname: String,
    /// Where codes and notices go.
    #[arg(long)]
    email: String,
    /// Language of his messages.
    #[arg(long, value_enum, default_value = "it")]
    language: Language,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    It,
    En,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let (user, blocked) = match self {
            Self::Add(add) => return add.run(caller).await,
            Self::Block(which) => (which.user, true),
            Self::Unblock(which) => (which.user, false),
        };
        let context = caller.act().await?;
        let accounts = context.accounts(&context.vault()?);
        let holder = context.holder(&accounts, &user).await?;
        accounts.set_blocked(&holder, blocked).await?;
        say(&format!(
            "holder '{user}' is {}",
            if blocked { "blocked" } else { "active" }
        ));
        Ok(())
    }
}

impl Add {
    async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.act().await?;
        let accounts = context.accounts(&context.vault()?);
        let password = new_secret("Password")?;
        let new = NewHolder {
            user_name: self.user,
            given_name: self.given_name,
            surname: self.surname,
            email: self.email,
            language: match self.language {
                Language::It => "it".into(),
                Language::En => "en".into(),
            },
        };
        let id = accounts.add(new, &password).await?;
        say(&format!("holder: {id}"));
        Ok(())
    }
}
