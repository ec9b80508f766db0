//! Mandates for automatic signature, given as holders give them: at the terminal.

use crate::{
    bed::TestBed,
    canary,
    client_key::ClientKey,
    enrol::{Client, Credential, value_of},
};

/// A mandate, as its client gets it.
pub struct Mandate {
    /// Its identifier.
    pub id: String,
    /// What the client presents.
    pub sad: String,
}

impl TestBed {
    /// A client of this name that authenticates by this key.
    pub fn client_with_key(&self, name: &str, key: &ClientKey) -> Client {
        let jwk = serde_json::to_value(&key.public).expect("a JWK");
        self.client_from(&format!(
            "name = \"{name}\"\n[authentication]\nmethod = \"private_key_jwt\"\n[[authentication.jwks.keys]]\nkty = \"EC\"\ncrv = \"P-256\"\nx = {}\ny = {}\n",
            jwk["x"], jwk["y"],
        ))
    }

    /// A mandate of five signatures in thirty days, two an hour, approved with this code.
    pub fn mandate(&self, credential: &Credential, client: &Client, code: &str) -> Mandate {
        let whom = ["--credential", &credential.id, "--client", &client.id];
        let terms = ["--count", "5", "--rate", "2", "--per", "1h", "--days", "30"];
        let arguments = [
            &["mandate", "give"][..],
            &whom,
            &terms,
            &["--documents", "invoices"],
        ];
        let printed = self.cli(&arguments.concat(), &[&credential.pin, code]);
        let printed = printed.expect("mandate give");
        let sad = value_of(&printed, "SAD");
        canary::register(sad.split('.').next_back().unwrap_or_default());
        Mandate {
            id: value_of(&printed, "mandate"),
            sad,
        }
    }
}
