//! Client authentication at the OAuth endpoints (CSC v1 8.3.3, RFC 6749 2.3), and the key that what a client gets is bound to.

use std::sync::Arc;

use http::StatusCode;
use subtle::ConstantTimeEq;

use super::form::{Form, Refusal};
use crate::{
    api::{basic::basic, dpop, fault::Fault},
    app::App,
    ids::ClientId,
    oauth::{Caller, Proven, client::Client, registration::Authentication, statement},
};

const BAD_HEADER: Refusal = Refusal::Said(
    StatusCode::UNAUTHORIZED,
    "invalid_client",
    "Invalid authorization header",
);
const NOT_PROVEN: Refusal = Refusal::Said(
    StatusCode::UNAUTHORIZED,
    "invalid_request",
    "Client authorization required",
);

/// The client that sent this form, and how it proved so: in the way it is registered for, and no other.
///
/// # Errors
/// The texts of CSC v1 8.3.3 and 8.3.4; whoever is not who he says gets 401 by header and 400 by form, as there.
pub(super) async fn authenticate(app: &App, form: &Form) -> Result<(Arc<Client>, Caller), Refusal> {
    let (client, proven) = proven(app, form).await?;
    let proof = dpop::key(app, &form.headers, "POST", &form.path, None).await;
    let proof = proof.map_err(|fault| match fault {
        Fault::InvalidToken => Refusal::Said(
            StatusCode::BAD_REQUEST,
            "invalid_dpop_proof",
            "Invalid DPoP proof",
        ),
        fault => Refusal::Fault(fault),
    })?;
    if proof.is_none() && client.registration.require_dpop {
        return Err(Refusal::Said(
            StatusCode::BAD_REQUEST,
            "invalid_dpop_proof",
            "A DPoP proof is required",
        ));
    }
    let of_connection = (proven == Proven::Tls)
        .then(|| form.certificate.clone())
        .flatten();
    let caller = Caller {
        proven,
        confirmation: proof.or(of_connection),
    };
    Ok((client, caller))
}

async fn proven(app: &App, form: &Form) -> Result<(Arc<Client>, Proven), Refusal> {
    if let Some(header) = basic(&form.headers) {
        let (id, secret) = header.map_err(|_| BAD_HEADER)?;
        if form.get("client_id").is_some_and(|named| named != id) {
            return Err(Refusal::request("Invalid parameter client_id"));
        }
        let client = app.clients.find(&ClientId::new(id)).await?;
        let client = client.ok_or(BAD_HEADER)?;
        return match believes(app, &client, &secret).await? {
            true => Ok((client, Proven::Secret)),
            false => Err(BAD_HEADER),
        };
    }
    let assertion = form.get("client_assertion");
    let id = match (form.get("client_id"), assertion) {
        (Some(id), _) => id.to_owned(),
        // RFC 7523 2.2: the assertion names the client.
        (None, Some(assertion)) => {
            statement::subject(assertion).ok_or(Refusal::request("Missing parameter client_id"))?
        }
        (None, None) => return Err(Refusal::request("Missing parameter client_id")),
    };
    let client = app.clients.find(&ClientId::new(id)).await?;
    let client = client.ok_or(Refusal::request("Invalid parameter client_id"))?;
    if let Some(assertion) = assertion {
        return asserted(app, form, client, assertion).await;
    }
    match (
        &client.registration.authentication,
        form.get("client_secret"),
    ) {
        (Authentication::None, None) => Ok((client, Proven::Not)),
        (Authentication::Tls { thumbprint }, None) => {
            match is_of(form.certificate.as_deref(), thumbprint) {
                true => Ok((client, Proven::Tls)),
                false => Err(not_believed(app, &client, NOT_PROVEN).await?),
            }
        }
        (_, Some(secret)) => match believes(app, &client, secret).await? {
            true => Ok((client, Proven::Secret)),
            false => Err(Refusal::request("Invalid parameter client_secret")),
        },
        (_, None) => Err(NOT_PROVEN),
    }
}

/// RFC 7523: the client signed for this server, not long ago, and for the first time.
async fn asserted(
    app: &App,
    form: &Form,
    client: Arc<Client>,
    assertion: &str,
) -> Result<(Arc<Client>, Proven), Refusal> {
    const BAD: Refusal = Refusal::Said(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "Invalid parameter client_assertion",
    );
    if form.get("client_assertion_type") != Some(statement::ASSERTION) {
        return Err(Refusal::request("Invalid parameter client_assertion_type"));
    }
    let base = app.public_url.to_string();
    // RFC 7523 3 lets it name the token endpoint; OpenID Connect's clients name the issuer.
    let audiences = [
        format!("{base}/oauth2/token"),
        format!("{base}{}", form.path),
        base,
    ];
    let now = app.clock.now();
    let Some(name) = statement::assertion(&client, assertion, &audiences, now) else {
        return Err(not_believed(app, &client, BAD).await?);
    };
    let first = app.store.write(async move |tx| name.take(tx, now).await);
    if !first.await? {
        return Err(not_believed(app, &client, BAD).await?);
    }
    Ok((client, Proven::PrivateKeyJwt))
}

/// Whether the connection's certificate has this thumbprint, hexadecimal.
fn is_of(certificate: Option<&str>, thumbprint: &str) -> bool {
    let Some(certificate) = certificate else {
        return false;
    };
    let wanted = statement::thumbprint(thumbprint);
    wanted.is_some_and(|wanted| wanted.as_bytes().ct_eq(certificate.as_bytes()).into())
}

/// Whether this is the client's secret, and it is to prove itself by it; a wrong one is recorded.
async fn believes(app: &App, client: &Client, secret: &str) -> Result<bool, Refusal> {
    let believed =
        client.registration.authentication == Authentication::Secret && client.has_secret(secret);
    if !believed {
        app.clients.not_believed(client).await?;
    }
    Ok(believed)
}

/// The refusal, recorded.
async fn not_believed(app: &App, client: &Client, refusal: Refusal) -> Result<Refusal, Refusal> {
    app.clients.not_believed(client).await?;
    Ok(refusal)
}
