//! `csc-server otp …`

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use hsm_adapter::Vault;

use super::{
    caller::Caller,
    context::Context,
    terminal::{complain_of, progress, say, say_otpauth, secret},
};
use crate::{
    clock::generalized,
    config::secret,
    factor::{Algorithm, Factor, Factors, Kind, seeds},
    holder::Holder,
    ids::FactorId,
    notify::PhoneNumber,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give a holder a one-time password factor.
    Add(Add),
    /// The factors of a holder: identifier, kind, serial number, lock.
    List {
        /// User name of the holder.
        #[arg(long)]
        holder: String,
    },
    /// Take the tokens of a maker's file in, all or none; nobody has them yet.
    Import(Import),
    /// Hand an imported token out.
    Assign {
        /// Serial number, as on the token.
        #[arg(long)]
        serial: String,
        /// User name of the holder.
        #[arg(long)]
        holder: String,
    },
    /// Bring a token back into step by two codes it makes one after the other, asked for or read from standard input.
    Resync {
        /// Identifier of the factor.
        #[arg(long)]
        otp: String,
    },
    /// Let codes in again after wrong ones.
    Unlock {
        /// Identifier of the factor.
        #[arg(long)]
        otp: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// User name of the holder.
    #[arg(long)]
    holder: String,
    /// An authenticator app, codes by mail, or codes by SMS. Tokens come by `otp import` and `otp assign`.
    #[arg(long, value_enum)]
    kind: Way,
    /// Telephone number, such as +393331234567; with --kind sms.
    #[arg(long, required_if_eq("kind", "sms"))]
    number: Option<PhoneNumber>,
    /// Digits of a code of the app: 6 or 8.
    #[arg(long, default_value = "6", value_parser = ["6", "8"])]
    digits: String,
    /// Hash of the app's HMAC: sha1, which every app can do, or sha256.
    #[arg(long, default_value = "sha1")]
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Totp,
    Mail,
    Sms,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Lines serial,seed,digits,counter, or a key container of RFC 6030.
    #[arg(long, value_enum)]
    format: Format,
    /// The file with the pre-shared key of an encrypted container: 32 hexadecimal digits.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The maker's file; nobody else may read it.
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Pskc,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let office = Office::open(caller).await?;
        match self {
            Self::Add(add) => office.add(add).await,
            Self::List { holder } => office.list(&holder).await,
            Self::Import(import) => office.import(import).await,
            Self::Assign { serial, holder } => office.assign(&serial, &holder).await,
            Self::Resync { otp } => office.resync(&FactorId::new(otp)).await,
            Self::Unlock { otp } => {
                let factor = office.factor(&FactorId::new(otp)).await?;
                office.factors.unlock(&factor).await?;
                say(&format!("otp {} takes codes again", factor.id));
                Ok(())
            }
        }
    }
}

/// What these commands work with.
struct Office {
    context: Context,
    vault: Vault,
    factors: Factors,
}

impl Office {
    async fn open(caller: &Caller) -> Result<Self> {
        let context = caller.act().await?;
        let vault = context.vault()?;
        Ok(Self {
            factors: context.factors(&vault),
            context,
            vault,
        })
    }

    async fn holder(&self, user_name: &str) -> Result<Holder> {
        let accounts = self.context.accounts(&self.vault);
        self.context.holder(&accounts, user_name).await
    }

    async fn factor(&self, id: &FactorId) -> Result<Factor> {
        let factor = self.factors.find(id).await?;
        factor.with_context(|| {
            format!("there is no one-time password factor '{id}'; see `csc-server otp list`")
        })
    }

    async fn add(&self, add: Add) -> Result<()> {
        let holder = self.holder(&add.holder).await?;
        let id = match (add.kind, add.number) {
            (Way::Mail, None) => self.factors.enrol_mail(&holder).await?,
            (Way::Sms, Some(number)) => {
                ensure!(
                    self.context.config.sms.is_some(),
                    "the configuration has no [sms]: no text message would leave"
                );
                self.factors.enrol_sms(&holder, &number).await?
            }
            (Way::Totp, None) => {
                let digits = add.digits.parse()?;
                let enrolled = self.factors.enrol_totp(&holder, add.algorithm, digits);
                let (id, uri) = enrolled.await?;
                say_otpauth(&uri)?;
                id
            }
            (_, _) => bail!("--number goes with --kind sms"),
        };
        say(&format!("otp: {id}"));
        Ok(())
    }

    async fn list(&self, holder: &str) -> Result<()> {
        let now = self.context.clock.now();
        for factor in self.factors.of_holder(&self.holder(holder).await?).await? {
            let serial = factor.serial().map(|serial| format!(" serial {serial}"));
            let lock = (factor.locked_until > now)
                .then(|| format!(" locked until {}", generalized(factor.locked_until)));
            say(&format!(
                "{} {}{}{}",
                factor.id,
                factor.kind.name(),
                serial.unwrap_or_default(),
                lock.unwrap_or_default()
            ));
        }
        Ok(())
    }

    async fn import(&self, import: Import) -> Result<()> {
        let text = secret::read(&import.file)?;
        let read = match (import.format, &import.key_file) {
            (Format::Csv, None) => seeds::csv(&text),
            (Format::Csv, Some(_)) => bail!("--key-file goes with --format pskc"),
            (Format::Pskc, None) => seeds::pskc(&text, None),
            (Format::Pskc, Some(file)) => {
                let key = secret::read(file)?;
                let key = seeds::hexadecimal(&key).filter(|key| key.len() == 16);
                let key = key.context("a pre-shared key is 32 hexadecimal digits")?;
                seeds::pskc(&text, Some(&key))
            }
        };
        let tokens = match read {
            Ok(tokens) => tokens,
            Err(bad) => {
                for line in &bad {
                    complain_of(&format!("line {}: {}", line.line, line.problem));
                }
                bail!("{} bad lines; nothing was imported", bad.len());
            }
        };
        let known = self.factors.known(&tokens).await?;
        for serial in &known {
            complain_of(&format!("serial number {serial} is imported already"));
        }
        ensure!(known.is_empty(), "nothing was imported");

        let count = tokens.len();
        let bar = progress(count as u64, "sealing seeds");
        self.factors.import(tokens, || bar.inc(1)).await?;
        bar.finish_and_clear();
        say(&format!("{count} tokens imported; delete the file"));
        Ok(())
    }

    async fn assign(&self, serial: &str, holder: &str) -> Result<()> {
        let holder = self.holder(holder).await?;
        let token = self.factors.by_serial(serial).await?;
        let token = token.with_context(|| {
            format!("there is no token '{serial}'; run `csc-server otp import`")
        })?;
        let id = token.id.clone();
        ensure!(
            self.factors.assign(token, &holder).await?,
            "somebody has the token '{serial}' already"
        );
        say(&format!("otp: {id}"));
        Ok(())
    }

    async fn resync(&self, id: &FactorId) -> Result<()> {
        let token = self.factor(id).await?;
        ensure!(token.kind == Kind::Hotp, "otp {id} is no token that counts");
        let (first, second) = (secret("First code")?, secret("Next code")?);
        ensure!(
            self.factors.resync(&token, [&first, &second]).await?,
            "these are not two consecutive codes of this token"
        );
        say(&format!("otp {id} is in step again"));
        Ok(())
    }
}
