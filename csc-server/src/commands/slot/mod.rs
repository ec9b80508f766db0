//! `csc-server slot …`

mod check;
mod init;
mod record;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use hsm_adapter::MasterSet;

pub(super) use self::check::Judged;
use super::{caller::Caller, context::Context, terminal::say};
use crate::{
    audit::Keeper,
    config::Role,
    rotation::{self, State, Version},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the keys that are missing: master keys in the holder slot, CA and audit keys in the issuer slot, the CA certificate.
    Init(init::Init),
    /// Print the record of the key ceremony again, as `slot init` did: every key with its check value, for two custodians to sign.
    Record,
    /// Say what the HSM can do for the service and what to change, with throw-away keys; ends with 0 when all is well, 4 with a
    /// warning, 5 when something is wrong.
    Check(check::Check),
    /// Say what each slot is, and whether it has sessions.
    List,
    /// Make a new version of master keys and use it from now on; running services follow and move what rests.
    Rotate {
        /// Which keys.
        #[arg(long)]
        key: Rotating,
    },
    /// Say what rests under which version of the master keys.
    Rotation,
    /// Destroy an old version of master keys, and those before it, which nothing needs any more: with it die older backups.
    Destroy(Destroy),
}

/// Master keys that rotate together.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Key {
    /// The outer layer of everything at rest.
    Store,
    /// What PINs and PUKs are sealed under, and records are authenticated with.
    Masters,
}

/// Keys that rotate.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Rotating {
    /// The outer layer of everything at rest.
    Store,
    /// What PINs and PUKs are sealed under, and records are authenticated with.
    Masters,
    /// What signs checkpoints of the audit log; old ones stay for what they signed.
    Audit,
}

#[derive(Debug, Args)]
pub(super) struct Destroy {
    /// Which master keys.
    #[arg(long)]
    key: Key,
    /// The last version to be destroyed.
    #[arg(long)]
    version: u32,
}

impl From<Key> for MasterSet {
    fn from(key: Key) -> Self {
        match key {
            Key::Store => Self::Store,
            Key::Masters => Self::Sealing,
        }
    }
}

impl Command {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Init(init) => init.run(caller).await,
            Self::Record => {
                say(record::record(&caller.act().await?).await?.trim_end());
                Ok(())
            }
            Self::Check(check) => check.run(caller).await,
            Self::List => list(&caller.open().await?),
            Self::Rotate { key } => rotate(&caller.act().await?, key).await,
            Self::Rotation => progress(&caller.act().await?).await,
            Self::Destroy(destroy) => destroy.run(&caller.act().await?).await,
        }
    }
}

/// One line a slot: what the configuration says, and what its sessions say now.
fn list(context: &Context) -> Result<()> {
    for slot in &context.config.slots {
        let role = match slot.role {
            Role::Holder => "holder",
            Role::Issuer => "issuer",
        };
        let state = match context.open_slot(slot).map(|open| open.state().sessions) {
            Ok(0) => "no session".to_owned(),
            // One of them makes keys.
            Ok(count) => format!("{} of {} sessions", count - 1, slot.sessions),
            Err(error) => format!("{error:#}"),
        };
        say(&format!(
            "{}: {role}, profile {}, weight {}, {}: {state}",
            slot.name(),
            slot.profile,
            slot.weight,
            slot.module.display()
        ));
    }
    Ok(())
}

async fn rotate(context: &Context, key: Rotating) -> Result<()> {
    let set = match key {
        Rotating::Store => MasterSet::Store,
        Rotating::Masters => MasterSet::Sealing,
        Rotating::Audit => return rotate_audit(context).await,
    };
    let vault = context.vault()?;
    for master in context.rotation(&vault).rotate(set).await? {
        report("holder", &master.label, master.created);
    }
    say(
        "in use from now on; `csc-server slot rotation` says what still rests under an older version",
    );
    Ok(())
}

async fn rotate_audit(context: &Context) -> Result<()> {
    let (store, clock) = (context.store.clone(), context.clock.clone());
    let every = context.config.audit.checkpoint_every;
    let keeper = Keeper::new(store, clock, context.issuer()?, every).await?;
    let version = keeper.rotate().await?;
    say(&format!("issuer: audit/v{version} signs from now on"));
    say("hand out what `csc-server audit key` prints");
    Ok(())
}

async fn progress(context: &Context) -> Result<()> {
    let rotation = context.rotation(&context.vault()?);
    for set in MasterSet::ALL {
        for Version {
            version,
            state,
            usage,
        } in rotation.versions(set).await?
        {
            let state = match state {
                State::InUse => " (in use)",
                State::Begun => " (begun; `slot rotate` completes it)",
                State::Lost => " (destroyed; what rests under it is lost)",
                State::Old if usage.rows() == 0 => " (can be destroyed)",
                State::Old => "",
            };
            say(&format!(
                "{}/v{version}{state}: {usage}",
                rotation::name(set)
            ));
        }
    }
    Ok(())
}

impl Destroy {
    async fn run(self, context: &Context) -> Result<()> {
        let set = self.key.into();
        let rotation = context.rotation(&context.vault()?);
        while let Err(error) = rotation.retire(set, self.version).await {
            let rotation::Error::TooYoung(left) = error else {
                return Err(error.into());
            };
            say(&error.to_string());
            tokio::time::sleep(left).await;
        }
        let pause = context.config.server.request_timeout;
        say(&format!(
            "no row needs it; requests under way may, for {} s",
            pause.as_secs()
        ));
        tokio::time::sleep(pause).await;
        for label in rotation.destroy(set, self.version).await? {
            say(&format!("holder: {label} destroyed"));
        }
        Ok(())
    }
}

fn report(slot: &str, what: &str, created: bool) {
    say(&format!(
        "{slot}: {what} {}",
        if created { "made" } else { "was there" }
    ));
}
