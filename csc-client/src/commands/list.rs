//! `csc-client list`: the user's credentials.

use crate::api::credential::Credential;
use crate::api::session::Session;
use crate::arguments::Service;
use crate::terminal;

/// Prints one line a credential: its identifier, whether it can sign, its end and its subject.
pub(crate) async fn run(service: &Service) -> anyhow::Result<()> {
    let session = Session::open(service).await?;
    let outcome = list(&session).await;
    session.close().await;
    outcome
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let ids = session.credential_ids(false).await?;
    if ids.is_empty() {
        terminal::note("You have no credential.");
    }
    for id in ids {
        // One that cannot be described, having no certificate yet, hides no other.
        match session.api.credential(&id).await {
            Ok(credential) => terminal::result(&line(&credential)),
            Err(error) => terminal::note(&format!("{error:#}")),
        }
    }
    Ok(())
}

fn line(credential: &Credential) -> String {
    let state = credential
        .hindrance()
        .unwrap_or_else(|| "can sign".to_owned());
    let certificate = credential.certificate.tbs_certificate();
    let end = super::info::date(certificate.validity().not_after);
    format!(
        "{}\t{state}\t{end}\t{}",
        credential.id,
        certificate.subject()
    )
}
