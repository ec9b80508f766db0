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
}
