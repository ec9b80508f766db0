//! `csc-server slot …`

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use hsm_adapter::{Issuer, KeyAlgorithm, MasterSet};
use sha2::{Digest, Sha256};

use super::{context::Context, terminal::say};
use crate::{
    audit::{self, Event},
    ca, params,
    rotation::{self, State, Version},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the keys that are missing: master keys in the holder slot, CA and audit keys in the issuer slot, the CA certificate.
    Init,
    /// Make a new version of master keys and use it from now on; running services follow and move what rests.
    Rotate {
        /// Which master keys.
        #[arg(long)]
        key: Key,
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
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        let context = Context::open(config).await?;
        // SC-75: to rotate and to destroy takes two officers; whether they agreed is decided here, before anything is done.
        match self {
            Self::Init => init(context).await,
            Self::Rotate { key } => rotate(&context, key.into()).await,
            Self::Rotation => progress(&context).await,
            Self::Destroy(destroy) => destroy.run(&context).await,
        }
    }
}

async fn rotate(context: &Context, set: MasterSet) -> Result<()> {
    let vault = context.vault(context.stretcher())?;
    for master in context.rotation(&vault).rotate(set).await? {
        report("holder", &master.label, master.created);
    }
    say(
        "in use from now on; `csc-server slot rotation` says what still rests under an older version",
    );
    Ok(())
}

async fn progress(context: &Context) -> Result<()> {
    let rotation = context.rotation(&context.vault(context.stretcher())?);
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
        let rotation = context.rotation(&context.vault(context.stretcher())?);
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

async fn init(context: Context) -> Result<()> {
    let vault = context.vault(context.stretcher())?;
    let issuer = context.issuer()?;
    context.apart(&vault, &issuer).await?;
    let now = context.clock.now();
    for master in vault.init().await? {
        report("holder", &master.label, master.created);
        if master.created {
            let event = Event::MasterCreated {
                label: master.label,
            };
            audit::note(&context.store, now, "", event).await?;
        }
    }
    context.selftest(&vault).await?;
    context.rotation(&vault).register().await?;
    context
        .clients()
        .ensure_direct(&context.config.info.name)
        .await?;

    for (label, algorithm) in [
        (ca::LABEL, context.config.certificate.ca_key),
        (audit::LABEL, KeyAlgorithm::P256),
    ] {
        let (_, created) = issuer.ensure(label, algorithm).await?;
        report("issuer", label, created);
        if created {
            let label = label.to_owned();
            let event = Event::MasterCreated { label };
            audit::note(&context.store, now, "", event).await?;
        }
    }
    if context.ca_certificate().await.is_err() {
        create_ca(&context, issuer).await?;
    }
    say("both slots are ready");
    Ok(())
}

async fn create_ca(context: &Context, issuer: Issuer) -> Result<()> {
    let now = context.clock.now();
    let config = &context.config.certificate;
    let name = ca::CaName {
        common_name: config.ca_name.clone(),
        organization: config.organization.clone(),
        country: context.config.info.region.clone(),
    };
    let certificate = ca::create_root(
        issuer,
        ca::LABEL,
        &name,
        config.ca_days,
        &ca::random_serial(),
        now,
    )
    .await?;
    let hash = hex::encode(Sha256::digest(&certificate));
    context
        .store
        .write(async move |tx| {
            let sql = "INSERT INTO issuer (label, certificate, created) VALUES ($1, $2, $3) ON CONFLICT (label) DO NOTHING";
            tx.execute(sql, params![ca::LABEL, certificate.clone(), now]).await?;
            let created = Event::CaCreated {
                label: ca::LABEL,
                certificate_hash: hash.clone(),
                record: ca::TABLE.record(tx, ca::LABEL).await?,
            };
            audit::record(tx, now, "", &created);
            Ok(())
        })
        .await?;
    report("issuer", "CA certificate", true);
    Ok(())
}

fn report(slot: &str, what: &str, created: bool) {
    say(&format!(
        "{slot}: {what} {}",
        if created { "made" } else { "was there" }
    ));
}
