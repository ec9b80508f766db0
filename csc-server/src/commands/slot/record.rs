//! `csc-server slot record`: the record of the key ceremony, which two custodians sign. The same keys give the same record, whenever it is
//! printed: who is shown a token later knows by it whether it is the one.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::Result;
use hsm_adapter::Recorded;
use serde_json::Value;

use crate::{
    audit, ca,
    clock::{Millis, minute},
    commands::context::Context,
    config::Role,
    params, rotation,
    store::{Store, StoreError},
};

/// Who made a key, and when, as the log has it.
struct Made {
    time: Millis,
    by: String,
}

/// The record of what is on both tokens.
pub(super) async fn record(context: &Context) -> Result<String> {
    let holder = context.vault()?;
    let issuer = context.issuer()?;
    let made = Log::read(&context.store).await?;
    let pairs: Vec<_> = [ca::LABEL, ca::TSA_LABEL].map(str::to_owned).into();
    let audit_keys = audit::Keys::of(&issuer).await?.labels();
    let slots = [
        (
            Role::Holder,
            holder.device().await?,
            holder.recorded().await?,
        ),
        (
            Role::Issuer,
            issuer.device().await?,
            issuer.recorded([pairs, audit_keys].concat()).await?,
        ),
    ];

    let mut text = String::new();
    let name = &context.config.info.name;
    writeln!(text, "RECORD OF THE KEY CEREMONY: {name}")?;
    if let Some(Made { time, by }) = made.first() {
        writeln!(text, "held      {} UTC", minute(*time))?;
        writeln!(text, "by        {by}")?;
    }
    for (role, serial, keys) in slots {
        let slot = context.slot(role)?;
        let word = match role {
            Role::Holder => "holder",
            Role::Issuer => "issuer",
        };
        writeln!(
            text,
            "\n{word} slot '{}', token serial number {serial}",
            slot.name()
        )?;
        for key in keys {
            line(&mut text, &key, made.of(&key))?;
        }
    }
    text.push_str(EXPLAINED);
    for custodian in ["one of two  ", "two of two  "] {
        writeln!(
            text,
            "\n{custodian}name ____________________  date ____________  signature ____________________"
        )?;
    }
    Ok(text)
}

const EXPLAINED: &str = "
Check values: of AES, the first three octets of AES-ECB over a block of zeros (CKA_CHECK_VALUE of PKCS#11, which the vendor's tool shows as well);
of HMAC-SHA-256, the first three octets over sixteen octets of zero; of a pair, SHA-256 of its SubjectPublicKeyInfo (DER).
";

fn line(text: &mut String, key: &Recorded, made: Option<&Made>) -> std::fmt::Result {
    let Recorded {
        label,
        kind,
        check_value,
        attributes,
        ..
    } = key;
    let value = check_value
        .as_ref()
        .map_or_else(|| "not told by the token".to_owned(), hex::encode_upper);
    writeln!(text, "  {label:<16} {kind:<13} check value {value}")?;
    writeln!(text, "  {:<16} {}", "", attributes.join(" "))?;
    match made {
        Some(Made { time, by }) => {
            writeln!(text, "  {:<16} made {} UTC by {by}", "", minute(*time))
        }
        None => writeln!(text, "  {:<16} the log does not say when it was made", ""),
    }
}

/// What the audit log says of the making of keys.
struct Log {
    created: BTreeMap<String, Made>,
    /// By name of the set, and version.
    rotated: BTreeMap<(String, u64), Made>,
}

impl Log {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        const SQL: &str = r#"SELECT time, event FROM audit WHERE event LIKE '{"event":"MASTER_CREATED"%'
                                OR event LIKE '{"event":"MASTER_ROTATED"%' ORDER BY time, chain, sequence"#;
        let mut log = Self {
            created: BTreeMap::new(),
            rotated: BTreeMap::new(),
        };
        for mut row in store.query(SQL, &[]).await? {
            let (time, event): (Millis, String) = (row.get(0)?, row.get(1)?);
            let event: Value = serde_json::from_str(&event).unwrap_or(Value::Null);
            let by = actor(store, event.get("actor").unwrap_or(&Value::Null)).await?;
            let made = Made { time, by };
            let text = |field: &str| event.get(field).and_then(Value::as_str).map(str::to_owned);
            if let Some(label) = text("label") {
                log.created.entry(label).or_insert(made);
            } else if let (Some(key), Some(version)) =
                (text("key"), event.get("version").and_then(Value::as_u64))
            {
                log.rotated.entry((key, version)).or_insert(made);
            }
        }
        Ok(log)
    }

    /// The first key that was made.
    fn first(&self) -> Option<&Made> {
        self.created.values().min_by_key(|made| made.time)
    }

    fn of(&self, key: &Recorded) -> Option<&Made> {
        let rotated = key.rotates.and_then(|(set, version)| {
            let version = u64::from(version);
            self.rotated.get(&(rotation::name(set).to_owned(), version))
        });
        self.created.get(&key.label).or(rotated)
    }
}

/// Who acted, by name.
async fn actor(store: &Store, actor: &Value) -> Result<String, StoreError> {
    const FOUNDERS: &str = "SELECT name FROM operator WHERE seat IS NOT NULL ORDER BY seat";
    const ONE: &str = "SELECT name FROM operator WHERE id = $1";
    const APPROVER: &str =
        "SELECT o.name FROM approval a JOIN operator o ON o.id = a.approver WHERE a.id = $1";
    let text = |field: &str| actor.get(field).and_then(Value::as_str);
    let rows = match (text("kind"), text("id")) {
        (Some("installation"), _) => store.query(FOUNDERS, &[]).await?,
        (_, Some(id)) => {
            let mut rows = store.query(ONE, params![id]).await?;
            if let Some(approval) = text("approval") {
                rows.extend(store.query(APPROVER, params![approval]).await?);
            }
            rows
        }
        _ => Vec::new(),
    };
    let names: Vec<String> = rows
        .into_iter()
        .map(|mut row| row.get(0))
        .collect::<Result<_, _>>()?;
    Ok(match names.is_empty() {
        true => "the service".to_owned(),
        false => names.join(" and "),
    })
}
