//! The configuration file of a test bed: what the tests need, then what the test changes.

use std::{collections::BTreeMap, fmt::Write};

/// Settings by their full name, values in TOML.
pub(crate) struct Settings(BTreeMap<String, String>);

impl Default for Settings {
    fn default() -> Self {
        let settings = [
            ("server.listen", r#""127.0.0.1:0""#),
            ("server.public_url", r#""https://localhost:8443""#),
            ("server.certificate", r#""tls/server.pem""#),
            ("server.private_key", r#""tls/server.key""#),
            ("server.client_certificates", "true"),
            ("admin.listen", r#""127.0.0.2:0""#),
            ("info.name", r#""Conformance Test Signing""#),
            ("info.logo", r#""https://sign.example/logo.png""#),
            ("info.region", r#""IT""#),
            ("info.lang", r#""en""#),
            ("info.description", r#""A service under test""#),
            ("store.url", r#""sqlite:csc.sqlite""#),
            ("mail.from", r#""Signing <sign@example.test>""#),
            ("mail.outbox", r#""outbox""#),
            ("otp.resend_after", r#""1ms""#),
            ("otp.max_per_hour", "1000"),
            // Tests log in again and again, all from here.
            ("rate.logins_per_address", "0"),
            ("rate.logins_per_holder", "60"),
            ("certificate.organization", r#""Example Trust""#),
            ("certificate.ca_name", r#""Example Signing CA""#),
        ];
        Self(
            settings
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
    }
}

impl Settings {
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The file's text; `slots` are the sections that `softhsm-setup` printed.
    pub(crate) fn toml(&self, slots: &str) -> String {
        let mut text = String::new();
        let mut current = "";
        for (key, value) in &self.0 {
            let (section, name) = key
                .rsplit_once('.')
                .expect("every setting stands in a section");
            if section != current {
                writeln!(text, "\n[{section}]").expect("a string takes every line");
                current = section;
            }
            writeln!(text, "{name} = {value}").expect("a string takes every line");
        }
        text + "\n" + slots
    }
}
