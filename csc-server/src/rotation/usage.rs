//! What rests under which version of the master keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hsm_adapter::MasterSet;

use crate::{
    clock::Millis,
    params,
    store::{Row, Store, StoreError, Tx, Value},
};

/// What rests under a version: what, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage(Vec<(&'static str, i64)>);

impl Usage {
    /// All of it.
    pub fn rows(&self) -> i64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (what, count)) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {what}")?;
        }
        Ok(())
    }
}

/// One kind of rows that name a version.
struct Need {
    what: &'static str,
    /// Version and number of rows.
    sql: &'static str,
    /// Whether `$1` is the time.
    timed: bool,
}

const STORE: &[Need] = &[
    Need {
        what: "credentials",
        sql: "SELECT store, COUNT(*) FROM credential WHERE store IS NOT NULL GROUP BY store",
        timed: false,
    },
    Need {
        what: "seeds",
        sql: "SELECT store, COUNT(*) FROM factor WHERE store IS NOT NULL GROUP BY store",
        timed: false,
    },
    Need {
        what: "jobs",
        sql: "SELECT store, COUNT(*) FROM job GROUP BY store",
        timed: false,
    },
    Need {
        what: "results",
        sql: "SELECT store, COUNT(*) FROM operation WHERE store IS NOT NULL GROUP BY store",
        timed: false,
    },
];

const SEALING: &[Need] = &[
    Need {
        what: "PINs",
        sql: "SELECT masters, COUNT(*) FROM credential WHERE store IS NOT NULL GROUP BY masters",
        timed: false,
    },
    Need {
        what: "PUKs",
        sql: "SELECT puk_masters, COUNT(*) FROM credential WHERE puk_masters IS NOT NULL GROUP BY puk_masters",
        timed: false,
    },
    Need {
        what: "records",
        sql: "SELECT masters, COUNT(*) FROM (SELECT masters FROM factor
              UNION ALL SELECT masters FROM credential WHERE store IS NULL) AS records GROUP BY masters",
        timed: false,
    },
    Need {
        what: "authorisations",
        sql: "SELECT masters, COUNT(*) FROM activation
              WHERE masters IS NOT NULL AND state <> 'revoked' AND expires > $1 GROUP BY masters",
        timed: true,
    },
];

impl Need {
    fn params(&self, now: Millis) -> Vec<Value> {
        if self.timed {
            params![now].to_vec()
        } else {
            Vec::new()
        }
    }

    /// Adds up what rests under each version, as `of` says.
    fn count(
        &self,
        rows: Vec<Row>,
        usage: &mut BTreeMap<u32, Usage>,
        of: impl Fn(u32) -> Option<u32>,
    ) -> Result<(), StoreError> {
        for usage in usage.values_mut() {
            usage.0.push((self.what, 0));
        }
        for mut row in rows {
            let (version, count): (u32, i64) = (row.get(0)?, row.get(1)?);
            let usage = of(version).and_then(|version| usage.get_mut(&version));
            if let Some((_, sum)) = usage.and_then(|usage| usage.0.last_mut()) {
                *sum += count;
            }
        }
        Ok(())
    }
}

fn needs(set: MasterSet) -> &'static [Need] {
    match set {
        MasterSet::Store => STORE,
        MasterSet::Sealing => SEALING,
    }
}

/// What rests under each of these versions.
pub(super) async fn by_version(
    store: &Store,
    set: MasterSet,
    versions: BTreeSet<u32>,
    now: Millis,
) -> Result<BTreeMap<u32, Usage>, StoreError> {
    let mut usage = versions
        .into_iter()
        .map(|version| (version, Usage::default()))
        .collect();
    for need in needs(set) {
        let rows = store.query(need.sql, &need.params(now)).await?;
        need.count(rows, &mut usage, Some)?;
    }
    Ok(usage)
}

/// What rests under a version and those before it.
pub(super) async fn up_to(
    tx: &mut Tx,
    set: MasterSet,
    version: u32,
    now: Millis,
) -> Result<Usage, StoreError> {
    let mut usage = BTreeMap::from([(version, Usage::default())]);
    for need in needs(set) {
        let rows = tx.query(need.sql, &need.params(now)).await?;
        need.count(rows, &mut usage, |found| {
            (found <= version).then_some(version)
        })?;
    }
    Ok(usage.remove(&version).unwrap_or_default())
}

/// Ended authorisations need no key any more.
pub(super) async fn forget_ended(tx: &mut Tx, version: u32, now: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE activation SET masters = NULL WHERE masters <= $1 AND (state = 'revoked' OR expires <= $2)";
    tx.execute(sql, params![version, now]).await.map(drop)
}

/// How much rests under versions before this one.
///
/// # Errors
/// When the database fails.
pub async fn left(store: &Store, set: MasterSet, current: u32) -> Result<i64, StoreError> {
    let sql = match set {
        MasterSet::Store => {
            "SELECT (SELECT COUNT(*) FROM credential WHERE store < $1) + (SELECT COUNT(*) FROM factor WHERE store < $1)
                 + (SELECT COUNT(*) FROM job WHERE store < $1)"
        }
        MasterSet::Sealing => {
            "SELECT (SELECT COUNT(*) FROM credential WHERE masters < $1)
                 + (SELECT COUNT(*) FROM credential WHERE puk_masters < $1) + (SELECT COUNT(*) FROM factor WHERE masters < $1)"
        }
    };
    let row = store.find(sql, params![current]).await?;
    row.map_or(Ok(0), |mut row| row.get(0))
}
