//! Service authorization: log-in, and the end of its token.

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use super::oauth::Application;
use super::{Api, Info, decode, send};
use crate::arguments::Service;
use crate::terminal::{self, Secret};

/// A service to which the user, or the application, is logged in.
pub(crate) struct Session {
    pub(crate) api: Api,
    /// Whose credentials are meant, where the token does not say.
    pub(crate) user_id: Option<String>,
    end: End,
}

/// How the token is revoked.
enum End {
    Nothing,
    Login,
    OAuth(Box<Application>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoginRequest {
    remember_me: bool,
}

#[derive(Deserialize)]
struct LoginAnswer {
    access_token: String,
}

#[derive(Serialize)]
struct RevokeRequest<'a> {
    token: &'a str,
    token_type_hint: &'a str,
}

impl Session {
    /// Logs in as the command line says.
    pub(crate) async fn open(service: &Service) -> anyhow::Result<Self> {
        let api = Api::new(service)?;
        let info = api.info().await?;
        let user_id = service.user_id.clone();
        let offers = |kind: &str| {
            info.auth_type
                .iter()
                .any(|offer| offer.eq_ignore_ascii_case(kind))
        };
        match (&service.client_id, &service.user) {
            (Some(client_id), _) => {
                Self::with_client_credentials(api, &info, client_id, user_id).await
            }
            (None, Some(user)) => Self::with_password(api, &info, user).await,
            (None, None) if offers("external") || offers("tls") => Ok(Self {
                api,
                user_id,
                end: End::Nothing,
            }),
            (None, None) => bail!("who are you? log in with --user or --client-id"),
        }
    }

    async fn with_password(mut api: Api, info: &Info, user: &str) -> anyhow::Result<Self> {
        ensure!(
            info.has("auth/login"),
            "the service has no log-in with a password; log in with --client-id"
        );
        let password = terminal::secret(&format!("Password of {user}"))?;
        let request = api
            .http
            .post(api.endpoint("auth/login")?)
            .basic_auth(user, Some(password.as_str()));
        let (_, body) = send(
            "auth/login",
            request.json(&LoginRequest { remember_me: false }),
        )
        .await?;
        let answer: LoginAnswer = decode("auth/login", &body)?;
        api.token = Some(Secret::new(answer.access_token));
        let end = if info.has("auth/revoke") {
            End::Login
        } else {
            End::Nothing
        };
        Ok(Self {
            api,
            user_id: None,
            end,
        })
    }

    async fn with_client_credentials(
        mut api: Api,
        info: &Info,
        client_id: &str,
        user_id: Option<String>,
    ) -> anyhow::Result<Self> {
        let application = Application::new(&api, info, client_id).await?;
        api.token = Some(application.token(&api).await?);
        Ok(Self {
            api,
            user_id,
            end: End::OAuth(Box::new(application)),
        })
    }

    /// Revokes the token. A token that cannot be revoked ends by itself soon: that is told, and is no failure.
    pub(crate) async fn close(self) {
        let token = self.api.token.clone().unwrap_or_default();
        let outcome = match &self.end {
            End::Nothing => Ok(()),
            End::Login => {
                let request = RevokeRequest {
                    token: &token,
                    token_type_hint: "access_token",
                };
                self.api.call_any("auth/revoke", &request).await.map(|_| ())
            }
            End::OAuth(application) => application.revoke(&self.api, &token).await,
        };
        if let Err(error) = outcome {
            terminal::note(&format!("the log-in could not be ended: {error:#}"));
        }
    }
}
