//! How much may be asked for. What decides about people and clients is counted in the database, for all nodes together and across
//! restarts: one statement a count. How fast one address may ask is a matter of this process alone, and costs no database.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use crate::{
    clock::{Clock, Millis},
    config::Rate,
    ids::ClientId,
    oauth::client::Client,
    params,
    store::{Store, StoreError},
};

/// A minute in the clock's unit.
const MINUTE: Millis = 60_000;
/// Addresses that are remembered at once.
const ADDRESSES: usize = 100_000;

/// Why something has to wait.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Asked too often.
    #[error("asked too often")]
    TooOften {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The counts.
#[derive(Clone)]
pub struct Rates {
    store: Store,
    clock: Clock,
    limits: Rate,
    addresses: Arc<Mutex<HashMap<IpAddr, Bucket>>>,
}

/// What an address may still ask for, and since when that is.
struct Bucket {
    left: f64,
    since: Instant,
}

impl Rates {
    /// Counts in this database, up to these limits.
    pub fn new(store: Store, clock: Clock, limits: Rate) -> Self {
        Self {
            store,
            clock,
            limits,
            addresses: Arc::default(),
        }
    }

    /// A request of this address, before anything is done for it. What it saves up in quiet times lasts for two seconds of asking.
    ///
    /// # Errors
    /// [`Error::TooOften`].
    pub fn request(&self, address: IpAddr) -> Result<(), Error> {
        let per_second = f64::from(self.limits.address_per_second);
        if per_second == 0.0 {
            return Ok(());
        }
        let (now, full) = (Instant::now(), 2.0 * per_second);
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES {
            // Who has been quiet for long enough to have everything again needs no memory.
            addresses.retain(|_, bucket| now - bucket.since < Duration::from_secs(2));
        }
        let bucket = addresses.entry(network(address)).or_insert(Bucket {
            left: full,
            since: now,
        });
        let regained = (now - bucket.since).as_secs_f64() * per_second;
        bucket.left = (bucket.left + regained).min(full);
        bucket.since = now;
        if bucket.left < 1.0 {
            return Err(Error::TooOften {
                retry_after: Duration::from_secs(1),
            });
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// An attempt to log in under this user name, from this address: counted before the password is looked at, right or wrong.
    ///
    /// # Errors
    /// [`Error::TooOften`], or a failure of the database.
    pub async fn log_in(&self, user_name: &str, address: Option<IpAddr>) -> Result<(), Error> {
        if let Some(address) = address {
            let subject = format!("log-in from {}", network(address));
            self.count(subject, 1, self.limits.logins_per_address)
                .await?;
        }
        // What is typed as a name may be a password.
        let name = hex::encode(Sha256::digest(user_name.as_bytes()));
        self.count(
            format!("log-in as {name}"),
            1,
            self.limits.logins_per_holder,
        )
        .await
    }

    /// A request of this client.
    ///
    /// # Errors
    /// [`Error::TooOften`], or a failure of the database.
    pub async fn client(&self, client: &Client) -> Result<(), Error> {
        let limit = client.registration.rates.per_minute;
        let limit = limit.unwrap_or(self.limits.client_per_minute);
        self.count(requests_of(&client.id), 1, limit).await
    }

    /// Signatures that this client asks for.
    ///
    /// # Errors
    /// [`Error::TooOften`], or a failure of the database.
    pub async fn signatures(&self, client: &Client, count: usize) -> Result<(), Error> {
        let limit = client.registration.rates.signatures_per_minute;
        self.count(
            format!("signatures of {}", client.id),
            count,
            limit.unwrap_or(0),
        )
        .await
    }

    /// Counts; 0 is no limit.
    async fn count(&self, subject: String, count: usize, limit: u32) -> Result<(), Error> {
        if limit == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let (minute, count) = (now / MINUTE, i64::try_from(count).unwrap_or(i64::MAX / 2));
        let used: i64 = self
            .store
            .write(async move |tx| {
                tx.execute("DELETE FROM rate WHERE minute < $1", params![minute])
                    .await?;
                const SQL: &str = "INSERT INTO rate (subject, minute, used) VALUES ($1, $2, $3)
                                   ON CONFLICT (subject) DO UPDATE SET used = rate.used + excluded.used
                                   RETURNING used";
                let used = tx.find(SQL, params![subject.as_str(), minute, count]).await?;
                let mut used = used.ok_or(StoreError::Corrupt("a count"))?;
                used.get(0)
            })
            .await?;
        if used > i64::from(limit) {
            let left = MINUTE - now.rem_euclid(MINUTE);
            let retry_after = Duration::from_millis(left.unsigned_abs());
            return Err(Error::TooOften { retry_after });
        }
        Ok(())
    }
}

fn requests_of(client: &ClientId) -> String {
    format!("requests of {client}")
}

/// Who has an IPv6 address has 2⁶⁴ of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address => address,
    }
}
