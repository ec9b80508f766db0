//! What is agreed with an application before it may ask for anything: who it is, how it proves that, where answers go, and what it
//! needs beyond the letter of the specification.

use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use serde::{Deserialize, Serialize};
use url::Url;

use super::switches::Switches;

/// Most entries of a list.
const ENTRIES: usize = 50;
/// Longest text, in octets; CSC v1 8.3.2 keeps whole URIs below 2083.
const TEXT: usize = 2000;

/// A registration as it is written in a file (TOML) and kept in the database (JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// What holders see it called.
    pub name: String,
    /// An image for the same place: an https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<Url>,
    /// Where the browser may be sent back to. Compared as text: each is listed as the client writes it.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// How it may get tokens.
    #[serde(default = "Grant::by_itself")]
    pub grants: Vec<Grant>,
    /// Authorization requests must be pushed (RFC 9126).
    #[serde(default)]
    pub require_par: bool,
    /// Tokens must be bound to a key of the client (RFC 9449).
    #[serde(default)]
    pub require_dpop: bool,
    /// The log-in page opens only with an `account_token` (CSC v1 8.3.1): a restricted authorization server.
    #[serde(default)]
    pub require_account_token: bool,
    /// It may have credentials of holders made and deleted, each time with the holder's consent (CSC v2.2).
    #[serde(default)]
    pub manage_credentials: bool,
    /// Origins whose scripts may call the API.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// https prefixes that a `response_uri` may begin with.
    #[serde(default)]
    pub response_uris: Vec<String>,
    /// How it proves who it is.
    #[serde(default)]
    pub authentication: Authentication,
    /// How much it may ask.
    #[serde(default)]
    pub rates: Rates,
    /// What it needs beyond the letter.
    #[serde(default)]
    pub switches: Switches,
}

/// How a client proves who it is at the token endpoint and wherever it acts by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "method",
    rename_all = "snake_case",
    rename_all_fields = "snake_case",
    deny_unknown_fields
)]
pub enum Authentication {
    /// By the secret it was given, in the form or by HTTP Basic (RFC 6749 2.3.1).
    #[default]
    Secret,
    /// By a statement signed with one of these keys (RFC 7523): public keys as a JWK set.
    PrivateKeyJwt {
        /// Its public keys.
        jwks: JwkSet,
    },
    /// By the certificate of its TLS connection (RFC 8705).
    Tls {
        /// SHA-256 of its certificate, which may be self-signed (RFC 8705 2.2), hexadecimal.
        thumbprint: String,
    },
    /// Not at all: an application on somebody's device, which cannot keep a secret. PKCE takes its place.
    None,
}

/// A way to get tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// The holder logs in and agrees in his browser.
    AuthorizationCode,
    /// The client acts by itself, for the holders it is linked to.
    ClientCredentials,
    /// It may renew what it got.
    RefreshToken,
}

/// How much a client may ask; nothing said, the service's own bounds hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Signatures a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures_per_minute: Option<u32>,
}

/// What cannot be registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Unfit {
    /// The member.
    pub key: &'static str,
    /// What is wrong with it, and what would not be.
    pub problem: String,
}

impl Grant {
    fn by_itself() -> Vec<Self> {
        vec![Self::ClientCredentials, Self::RefreshToken]
    }
}

impl Authentication {
    /// Whether nothing that the client sends could be used again by who sees it: what mandates ask for.
    pub fn is_strong(&self) -> bool {
        matches!(self, Self::PrivateKeyJwt { .. } | Self::Tls { .. })
    }
}

impl Registration {
    /// A client with a secret that acts by itself.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            logo: None,
            redirect_uris: Vec::new(),
            grants: Grant::by_itself(),
            require_par: false,
            require_dpop: false,
            require_account_token: false,
            manage_credentials: false,
            cors_origins: Vec::new(),
            response_uris: Vec::new(),
            authentication: Authentication::Secret,
            rates: Rates::default(),
            switches: Switches::default(),
        }
    }

    /// Whether it may get tokens this way.
    pub fn allows(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// Whether it can keep a secret (RFC 6749 2.1).
    pub fn is_confidential(&self) -> bool {
        self.authentication != Authentication::None
    }

    /// Whether this can be registered.
    ///
    /// # Errors
    /// The first member that is unfit.
    pub fn check(&self) -> Result<(), Unfit> {
        if self.name.trim().is_empty() || self.name.chars().count() > 100 {
            return unfit("name", "write 1 to 100 characters");
        }
        if self.logo.as_ref().is_some_and(|url| !is_https(url)) {
            return unfit("logo", "write an https URL");
        }
        for (key, list) in [
            ("redirect_uris", &self.redirect_uris),
            ("cors_origins", &self.cors_origins),
            ("response_uris", &self.response_uris),
        ] {
            if list.len() > ENTRIES || list.iter().any(|entry| entry.len() > TEXT) {
                return unfit(key, "at most 50 entries of at most 2000 octets");
            }
        }
        for uri in &self.redirect_uris {
            check_redirect(uri, self.is_confidential())?;
        }
        for origin in &self.cors_origins {
            let url = Url::parse(origin).ok();
            if !url
                .is_some_and(|url| is_https(&url) && url.origin().ascii_serialization() == *origin)
            {
                return unfit(
                    "cors_origins",
                    format!("found '{origin}'; write https://HOST or https://HOST:PORT"),
                );
            }
        }
        for prefix in &self.response_uris {
            let url = Url::parse(prefix).ok();
            if !url.is_some_and(|url| {
                is_https(&url) && url.path().ends_with('/') && url.as_str() == prefix
            }) {
                return unfit(
                    "response_uris",
                    format!("found '{prefix}'; write https://HOST/ or https://HOST/PATH/"),
                );
            }
        }
        self.check_authentication()?;
        self.check_grants()
    }

    fn check_authentication(&self) -> Result<(), Unfit> {
        match &self.authentication {
            Authentication::Secret | Authentication::None => Ok(()),
            Authentication::PrivateKeyJwt { jwks } => {
                if jwks.keys.is_empty() || jwks.keys.len() > ENTRIES {
                    return unfit("authentication.jwks", "list 1 to 50 keys");
                }
                let symmetric = |parameters: &AlgorithmParameters| {
                    matches!(parameters, AlgorithmParameters::OctetKey(_))
                };
                if jwks.keys.iter().any(|key| symmetric(&key.algorithm)) {
                    return unfit("authentication.jwks", "list public keys: EC, RSA or OKP");
                }
                Ok(())
            }
            Authentication::Tls { thumbprint } => {
                let digit = |octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
                if thumbprint.len() == 64 && thumbprint.bytes().all(digit) {
                    return Ok(());
                }
                unfit(
                    "authentication.thumbprint",
                    "write SHA-256 as 64 hexadecimal digits",
                )
            }
        }
    }

    fn check_grants(&self) -> Result<(), Unfit> {
        if self.allows(Grant::AuthorizationCode) == self.redirect_uris.is_empty() {
            return unfit(
                "redirect_uris",
                "list them with the grant authorization_code, and only with it",
            );
        }
        if !self.is_confidential() && self.allows(Grant::ClientCredentials) {
            return unfit(
                "grants",
                "client_credentials takes a client that proves who it is",
            );
        }
        if self.require_account_token && self.authentication != Authentication::Secret {
            return unfit(
                "require_account_token",
                "account tokens are made with the client's secret (CSC v1 8.3.1)",
            );
        }
        Ok(())
    }
}

/// RFC 8252 7: https; for applications on a device also loopback and a scheme of their own.
fn check_redirect(uri: &str, confidential: bool) -> Result<(), Unfit> {
    const KEY: &str = "redirect_uris";
    let found = |remedy: &str| unfit(KEY, format!("found '{uri}'; {remedy}"));
    let Ok(url) = Url::parse(uri) else {
        return found("write an absolute URL");
    };
    if uri.contains('#') || !uri.is_ascii() || uri.contains(char::is_whitespace) {
        return found("write it without fragment and spaces (RFC 6749 3.1.2)");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if url.host_str().is_some_and(is_loopback) => Ok(()),
        "http" => found("write https, or http to 127.0.0.1, [::1] or localhost"),
        // RFC 8252 7.1: a name of the application's own domain, turned round.
        scheme if scheme.contains('.') && !confidential => Ok(()),
        _ => {
            found("write https; applications on a device may use a scheme such as com.example.app")
        }
    }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

fn is_https(url: &Url) -> bool {
    url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

fn unfit<T>(key: &'static str, problem: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit {
        key,
        problem: problem.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        let registration: Registration = toml::from_str(text).map_err(|error| error.to_string())?;
        registration.check().map_err(|error| error.to_string())
    }

    fn code(uri: &str, method: &str) -> Result<(), String> {
        read(&format!(
            "name = 'A'\nredirect_uris = ['{uri}']\ngrants = ['authorization_code']\n[authentication]\nmethod = '{method}'"
        ))
    }

    #[test]
    fn browsers_are_sent_back_over_https_or_within_the_device() {
        for uri in [
            "https://app.example/cb",
            "https://app.example/cb?a=b",
            "http://127.0.0.1:8080/cb",
            "http://[::1]/cb",
        ] {
            assert_eq!(code(uri, "secret"), Ok(()), "{uri}");
        }
        assert_eq!(code("com.example.app:/cb", "none"), Ok(()));
        for uri in [
            "http://app.example/cb",
            "https://app.example/cb#f",
            "/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "com.example.app:/cb",
            "https://app.example/c b",
        ] {
            assert!(
                code(uri, "secret")
                    .unwrap_err()
                    .starts_with("redirect_uris"),
                "{uri}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(read("name = 'A'\nredirect_uri = 'https://a.example'").is_err());
        assert!(read("name = 'A'\n[switches]\nbe_nice = true").is_err());
        assert!(read("name = 'A'\n[authentication]\nmethod = 'magic'").is_err());
        assert_eq!(read("name = 'A'\n[switches]\nsad_goes_on = true"), Ok(()));
    }

    #[test]
    fn a_client_without_a_secret_does_not_act_by_itself() {
        let text = "name = 'A'\ngrants = ['client_credentials']\n[authentication]\nmethod = 'none'";
        assert!(read(text).unwrap_err().starts_with("grants"));
    }

    #[test]
    fn keys_are_public_ones() {
        let with = |jwk: &str| {
            format!(
                "name = 'A'\n[authentication]\nmethod = 'private_key_jwt'\n[[authentication.jwks.keys]]\n{jwk}"
            )
        };
        assert_eq!(
            read(&with(
                "kty = 'OKP'\ncrv = 'Ed25519'\nx = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'"
            )),
            Ok(())
        );
        assert!(
            read(&with("kty = 'oct'\nk = 'AAAA'"))
                .unwrap_err()
                .starts_with("authentication.jwks")
        );
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let text = "name = 'A'\nredirect_uris = ['https://a.example/cb']\ngrants = ['authorization_code', 'refresh_token']\nrequire_par = true\n[rates]\nper_minute = 5";
        let registration: Registration = toml::from_str(text).unwrap();
        let json = serde_json::to_string(&registration).unwrap();
        assert_eq!(
            serde_json::from_str::<Registration>(&json).unwrap(),
            registration
        );
        let toml = toml::to_string(&registration).unwrap();
        assert_eq!(toml::from_str::<Registration>(&toml).unwrap(), registration);
    }
}
