//! `Authorization: Bearer …` or `DPoP …` → who calls: a service token, or in v2 the credential token of one credential (CSC v2 8.2).

use axum::extract::{FromRequestParts, OriginalUri};
use http::{header, request::Parts};
use zeroize::Zeroizing;

use super::{
    dialect::{Call, Version},
    dpop,
    fault::Fault,
    leniency::Caller,
    params::Params,
};
use crate::{
    app::App,
    credential::{self, TokenAccess},
    ids::CredentialId,
    oauth::{ServiceAccess, client::Stored, switches::Switch, token},
};

/// Who calls a method that a credential token opens as well.
pub(super) enum Access {
    /// A service token.
    Service(ServiceAccess),
    /// The token of one credential, which is its own SAD.
    Credential(TokenAccess, Zeroizing<String>),
}

impl Access {
    /// Who calls, and for whom.
    pub(super) fn service(&self) -> &ServiceAccess {
        match self {
            Self::Service(access) => access,
            Self::Credential(access, _) => &access.service,
        }
    }

    /// The same, where nothing else is asked any more.
    pub(super) fn into_service(self) -> ServiceAccess {
        match self {
            Self::Service(access) => access,
            Self::Credential(access, _) => access.service,
        }
    }

    /// Whether this may be done with this credential.
    ///
    /// # Errors
    /// For a credential token of another one, what there is for a credential that there is not.
    pub(super) fn covers(&self, id: &CredentialId) -> Result<(), Fault> {
        match self {
            Self::Credential(access, _) if access.credential != *id => {
                Err(Fault::Credential(credential::Error::Unknown))
            }
            _ => Ok(()),
        }
    }

    /// What opens the key: the member `SAD`, or the bearer token when it is a credential token. Both may come, if they are the same.
    ///
    /// # Errors
    /// When there is none, or another.
    pub(super) fn sad<'a>(&'a self, params: &'a Params) -> Result<&'a str, Fault> {
        match self {
            Self::Service(_) => params.string("SAD"),
            Self::Credential(_, token) => match params.optional_string("SAD")? {
                Some(sad) if sad != token.as_str() => Err(Fault::Invalid("SAD")),
                _ => Ok(token),
            },
        }
    }
}

impl FromRequestParts<App> for ServiceAccess {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let presented = presented(parts)?;
        let token = &presented.token;
        match app.tokens.access(token).await {
            Ok((access, stored)) => let_in(app, access, Some(stored), &presented, parts).await,
            Err(token::Error::Unknown) => match app.keys.bearer(token).await {
                Ok(Some(_)) => Err(Fault::Scope),
                Ok(None) => Err(Fault::InvalidToken),
                Err(credential::Error::SadExpired) => Err(Fault::ExpiredToken),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

impl FromRequestParts<App> for Access {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let presented = presented(parts)?;
        let token = &presented.token;
        let call = parts.extensions.get::<Call>();
        let v1 = call.is_some_and(|call| call.version == Version::V1);
        match app.tokens.access(token).await {
            Ok((access, stored)) => {
                let access = let_in(app, access, Some(stored), &presented, parts).await?;
                Ok(Self::Service(access))
            }
            Err(token::Error::Unknown) => match app.keys.bearer(token).await {
                Ok(Some(_)) if v1 => Err(Fault::Scope),
                Ok(Some(access)) => {
                    let service = let_in(app, access.service, None, &presented, parts).await?;
                    let access = TokenAccess { service, ..access };
                    Ok(Self::Credential(access, presented.token))
                }
                Ok(None) => Err(Fault::InvalidToken),
                Err(credential::Error::SadExpired) => Err(Fault::ExpiredToken),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Who has a token for the beginning or the end of one credential (CSC v2.2), and that credential.
pub(super) struct Life<const DELETES: bool> {
    /// Who calls, and for whom.
    pub(super) service: ServiceAccess,
    token: Zeroizing<String>,
}

impl<const DELETES: bool> Life<DELETES> {
    const KIND: token::Kind = match DELETES {
        true => token::Kind::Deletion,
        false => token::Kind::Creation,
    };

    /// The credential: the grant of such a token is that.
    pub(super) fn credential(&self) -> CredentialId {
        CredentialId::new(self.service.grant.as_str())
    }

    /// Ends the token, when what it was for is done.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn use_up(&self, app: &App) -> Result<(), Fault> {
        let client = &self.service.client;
        Ok(app.tokens.use_up(&self.token, Self::KIND, client).await?)
    }
}

impl<const DELETES: bool> FromRequestParts<App> for Life<DELETES> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let presented = presented(parts)?;
        let found = app.tokens.bearer(&presented.token, Self::KIND).await;
        match found {
            Ok((access, stored)) => Ok(Self {
                service: let_in(app, access, Some(stored), &presented, parts).await?,
                token: presented.token,
            }),
            // A token of another scope is let in before it is refused: what is wrong is its scope.
            Err(token::Error::Unknown) => match Access::from_request_parts(parts, app).await {
                Ok(_) => Err(Fault::Scope),
                Err(fault) => Err(fault),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// The scheme and the token of the header.
struct Presented {
    dpop: bool,
    token: Zeroizing<String>,
}

fn presented(parts: &Parts) -> Result<Presented, Fault> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Fault::Header);
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Fault::Header)?;
    let dpop = scheme.eq_ignore_ascii_case("dpop");
    if !(dpop || scheme.eq_ignore_ascii_case("bearer"))
        || token.is_empty()
        || token.contains(char::is_whitespace)
    {
        return Err(Fault::Header);
    }
    Ok(Presented {
        dpop,
        token: Zeroizing::new(token.to_owned()),
    })
}

/// Who calls, once his token is shown to be his: his registration decides how much, and how leniently, he is served.
async fn let_in(
    app: &App,
    access: ServiceAccess,
    stored: Option<Stored>,
    presented: &Presented,
    parts: &Parts,
) -> Result<ServiceAccess, Fault> {
    let mut access = shown(app, access, presented, parts).await?;
    let caller = parts.extensions.get::<Caller>();
    if let Some(caller) = caller {
        caller.is(&access.client);
    }
    let client = match stored {
        Some(stored) => app.clients.genuine(&access.client, stored).await?,
        None => app.clients.find(&access.client).await?,
    };
    let client = client.ok_or(Fault::InvalidToken)?;
    if let Some(caller) = caller {
        caller.is_registered(&client);
    }
    app.rates.client(&client).await?;
    access.sad_goes_on = client.registration.switches.has(Switch::SadGoesOn);
    Ok(access)
}

/// A token that is bound to a key is good only with proof of that key (RFC 9449 7, RFC 8705 3), and one that is not bound needs none.
async fn shown(
    app: &App,
    access: ServiceAccess,
    presented: &Presented,
    parts: &Parts,
) -> Result<ServiceAccess, Fault> {
    let key = match presented.dpop {
        true => {
            let path = parts.extensions.get::<OriginalUri>();
            let path = path.map_or_else(|| parts.uri.path(), |uri| uri.path());
            let method = parts.method.as_str();
            let proof = dpop::key(
                app,
                &parts.headers,
                method,
                path,
                Some(presented.token.as_str()),
            )
            .await?;
            Some(proof.ok_or(Fault::InvalidToken)?)
        }
        false => dpop::certificate(&parts.extensions),
    };
    match (&access.confirmation, presented.dpop) {
        (None, false) => Ok(access),
        (Some(bound), _) if key.as_ref() == Some(bound) => Ok(access),
        _ => Err(Fault::InvalidToken),
    }
}
