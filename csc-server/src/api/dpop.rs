//! Proof of the key that a token is bound to: a header that the client signed (RFC 9449), or the certificate of its connection (RFC 8705).

use http::{Extensions, HeaderMap};

use super::fault::Fault;
use crate::{app::App, listener::PeerCertificate, oauth::statement};

/// The key of the request's proof; `None` when there is no proof, [`Fault::InvalidToken`] when there is none that is good. A proof is taken
/// once.
pub(super) async fn key(
    app: &App,
    headers: &HeaderMap,
    method: &str,
    path: &str,
    token: Option<&str>,
) -> Result<Option<String>, Fault> {
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else {
        return Ok(None);
    };
    let only = proofs.next().is_none();
    let proof = proof.to_str().ok().filter(|_| only);
    let address = format!("{}{path}", app.public_url);
    let now = app.clock.now();
    let proof = proof.and_then(|proof| statement::proof(proof, method, &address, token, now));
    let proof = proof.ok_or(Fault::InvalidToken)?;
    let name = proof.name;
    let first = app.store.write(async move |tx| name.take(tx, now).await);
    if first.await? {
        Ok(Some(proof.confirmation))
    } else {
        Err(Fault::InvalidToken)
    }
}

/// The key of the connection's certificate, if it has one.
pub(super) fn certificate(extensions: &Extensions) -> Option<String> {
    let certificate = extensions.get::<PeerCertificate>()?;
    Some(statement::certificate(&certificate.0))
}
