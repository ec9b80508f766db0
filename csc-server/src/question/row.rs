//! A question as it rests. What is asked, of whom and for whom is under a MAC; the rest is told by the audit log.

use hsm_adapter::{DigestAlgorithm, HashType, MacKey, Vault};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{
    audit,
    clock::Millis,
    credential::Error,
    ids::{ClientId, CredentialId, HolderId, QuestionId},
    params,
    store::{Row, Store, StoreError},
};

/// What the audit log vouches for. A question that is older than a day may be gone.
pub const TABLE: audit::Table = audit::table!(
    "question",
    key ["id"],
    told ["version", "state"],
    recorded [
        "link", "holder", "credential", "client", "grant_id", "handle_hash", "public_key", "content", "mac", "sealed", "expires",
        "created",
    ]
);

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has answered.
    Waiting,
    /// The SAD is sealed and waits for the client.
    Approved,
    /// The holder says no.
    Refused,
    /// The client has its SAD.
    Taken,
    /// Too late.
    Lapsed,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Approved,
        Self::Refused,
        Self::Taken,
        Self::Lapsed,
    ];

    /// The name in the database.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Taken => "taken",
            Self::Lapsed => "lapsed",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Hexadecimal, in the order given.
    pub(super) hashes: Vec<String>,
    pub(super) digest: Option<DigestAlgorithm>,
    pub(super) hash_type: Option<HashType>,
    /// In the client's words.
    pub(super) description: Option<String>,
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: QuestionId,
    /// What the mailed link names it by: who holds the handle cannot make the link, nor the other way round.
    pub(super) link: String,
    pub(super) holder: HolderId,
    pub(super) credential: CredentialId,
    pub(super) client: ClientId,
    pub(super) grant: String,
    pub(super) handle_hash: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) asked: Asked,
    pub(super) state: State,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) expires: Millis,
    pub(super) created: Millis,
    pub(super) mac: Vec<u8>,
}

#[derive(Serialize)]
struct Record<'a> {
    version: u8,
    id: &'a str,
    link: &'a str,
    holder: &'a str,
    credential: &'a str,
    client: &'a str,
    grant: &'a str,
    handle: String,
    public_key: String,
    asked: &'a Asked,
    expires: Millis,
    created: Millis,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, link, holder, credential, client, grant_id, handle_hash, public_key, content, state, sealed, expires, created, mac
             FROM question WHERE ",
            $where
        )
    };
}

impl Stored {
    /// What the MAC covers, and what the SAD is sealed for.
    pub(super) fn record(&self) -> Vec<u8> {
        let record = Record {
            version: 1,
            id: self.id.as_str(),
            link: &self.link,
            holder: self.holder.as_str(),
            credential: self.credential.as_str(),
            client: self.client.as_str(),
            grant: &self.grant,
            handle: hex::encode(&self.handle_hash),
            public_key: hex::encode(&self.public_key),
            asked: &self.asked,
            expires: self.expires,
            created: self.created,
        };
        // Strings and integers always serialise.
        serde_json::to_vec(&record).unwrap_or_default()
    }

    pub(super) async fn mac_of(&self, vault: &Vault) -> Result<[u8; 32], Error> {
        let record = self.record();
        Ok(vault.mac(MacKey::Otp, &[b"question", &record]).await?)
    }

    /// Whether it is what the service wrote.
    pub(super) async fn is_genuine(&self, vault: &Vault) -> Result<bool, Error> {
        Ok(self.mac_of(vault).await?.ct_eq(&self.mac).into())
    }

    pub(super) async fn by_handle(
        store: &Store,
        id: &QuestionId,
        hash: [u8; 32],
    ) -> Result<Option<Self>, StoreError> {
        const SQL: &str = select!("id = $1 AND handle_hash = $2");
        let found = store.find(SQL, params![id, hash]).await?;
        found.map(read).transpose()
    }

    pub(super) async fn by_link(store: &Store, link: &str) -> Result<Option<Self>, StoreError> {
        let found = store.find(select!("link = $1"), params![link]).await?;
        found.map(read).transpose()
    }
}

fn read(mut row: Row) -> Result<Stored, StoreError> {
    let (content, state): (Vec<u8>, String) = (row.get(8)?, row.get(9)?);
    let mut states = State::ALL.into_iter();
    Ok(Stored {
        id: QuestionId::new(row.get::<String>(0)?),
        link: row.get(1)?,
        holder: HolderId::new(row.get::<String>(2)?),
        credential: CredentialId::new(row.get::<String>(3)?),
        client: ClientId::new(row.get::<String>(4)?),
        grant: row.get(5)?,
        handle_hash: row.get(6)?,
        public_key: row.get(7)?,
        asked: serde_json::from_slice(&content)
            .map_err(|_| StoreError::Corrupt("the content of a question"))?,
        state: states
            .find(|known| known.name() == state)
            .ok_or(StoreError::Corrupt("the state of a question"))?,
        sealed: row.optional(10)?,
        expires: row.get(11)?,
        created: row.get(12)?,
        mac: row.get(13)?,
    })
}
