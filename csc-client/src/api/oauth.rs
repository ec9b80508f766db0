//! OAuth client credentials (CSC API v2, 8.3): where the authorization server is, its token, and the token's end.

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use url::Url;

use super::{Api, Info, checked, decode, send};
use crate::terminal::{self, Secret};

/// One of several authorization servers (`info.oauth2Servers`, CSC API v2.2).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Server {
    base_uri: Option<String>,
    issuer_identifier: Option<String>,
    auth_type: Vec<String>,
}

/// The endpoints in use.
struct Endpoints {
    token: Url,
    revocation: Option<Url>,
}

/// An application that logs in with a secret of its own.
pub(super) struct Application {
    endpoints: Endpoints,
    id: String,
    secret: Secret,
}

/// Metadata of an authorization server (RFC 8414).
#[derive(Deserialize)]
struct Metadata {
    token_endpoint: String,
    revocation_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

impl Endpoints {
    async fn find(api: &Api, info: &Info) -> anyhow::Result<Self> {
        let server = info
            .oauth2_servers
            .iter()
            .flatten()
            .find(|s| s.auth_type.iter().any(|t| t == "oauth2client"));
        let server = server.cloned().unwrap_or_default();
        if let Some(base) = info.oauth2.as_ref().or(server.base_uri.as_ref()) {
            return Self::under(base);
        }
        let issuer = info
            .oauth2_issuer
            .as_ref()
            .or(server.issuer_identifier.as_ref());
        let issuer = issuer.context("the service names no OAuth server; log in with --user")?;
        let (status, body) = send("the OAuth metadata", api.http.get(metadata(issuer)?)).await?;
        ensure!(status.is_success(), "the OAuth metadata cannot be read");
        let metadata: Metadata = decode("the OAuth metadata", &body)?;
        let revocation = metadata
            .revocation_endpoint
            .as_deref()
            .map(checked)
            .transpose()?;
        Ok(Self {
            token: checked(&metadata.token_endpoint)?,
            revocation,
        })
    }

    fn under(base: &str) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/');
        // Some services publish the URL of the page instead of its base.
        let base = base.strip_suffix("/oauth2/authorize").unwrap_or(base);
        let endpoint = |name: &str| checked(&format!("{base}/oauth2/{name}"));
        Ok(Self {
            token: endpoint("token")?,
            revocation: Some(endpoint("revoke")?),
        })
    }
}

impl Application {
    /// Finds the service's authorization server, then asks for the secret.
    pub(super) async fn new(api: &Api, info: &Info, id: &str) -> anyhow::Result<Self> {
        let endpoints = Endpoints::find(api, info).await?;
        let secret = terminal::secret(&format!("Client secret of {id}"))?;
        Ok(Self {
            endpoints,
            id: id.to_owned(),
            secret,
        })
    }

    /// A service token.
    pub(super) async fn token(&self, api: &Api) -> anyhow::Result<Secret> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
        ];
        let (_, body) = send(
            "oauth2/token",
            api.http.post(self.endpoints.token.clone()).form(&form),
        )
        .await?;
        let answer: TokenAnswer = decode("oauth2/token", &body)?;
        Ok(Secret::new(answer.access_token))
    }

    /// Ends a token.
    pub(super) async fn revoke(&self, api: &Api, token: &str) -> anyhow::Result<()> {
        let Some(endpoint) = &self.endpoints.revocation else {
            return Ok(());
        };
        let form = [
            ("token", token),
            ("token_type_hint", "access_token"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
        ];
        send("oauth2/revoke", api.http.post(endpoint.clone()).form(&form))
            .await
            .map(|_| ())
    }
}

/// RFC 8414, section 3: the well-known part stands between host and path.
fn metadata(issuer: &str) -> anyhow::Result<Url> {
    let mut url = checked(issuer)?;
    let path = format!(
        "/.well-known/oauth-authorization-server{}",
        url.path().trim_end_matches('/')
    );
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_hang_off_the_base_however_it_is_written() {
        for base in [
            "https://as.example/x",
            "https://as.example/x/",
            "https://as.example/x/oauth2/authorize",
        ] {
            let endpoints = Endpoints::under(base).unwrap();
            assert_eq!(
                endpoints.token.as_str(),
                "https://as.example/x/oauth2/token"
            );
            assert_eq!(
                endpoints.revocation.unwrap().as_str(),
                "https://as.example/x/oauth2/revoke"
            );
        }
        assert!(Endpoints::under("http://as.example").is_err());
    }

    #[test]
    fn metadata_is_looked_up_as_rfc_8414_says() {
        let url = metadata("https://as.example/tenant/").unwrap();
        assert_eq!(
            url.as_str(),
            "https://as.example/.well-known/oauth-authorization-server/tenant"
        );
    }
}
