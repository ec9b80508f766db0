//! The parameters of an OAuth request, from the query of a URL or from a form.

use std::collections::HashMap;

use zeroize::Zeroizing;

/// Parameters, each given once.
#[derive(Default)]
pub struct Fields(HashMap<String, Zeroizing<String>>);

impl Fields {
    /// `None` when a parameter is given twice (RFC 6749 3.1).
    pub fn parse(encoded: &[u8]) -> Option<Self> {
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            let value = Zeroizing::new(value.into_owned());
            if fields.insert(name.into_owned(), value).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// Puts another one in; false when it is there already.
    pub fn add(&mut self, name: String, value: String) -> bool {
        self.0.insert(name, Zeroizing::new(value)).is_none()
    }

    /// A parameter; an empty one counts as absent (RFC 6749 3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.as_str())
            .filter(|value| !value.is_empty())
    }
}
