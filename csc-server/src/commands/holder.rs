//! `csc-server holder …`

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::{
    context::Context,
    terminal::{new_secret, say},
};
use crate::holder::NewHolder;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; the password is asked twice, or read from standard input.
    Add(Add),
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
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        let Self::Add(add) = self;
        let context = Context::open(config).await?;
        let stretcher = context.stretcher();
        let vault = context.vault(stretcher.clone())?;
        let password = new_secret("Password")?;
        let new = NewHolder {
            user_name: add.user,
            given_name: add.given_name,
            surname: add.surname,
            email: add.email,
            language: match add.language {
                Language::It => "it".into(),
                Language::En => "en".into(),
            },
        };
        let id = context
            .accounts(&vault, &stretcher)
            .add(new, &password)
            .await?;
        say(&format!("holder: {id}"));
        Ok(())
    }
}
