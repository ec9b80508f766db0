//! What commands open: configuration, database, slots.

use std::{path::Path, sync::OnceLock};

use anyhow::{Context as _, Result, bail};
use hsm_adapter::{Issuer, Stretcher, Vault, process};

use super::module::Modules;
use crate::{
    app::{credential_policy, factor_policy, stretcher},
    audit::{self, Chain, Event},
    ca::{self, Ca},
    clock::{Clock, rfc3339},
    config::{self, Config, Role, Slot, StoreUrl, Weakness, secret},
    credential::Keys,
    enrolment::{ByHolder, Enrolment, Terms},
    factor::Factors,
    holder::{Accounts, Holder},
    oauth::client::Clients,
    operator::{Operators, Watch},
    params,
    rotation::Rotation,
    store::{Location, Store},
    timekeeper::{TimeTrust, Timekeeper},
    timestamp::{Authority, Embedded, Remote, Tsa},
};

/// Configuration and database, which every command needs.
pub(super) struct Context {
    pub config: Config,
    pub clock: Clock,
    pub store: Store,
    /// The chain of the audit log that this process writes.
    pub chain: String,
    stretcher: Stretcher,
    modules: Modules,
    vault: OnceLock<Vault>,
    issuer: OnceLock<Issuer>,
}

impl Context {
    /// Reads the configuration and opens the database.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let config = Config::load(path)?;
        config.check_files()?;
        let location = location(&config)?;
        let chain = Chain::start();
        let id = chain.id().to_owned();
        let store = Store::open(&location, config.store.readers, Box::new(chain)).await?;
        Ok(Self {
            stretcher: stretcher(&config),
            modules: Modules::default(),
            vault: OnceLock::new(),
            issuer: OnceLock::new(),
            config,
            clock: Clock::System,
            store,
            chain: id,
        })
    }

    /// The holder slot, opened when first asked for.
    pub(super) fn vault(&self) -> Result<Vault> {
        if let Some(vault) = self.vault.get() {
            return Ok(vault.clone());
        }
        let slots = self.config.slots(Role::Holder);
        let opened = slots.map(|slot| Ok((self.open_slot(slot)?, slot.weight)));
        let opened: Vec<_> = opened.collect::<Result<_>>()?;
        let vault = Vault::spread(opened, self.stretcher.clone());
        Ok(self.vault.get_or_init(|| vault).clone())
    }

    /// The sessions of a slot: in the process of its module, which alone reads the PIN and loads the library.
    pub(super) fn open_slot(&self, slot: &Slot) -> Result<process::Remote> {
        self.modules.open(&self.config, slot)
    }

    /// Refuses to go on where the service was ended (SC-101).
    pub(super) async fn not_ended(&self) -> Result<()> {
        // As the index says it.
        const SQL: &str =
            r#"SELECT time FROM audit WHERE event LIKE '{"event":"SERVICE_ENDED"%' LIMIT 1"#;
        if let Some(mut row) = self.store.find(SQL, &[]).await? {
            let when = rfc3339(row.get(0)?);
            bail!(
                "the service was ended {when}: its keys are destroyed, and what is left is evidence"
            );
        }
        Ok(())
    }

    /// Compares the clock.
    pub(super) fn timekeeper(&self) -> Timekeeper {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Timekeeper::new(store, clock, self.config.clock.clone())
    }

    /// Proves that every slot of holders has the same master keys: what one seals, each other opens.
    pub(super) async fn agree(&self, vault: &Vault) -> Result<()> {
        let slots = vault.slots();
        let alone = |slot: &process::Remote| Vault::remote(slot.clone(), self.stretcher());
        let (here, away): (Vec<_>, Vec<_>) =
            slots.iter().partition(|slot| slot.state().sessions > 0);
        for slot in away {
            tracing::warn!(
                slot = slot.name(),
                "no session: its master keys are not compared"
            );
        }
        let Some((first, others)) = here.split_first() else {
            return Ok(());
        };
        for other in others {
            let agreed = alone(first).agrees_with(&alone(other)).await;
            agreed.with_context(|| {
                let (first, other) = (first.name(), other.name());
                format!("slot '{other}' does not hold the master keys of slot '{first}'")
            })?;
        }
        Ok(())
    }

    /// Records that the service starts, and with which configuration (SC-104).
    pub(super) async fn started(&self) -> Result<()> {
        let now = self.clock.now();
        let start = Event::Start {
            version: env!("CARGO_PKG_VERSION"),
        };
        audit::note(&self.store, now, "", start).await?;
        let mut weak = Vec::new();
        for Weakness { key, gives_up } in self.config.weaknesses() {
            tracing::warn!(key, gives_up, "a setting weakens the service");
            weak.push(key);
        }
        let loaded = Event::ConfigLoaded {
            hash: self.config.hash.clone(),
            weak,
        };
        Ok(audit::note(&self.store, now, "", loaded).await?)
    }

    /// Proves with throw-away keys that the holder slot does what is needed, and records how that ended.
    pub(super) async fn selftest(&self, vault: &Vault) -> Result<()> {
        let ended = vault.check().await;
        let event = Event::Selftest {
            slot: "holder",
            passed: ended.is_ok(),
        };
        audit::note(&self.store, self.clock.now(), "", event).await?;
        ended.context("the holder slot does not do what is needed")
    }

    /// The issuer slot, opened when first asked for.
    pub(super) fn issuer(&self) -> Result<Issuer> {
        if let Some(issuer) = self.issuer.get() {
            return Ok(issuer.clone());
        }
        let issuer = Issuer::remote(self.open_slot(self.slot(Role::Issuer)?)?);
        Ok(self.issuer.get_or_init(|| issuer).clone())
    }

    /// Refuses one token under two names: the keys of holders and those of the provider live apart (SC-21).
    pub(super) async fn apart(&self, vault: &Vault, issuer: &Issuer) -> Result<()> {
        let of_issuer = issuer.device().await?;
        for slot in vault.slots() {
            if slot.state().sessions == 0 {
                continue;
            }
            let device = Vault::remote(slot.clone(), self.stretcher())
                .device()
                .await?;
            if device == of_issuer {
                bail!(
                    "slot '{}': found the token of slot '{}'; give each slot a token of its own",
                    self.slot(Role::Issuer)?.name(),
                    slot.name()
                );
            }
        }
        Ok(())
    }

    /// The embedded CA.
    pub(super) async fn ca(&self) -> Result<Ca> {
        Ok(Ca::open(self.issuer()?, ca::LABEL, self.ca_certificate().await?).await?)
    }

    /// What makes credentials.
    pub(super) async fn enrolment(&self, vault: &Vault) -> Result<Enrolment> {
        Ok(Enrolment {
            ca: self.ca().await?,
            profile: (&self.config.certificate).into(),
            algorithms: self.config.algorithms,
            store: self.store.clone(),
            clock: self.clock.clone(),
            vault: vault.clone(),
        })
    }

    /// What makes those that holders have made for themselves.
    pub(super) async fn by_holder(&self, vault: &Vault) -> Result<ByHolder> {
        Ok(ByHolder {
            enrolment: self.enrolment(vault).await?,
            algorithm: self.config.certificate.key,
            multisign: self.config.credential.multisign,
            country: self.config.info.region.clone(),
            terms: match &self.config.terms {
                None => None,
                Some(terms) => Some((self.accepted(terms)?, terms.url.to_string())),
            },
        })
    }

    /// The terms as a holder accepts them.
    pub(super) fn accepted(&self, terms: &config::Terms) -> Result<Terms> {
        Ok(Terms {
            version: terms.version.clone(),
            hash: terms.hash()?,
        })
    }

    /// The certificate of the CA, DER.
    pub(super) async fn ca_certificate(&self) -> Result<Vec<u8>> {
        let found = self.certificate(ca::LABEL).await?;
        found.context("there is no CA yet; run `csc-server slot init`")
    }

    /// The certificate of the time-stamping authority, DER.
    pub(super) async fn tsa_certificate(&self) -> Result<Vec<u8>> {
        let found = self.certificate(ca::TSA_LABEL).await?;
        found.context("there is no time-stamping authority yet; run `csc-server slot init`")
    }

    async fn certificate(&self, label: &str) -> Result<Option<Vec<u8>>> {
        const SQL: &str = "SELECT certificate FROM issuer WHERE label = $1";
        let row = self.store.find(SQL, params![label]).await?;
        Ok(row.map(|mut row| row.get(0)).transpose()?)
    }

    /// Who says what time it was: with the issuer slot, while the clock can be trusted; or the other authority of the configuration.
    pub(super) async fn tsa(&self, issuer: &Issuer, time: TimeTrust) -> Result<Tsa> {
        let config = self.config.timestamp.clone();
        let authority = match &config.url {
            Some(url) => Authority::Remote(Remote::new(url.clone(), &config)?),
            None => {
                let chain = vec![self.tsa_certificate().await?, self.ca_certificate().await?];
                let embedded = Embedded::new(issuer.clone(), time, chain, config)?;
                Authority::Embedded(Box::new(embedded))
            }
        };
        Ok(Tsa::new(self.store.clone(), self.clock.clone(), authority))
    }

    /// The accounts of operators.
    pub(super) fn operators(&self) -> Result<Operators> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Ok(Operators::new(
            store,
            clock,
            self.vault()?,
            self.stretcher.clone(),
        ))
    }

    /// Watches over them.
    pub(super) fn watch(&self) -> Result<Watch> {
        Ok(Watch::new(self.operators()?))
    }

    /// The accounts of holders, with this vault.
    pub(super) fn accounts(&self, vault: &Vault) -> Accounts {
        Accounts::new(
            self.store.clone(),
            self.clock.clone(),
            vault.clone(),
            self.stretcher.clone(),
        )
    }

    /// The factors of holders, with this vault.
    pub(super) fn factors(&self, vault: &Vault) -> Factors {
        Factors::new(
            self.store.clone(),
            self.clock.clone(),
            vault.clone(),
            factor_policy(&self.config),
        )
    }

    /// What authorises the use of keys.
    pub(crate) fn keys(&self, vault: &Vault) -> Keys {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let policy = credential_policy(&self.config);
        Keys::new(store, clock, vault.clone(), self.factors(vault), policy)
    }

    /// Rotates the master keys of this vault.
    pub(super) fn rotation(&self, vault: &Vault) -> Rotation {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let request = self.config.server.request_timeout;
        Rotation::new(store, clock, vault.clone(), request)
    }

    /// The registered clients.
    pub(super) fn clients(&self) -> Result<Clients> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Ok(Clients::new(store, clock, self.vault()?))
    }

    /// The stretcher of the configuration.
    pub(super) fn stretcher(&self) -> Stretcher {
        self.stretcher.clone()
    }

    /// The holder with this user name.
    pub(super) async fn holder(&self, accounts: &Accounts, user_name: &str) -> Result<Holder> {
        let holder = accounts.by_user_name(user_name).await?;
        holder.with_context(|| {
            format!("there is no holder '{user_name}'; run `csc-server holder add`")
        })
    }

    /// The slot of a role.
    pub(super) fn slot(&self, role: Role) -> Result<&Slot> {
        let mut slots = self.config.slots(role);
        let slot = slots
            .next()
            .context("the configuration has no slot of this role")?;
        if let Some(other) = slots.next() {
            bail!(
                "slot '{}': one slot of this role is served; remove the second",
                other.name()
            );
        }
        Ok(slot)
    }
}

fn location(config: &Config) -> Result<Location> {
    match &config.store.url {
        StoreUrl::Sqlite(path) => Ok(Location::Sqlite(path.clone())),
        StoreUrl::Postgres(url) => {
            let mut options: sqlx::postgres::PgConnectOptions =
                url.as_str().parse().context("store.url")?;
            if let Some(path) = &config.store.password_file {
                options = options.password(&secret::read(path)?);
            }
            Ok(Location::Postgres(Box::new(options)))
        }
    }
}
