//! Handles of the token's own objects, so that no request searches.

use std::collections::BTreeMap;

use crate::{Key, KeyAlgorithm};

/// What is known of the token's own objects, by label. `None`: it was there, and its handle went bad.
#[derive(Default)]
pub(super) struct Handles {
    pub(super) masters: BTreeMap<String, Option<Key>>,
    pub(super) pairs: BTreeMap<String, Option<(Key, KeyAlgorithm, Vec<u8>)>>,
}

impl Handles {
    /// This handle is found again before it is used again.
    pub(super) fn forget(&mut self, key: Key) {
        for master in self.masters.values_mut() {
            master.take_if(|known| *known == key);
        }
        for pair in self.pairs.values_mut() {
            pair.take_if(|(known, ..)| *known == key);
        }
    }

    /// Keeps the master keys that the token still has: others were destroyed, perhaps by another process. False when it has
    /// none at all, although some were there: then it is the token that is gone.
    pub(super) fn keep_masters(&mut self, labels: &[String]) -> bool {
        if labels.is_empty() && !self.masters.is_empty() {
            return false;
        }
        self.masters.retain(|label, _| labels.contains(label));
        true
    }
}
