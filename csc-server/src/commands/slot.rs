//! `csc-server slot …`

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;
use hsm_adapter::{Issuer, KeyAlgorithm};
use sha2::{Digest, Sha256};

use super::{context::Context, terminal::say};
use crate::{
    audit::{self, Event},
    ca, params,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the keys that are missing: master keys in the holder slot, CA and audit keys in the issuer slot, the CA certificate.
    Init,
}

impl Command {
    pub(super) async fn run(self, config: &Path) -> Result<()> {
        let Self::Init = self;
        let context = Context::open(config).await?;
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
            audit::record(tx, now, "", &Event::CaCreated { certificate_hash: hash.clone() });
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
