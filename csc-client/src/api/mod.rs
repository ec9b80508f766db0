//! The wire: JSON over HTTPS POST (CSC API v2, clause 8), in the dialects v1 and v2.

pub(crate) mod authorise;
pub(crate) mod credential;
mod error;
mod oauth;
pub(crate) mod session;
pub(crate) mod sign_hash;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::arguments::{Service, Version};
use crate::terminal::Secret;
use error::{Refusal, unreachable};

/// In v1 a service may hold the answer back until the user has approved on another device.
const TIMEOUT: Duration = Duration::from_secs(180);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read; certificates and signatures are far shorter.
const LONGEST_ANSWER: usize = 16 << 20;

/// A service, before log-in or after.
pub(crate) struct Api {
    http: Client,
    base: Url,
    pub(crate) version: Version,
    token: Option<Secret>,
}

/// What a service says about itself (`info`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Info {
    pub(crate) specs: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) auth_type: Vec<String>,
    pub(crate) methods: Vec<String>,
    oauth2: Option<String>,
    oauth2_issuer: Option<String>,
    oauth2_servers: Option<Vec<oauth::Server>>,
}

impl Info {
    /// Whether the service has a method; one that does not list any is tried.
    fn has(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|name| name == method)
    }
}

impl Api {
    /// Prepares to speak to the service that the command line names.
    pub(crate) fn new(service: &Service) -> anyhow::Result<Self> {
        let url = service
            .url
            .as_deref()
            .context("which service? name it with --url or CSC_URL")?;
        let mut builder = Client::builder()
            .user_agent(concat!("csc-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect would carry passwords and PINs to somewhere else.
            .redirect(redirect::Policy::none());
        if let Some(path) = &service.cacert {
            builder = builder.tls_certs_only(trusted(path)?);
        }
        let http = builder.build().context("TLS cannot be set up")?;
        Ok(Self {
            http,
            base: base(url, service.api)?,
            version: service.api,
            token: None,
        })
    }

    /// `info`: what the service says about itself.
    pub(crate) async fn info(&self) -> anyhow::Result<Info> {
        self.call("info", &serde_json::json!({})).await
    }

    /// Calls a method, and reads its answer.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<T> {
        let (_, body) = self.call_any(method, request).await?;
        decode(method, &body)
    }

    /// Calls a method whose answer may be pending (202), absent (204) or there (200).
    async fn call_any(
        &self,
        method: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let mut builder = self.http.post(self.endpoint(method)?).json(request);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.as_str());
        }
        send(method, builder).await
    }

    fn endpoint(&self, method: &str) -> anyhow::Result<Url> {
        Ok(self.base.join(method)?)
    }
}

/// Sends a request; anything but success is an error that says why.
async fn send(method: &str, request: RequestBuilder) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(response).await?;
    if !status.is_success() {
        return Err(Refusal::new(method, status, retry_after, &body).into());
    }
    Ok((status, body))
}

async fn read(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        ensure!(
            body.len() + chunk.len() <= LONGEST_ANSWER,
            "the service's answer is too long"
        );
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn decode<T: DeserializeOwned>(method: &str, body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).with_context(|| {
        format!("the answer to {method} is not that of a CSC service; check --url, and --api for the version")
    })
}

/// The URL that methods are relative to (CSC API v2, 8.1).
fn base(url: &str, version: Version) -> anyhow::Result<Url> {
    let mut base = checked(url).with_context(|| format!("--url {url} cannot be used"))?;
    base.set_query(None);
    base.set_fragment(None);
    let path = base.path().trim_end_matches('/');
    let path = path
        .strip_suffix("/csc/v1")
        .or_else(|| path.strip_suffix("/csc/v2"))
        .unwrap_or(path);
    let path = match version {
        Version::V1 => format!("{path}/csc/v1/"),
        Version::V2 => format!("{path}/csc/v2/"),
    };
    base.set_path(&path);
    Ok(base)
}

/// A URL to which a secret may go: over TLS, or to this machine.
fn checked(url: &str) -> anyhow::Result<Url> {
    let url = Url::parse(url).context("it is not a URL")?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => bail!("it names no host"),
    };
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && local),
        "it has to start with https://"
    );
    Ok(url)
}

fn trusted(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = std::fs::read(path)
        .with_context(|| format!("--cacert {} cannot be read", path.display()))?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    ensure!(
        !certificates.is_empty(),
        "--cacert {} holds no PEM certificate",
        path.display()
    );
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_added_to_the_base_url() {
        let of = |url, version| base(url, version).unwrap().to_string();
        assert_eq!(
            of("https://host:8443", Version::V2),
            "https://host:8443/csc/v2/"
        );
        assert_eq!(
            of("https://host/prefix/", Version::V1),
            "https://host/prefix/csc/v1/"
        );
        assert_eq!(
            of("https://host/csc/v2", Version::V2),
            "https://host/csc/v2/"
        );
        assert_eq!(
            of("https://host/csc/v1/", Version::V2),
            "https://host/csc/v2/"
        );
    }

    #[test]
    fn secrets_do_not_go_in_clear_to_another_machine() {
        for url in [
            "http://host",
            "http://10.0.0.1:8080",
            "ftp://localhost",
            "host:8443",
            "unix:/socket",
            "https://",
        ] {
            assert!(base(url, Version::V2).is_err(), "{url}");
        }
        for url in [
            "https://host",
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:80",
        ] {
            assert!(base(url, Version::V2).is_ok(), "{url}");
        }
    }
}
