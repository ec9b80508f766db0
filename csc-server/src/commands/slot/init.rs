//! `csc-server slot init`

use anyhow::{Result, ensure};
use clap::Args;
use hsm_adapter::{Issuer, KeyAlgorithm, MacKey, Master};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{record::record, report};
use crate::{
    actor::Actor,
    audit::{self, Event},
    ca,
    clock::Millis,
    commands::{
        caller::Caller,
        context::Context,
        operator::enrols,
        terminal::{new_secret, say},
    },
    operator::{Error, NewOperator, Operators, Roles, Standing},
    params,
    store::{StoreError, Tx},
    timestamp,
};

#[derive(Debug, Args)]
pub(in crate::commands) struct Init {
    /// At installation: the first two operators, security officers; their first passwords are asked twice, or read from standard input.
    #[arg(long, value_name = "NAME")]
    officer: Vec<String>,
}

impl Init {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.context().await?;
        context.not_ended().await?;
        if Operators::standing(&context.store).await? == Standing::NoAccounts {
            return self.found(context).await;
        }
        ensure!(self.officer.is_empty(), Error::Founded);
        let context = caller.act().await?;
        let issuer = context.issuer()?;
        make_masters(&context, &issuer).await?;
        make_the_rest(&context, issuer).await?;
        say_record(&context).await
    }

    /// Device initialisation under dual control (SC-20): both officers are there, and type their passwords.
    async fn found(self, mut context: Context) -> Result<()> {
        let [one, other] = <[String; 2]>::try_from(self.officer).map_err(|_| Error::NoAccounts)?;
        let passwords = [first_password(&one)?, first_password(&other)?];
        context.store = context.store.acting(Actor::Installation);
        let issuer = context.issuer()?;
        let made = make_masters(&context, &issuer).await?;
        // Whoever empties the database founds nothing: the token remembers.
        let fresh = |master: &Master| master.created && master.label == MacKey::Operator.label();
        ensure!(made.iter().any(fresh), Error::Founded);
        let founders = [
            (one.as_str(), passwords[0].as_str()),
            (&other, &passwords[1]),
        ];
        let policy = &context.config.policy;
        context.operators()?.found(founders, policy).await?;
        make_the_rest(&context, issuer).await?;
        for name in [&one, &other] {
            say(&enrols(name));
        }
        say_record(&context).await
    }
}

/// What two custodians sign.
async fn say_record(context: &Context) -> Result<()> {
    let record = record(context).await?;
    say(&format!("\n{}", record.trim_end()));
    Ok(())
}

fn first_password(name: &str) -> Result<Zeroizing<String>> {
    let password = new_secret(&format!("First password of {name}"))?;
    let new = NewOperator {
        name,
        roles: Roles::officer(),
        password: &password,
    };
    new.check()?;
    Ok(password)
}

/// The keys of the holder slot.
async fn make_masters(context: &Context, issuer: &Issuer) -> Result<Vec<Master>> {
    let vault = context.vault()?;
    context.apart(&vault, issuer).await?;
    let masters = vault.init().await?;
    for master in &masters {
        report("holder", &master.label, master.created);
        if master.created {
            let label = master.label.clone();
            let event = Event::MasterCreated { label };
            audit::note(&context.store, context.clock.now(), "", event).await?;
        }
    }
    Ok(masters)
}

/// What stands beside them: proof that they do what is needed, the keys of the issuer slot, the CA.
async fn make_the_rest(context: &Context, issuer: Issuer) -> Result<()> {
    let vault = context.vault()?;
    context.selftest(&vault).await?;
    context.rotation(&vault).register().await?;
    context
        .clients()?
        .ensure_direct(&context.config.info.name)
        .await?;

    for (label, algorithm) in [
        (ca::LABEL, context.config.certificate.ca_key),
        (audit::LABEL, KeyAlgorithm::P256),
        (ca::TSA_LABEL, timestamp::KEY),
    ] {
        let (_, created) = issuer.ensure(label, algorithm).await?;
        report("issuer", label, created);
        if created {
            let label = label.to_owned();
            let event = Event::MasterCreated { label };
            audit::note(&context.store, context.clock.now(), "", event).await?;
        }
    }
    if context.ca_certificate().await.is_err() {
        create_ca(context, issuer).await?;
    }
    if context.tsa_certificate().await.is_err() {
        create_tsa(context).await?;
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
            insert(tx, ca::LABEL, &certificate, now).await?;
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

/// The certificate of the time-stamping authority.
async fn create_tsa(context: &Context) -> Result<()> {
    let now = context.clock.now();
    let config = &context.config;
    let name = ca::CaName {
        common_name: config.timestamp.name.clone(),
        organization: config.certificate.organization.clone(),
        country: config.info.region.clone(),
    };
    let (days, serial) = (config.timestamp.days, ca::random_serial());
    let ca = context.ca().await?;
    let certificate = ca
        .certify_tsa(ca::TSA_LABEL, &name, days, &serial, now)
        .await?;
    let hash = hex::encode(Sha256::digest(&certificate));
    context
        .store
        .write(async move |tx| {
            insert(tx, ca::TSA_LABEL, &certificate, now).await?;
            let created = Event::TsaCreated {
                label: ca::TSA_LABEL,
                certificate_hash: hash.clone(),
                record: ca::TABLE.record(tx, ca::TSA_LABEL).await?,
            };
            audit::record(tx, now, "", &created);
            Ok(())
        })
        .await?;
    report("issuer", "TSA certificate", true);
    Ok(())
}

async fn insert(
    tx: &mut Tx,
    label: &str,
    certificate: &[u8],
    now: Millis,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO issuer (label, certificate, created) VALUES ($1, $2, $3) ON CONFLICT (label) DO NOTHING";
    tx.execute(sql, params![label, certificate.to_vec(), now])
        .await
        .map(drop)
}
