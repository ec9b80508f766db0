//! `csc-server credential …`

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use hsm_adapter::{KeyAlgorithm, Pin, Puk, Vault};

use super::{
    caller::Caller,
    context::Context,
    mass,
    terminal::{code, new_secret, say, secret},
};
use crate::{
    credential::{Credential, Expired, Keys, Mode, Status},
    enrolment::{NewPin, Request},
    factor::{Error as FactorError, Otp, Purpose},
    holder::Holder,
    ids::{ClientId, CredentialId, FactorId},
    oauth::client::Client,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key in the HSM under a new PIN, and its certificate; the PIN is asked twice, or read from standard input.
    Add(Add),
    /// Change the PIN: asks the old PIN, a one-time code, and the new PIN.
    ChangePin(Which),
    /// Unlock a locked PIN: asks the PUK and a one-time code. The PIN stays what it was.
    Unblock(Which),
    /// Set a new PIN by PUK, where the configuration allows it: asks the PUK, a one-time code, and the new PIN.
    ResetPin(Which),
    /// Suspend: no signature until it is reactivated.
    Suspend(Which),
    /// End a suspension.
    Reactivate(Which),
    /// Revoke for good, and destroy the key.
    Revoke(Which),
    /// Suspend every active credential: when CA or HSM may be compromised. What was interrupted goes on when it is run again.
    SuspendAll,
    /// Revoke every credential for good, and destroy all keys: when CA or HSM are compromised.
    RevokeAll,
    /// Destroy the keys whose certificates have expired by the clock of this machine.
    DestroyExpired,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Identifier of the credential.
    #[arg(long)]
    credential: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// User name of the holder.
    #[arg(long)]
    holder: String,
    /// Identifier of his one-time password factor.
    #[arg(long)]
    otp: String,
    /// rsa-3072, rsa-4096, p256, p384 or p521; the configuration has a default.
    #[arg(long)]
    key: Option<KeyAlgorithm>,
    /// Most signatures of one authorisation.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    multisign: Option<u32>,
    /// How it is authorised: explicit, or automatic (by mandates alone, with a certificate that says so).
    #[arg(long, default_value = "explicit")]
    mode: Mode,
    /// What the holder sees it called.
    #[arg(long)]
    description: Option<String>,
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Add(add) => add.run(caller.act().await?).await,
            // The holder's own: PIN, PUK and codes open them, and no operator does.
            Self::ChangePin(which) => which.open(&caller.open().await?).await?.change_pin().await,
            Self::Unblock(which) => which.open(&caller.open().await?).await?.unblock().await,
            Self::ResetPin(which) => which.open(&caller.open().await?).await?.reset_pin().await,
            Self::Suspend(which) => {
                let context = caller.act().await?;
                let opened = which.open(&context).await?;
                opened.keys.suspend(&opened.credential).await?;
                opened.done("is suspended")
            }
            Self::Reactivate(which) => {
                let context = caller.act().await?;
                let opened = which.open(&context).await?;
                opened.keys.reactivate(&opened.credential).await?;
                opened.done("is active")
            }
            Self::Revoke(which) => {
                let context = caller.act().await?;
                let opened = which.open(&context).await?;
                opened.keys.revoke_credential(&opened.credential).await?;
                opened.done("is revoked, and its key destroyed")
            }
            Self::SuspendAll => mass::change(&caller.act().await?, Status::Suspended).await,
            Self::RevokeAll => mass::change(&caller.act().await?, Status::Revoked).await,
            Self::DestroyExpired => destroy_expired(&caller.act().await?).await,
        }
    }
}

async fn destroy_expired(context: &Context) -> Result<()> {
    let keys = context.keys(&context.vault()?);
    let Expired { destroyed, damaged } = keys.destroy_expired().await?;
    say(&format!("keys destroyed: {destroyed}"));
    let given_up = keys.give_up_abandoned().await?;
    say(&format!(
        "credentials that no application took up: {given_up}"
    ));
    if damaged > 0 {
        bail!(
            "{damaged} expired credentials are not what was recorded; their keys are still there"
        );
    }
    Ok(())
}

impl Which {
    pub(super) async fn open(self, context: &Context) -> Result<Opened<'_>> {
        let id = CredentialId::new(self.credential);
        let found = Credential::by_id(&context.store, &id).await?;
        let vault = context.vault()?;
        Ok(Opened {
            credential: found.with_context(|| format!("there is no credential '{id}'"))?,
            keys: context.keys(&vault),
            context,
            vault,
        })
    }
}

/// A credential, and what its holder may do with it at the terminal.
pub(super) struct Opened<'a> {
    context: &'a Context,
    vault: Vault,
    pub(super) keys: Keys,
    pub(super) credential: Credential,
}

impl Opened<'_> {
    async fn change_pin(self) -> Result<()> {
        let old = pin("PIN")?;
        let otp = self.code(Purpose::ChangePin).await?;
        let new = self.new_pin().await?;
        let client = ClientId::direct();
        self.keys
            .change_pin(&client, &self.credential, &old, &otp, new.pin())
            .await?;
        self.done("has a new PIN")
    }

    async fn unblock(self) -> Result<()> {
        let puk = puk()?;
        let otp = self.code(Purpose::Unblock).await?;
        self.keys
            .unblock(&ClientId::direct(), &self.credential, &puk, &otp)
            .await?;
        self.done("is unlocked; the PIN is what it was")
    }

    async fn reset_pin(self) -> Result<()> {
        let puk = puk()?;
        let otp = self.code(Purpose::Unblock).await?;
        let new = self.new_pin().await?;
        let client = ClientId::direct();
        self.keys
            .reset_pin(&client, &self.credential, &puk, &otp, new.pin())
            .await?;
        self.done("has a new PIN")
    }

    /// A code for this purpose: sent first, unless the holder's device makes it.
    async fn code(&self, purpose: Purpose) -> Result<Otp> {
        let client = self.context.clients()?.find(&ClientId::direct()).await?;
        let client =
            client.context("there is no client 'direct' yet; run `csc-server slot init`")?;
        self.code_for(&client, purpose).await
    }

    /// The same, naming this client.
    pub(super) async fn code_for(&self, client: &Client, purpose: Purpose) -> Result<Otp> {
        let context = self.context;
        let factors = context.factors(&self.vault);
        let factor = factors
            .find(&self.credential.factor)
            .await?
            .context("the credential has lost its factor")?;
        let holder = self.holder().await?;
        match factors
            .send(&factor, &self.credential, &holder, client, purpose)
            .await
        {
            Ok(()) => say("A code is being sent by the running service."),
            Err(FactorError::Offline) => {}
            Err(error) => return Err(error.into()),
        }
        code("One-time code")
    }

    async fn new_pin(&self) -> Result<NewPin> {
        let holder = self.holder().await?;
        new_pin(&[holder.user_name.as_str(), &holder.email])
    }

    pub(super) async fn holder(&self) -> Result<Holder> {
        let accounts = self.context.accounts(&self.vault);
        let holder = accounts.by_id(&self.credential.holder).await?;
        holder.context("the credential has lost its holder")
    }

    fn done(&self, what: &str) -> Result<()> {
        say(&format!("credential {} {what}", self.credential.id));
        Ok(())
    }
}

impl Add {
    async fn run(self, context: Context) -> Result<()> {
        let vault = context.vault()?;
        let holder = context
            .holder(&context.accounts(&vault), &self.holder)
            .await?;
        let factor = FactorId::new(self.otp);
        let found = context.factors(&vault).find(&factor).await?;
        let found = found
            .filter(|factor| factor.belongs_to(&holder))
            .with_context(|| {
                format!(
                    "holder '{}' has no one-time password factor '{factor}'; run `csc-server otp add`",
                    holder.user_name
                )
            })?;
        let limits = &context.config.credential;
        let multisign = self.multisign.unwrap_or(limits.multisign);
        if multisign > limits.max_hashes {
            bail!(
                "--multisign is at most credential.max_hashes, {}",
                limits.max_hashes
            );
        }
        let known = [
            holder.user_name.as_str(),
            &holder.email,
            found.address().unwrap_or_default(),
        ];
        let terms = match &context.config.terms {
            None => None,
            Some(terms) => {
                say(&format!(
                    "By choosing a PIN the holder accepts the terms, version {}: {}",
                    terms.version, terms.url
                ));
                Some(context.accepted(terms)?)
            }
        };
        let pin = new_pin(&known)?;
        let certificate = &context.config.certificate;
        let request = Request {
            id: CredentialId::random(),
            status: Status::Active,
            algorithm: self.key.unwrap_or(certificate.key),
            mode: self.mode,
            factor,
            description: self
                .description
                .unwrap_or_else(|| format!("{} {}", holder.given_name, holder.surname)),
            multisign,
            country: context.config.info.region.clone(),
            puk: limits.puk,
            terms,
        };
        let enrolment = context.enrolment(&vault).await?;
        let (id, puk) = enrolment.credential(&holder, &pin, request).await?;
        if let Some(puk) = puk {
            say(&format!("puk: {}", puk.expose()));
            say("The PUK unlocks a locked PIN. It is not shown again: keep it apart from the PIN.");
        }
        say(&format!("credential: {id}"));
        Ok(())
    }
}

pub(super) fn pin(what: &str) -> Result<Pin> {
    Pin::parse(&secret(what)?).context("a PIN has exactly 8 digits")
}

/// A new PIN that is not among those guessed first.
fn new_pin(known: &[&str]) -> Result<NewPin> {
    Ok(NewPin::choose(&new_secret("New PIN (8 digits)")?, known)?)
}

fn puk() -> Result<Puk> {
    Puk::parse(&secret("PUK")?).context("a PUK has exactly 10 digits")
}
