//! Opened keys: private keys that stay in the HSM, as session objects, for the life of their activation.
//!
//! An entry is found only by who presents secret and content: its name is a hash of what derives the key-encryption key,
//! and that itself is not kept. A key dies with the session that opened it; entries know theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::scratch::discard;
use crate::{
    Hsm, Key,
    pool::{Living, SessionId},
};

/// The keys that are open, at most `bound`.
pub(crate) struct OpenKeys {
    bound: usize,
    living: Arc<Living>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<[u8; 32], Entry>,
    /// Closed, but not destroyed yet.
    retired: Vec<(Key, SessionId)>,
    uses: u64,
}

/// An opened key.
pub(super) struct OpenKey {
    pub(super) key: Key,
    /// The session it was opened through.
    pub(super) session: SessionId,
    /// Hash of the sealed key it came from: a changed row opens anew, and is judged anew.
    pub(super) origin: [u8; 32],
    /// End of the activation, milliseconds since 1970 UTC.
    pub(super) expires: i64,
}

struct Entry {
    open: OpenKey,
    last_use: u64,
}

impl OpenKeys {
    pub(crate) fn new(living: Arc<Living>, bound: usize) -> Self {
        Self {
            bound,
            living,
            table: Mutex::default(),
        }
    }

    /// How many keys are open in the HSM.
    pub(crate) fn count(&self) -> usize {
        let table = self.table();
        let open = table.open.values().map(|entry| entry.open.session);
        let retired = table.retired.iter().map(|(_, session)| *session);
        open.chain(retired)
            .filter(|session| self.living.contains(*session))
            .count()
    }

    /// Whether any key may stay open.
    pub(super) fn keeps(&self) -> bool {
        self.bound > 0
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of this name, if it is open and came from this very sealed key.
    pub(super) fn find(&self, name: &[u8; 32], origin: &[u8; 32]) -> Option<Key> {
        let mut table = self.table();
        let now = table.tick();
        let entry = table.open.get_mut(name)?;
        if entry.open.origin != *origin || !self.living.contains(entry.open.session) {
            table.retire(name);
            return None;
        }
        entry.last_use = now;
        Some(entry.open.key)
    }

    /// Keeps a key, and retires what has to go for it: an earlier key of the same name, and the least recently used.
    pub(super) fn keep(&self, name: [u8; 32], open: OpenKey) {
        let mut table = self.table();
        table.retire(&name);
        while table.open.len() >= self.bound {
            let oldest = table.open.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(name, _)| *name) else {
                break;
            };
            table.retire(&oldest);
        }
        let last_use = table.tick();
        table.open.insert(name, Entry { open, last_use });
    }

    /// Takes a key out of use; [`Self::destroy_retired`] destroys it.
    pub(super) fn retire(&self, name: &[u8; 32]) {
        self.table().retire(name);
    }

    /// Takes the keys out of use whose activation has ended.
    pub(super) fn retire_expired(&self, now: i64) {
        let table = &mut *self.table();
        let expired = table.open.extract_if(|_, entry| entry.open.expires <= now);
        table
            .retired
            .extend(expired.map(|(_, entry)| (entry.open.key, entry.open.session)));
    }

    /// Whether there is anything to destroy.
    pub(super) fn has_retired(&self) -> bool {
        !self.table().retired.is_empty()
    }

    /// Destroys what was retired. Session objects can be destroyed from any session.
    pub(super) fn destroy_retired(&self, hsm: &mut dyn Hsm) {
        let retired = std::mem::take(&mut self.table().retired);
        for (key, session) in retired {
            if self.living.contains(session) {
                discard(hsm, key);
            }
        }
    }
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn retire(&mut self, name: &[u8; 32]) {
        if let Some(Entry { open, .. }) = self.open.remove(name) {
            self.retired.push((open.key, open.session));
        }
    }
}
