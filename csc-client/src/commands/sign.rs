//! `csc-client sign`: files in, signed files out.

use std::time::SystemTime;

use anyhow::{Context as _, bail};

use crate::algorithm::Algorithm;
use crate::api::credential::Credential;
use crate::api::session::Session;
use crate::arguments::{Service, Sign};
use crate::authorisation::Holder;
use crate::document::{self, Document, Prepared};
use crate::terminal;

/// Signs the files, and prints where the signed ones are.
pub(crate) async fn run(service: &Service, options: Sign) -> anyhow::Result<()> {
    let documents = document::plan(&options)?;
    let session = Session::open(service).await?;
    let outcome = sign(&session, &options, documents).await;
    session.close().await;
    outcome
}

async fn sign(session: &Session, options: &Sign, documents: Vec<Document>) -> anyhow::Result<()> {
    let id = match &options.credential {
        Some(id) => id.clone(),
        None => only_credential(session).await?,
    };
    let credential = session.api.credential(&id).await?;
    if let Some(hindrance) = credential.hindrance() {
        bail!("credential {id} cannot sign: {hindrance}; see the provider's portal");
    }
    let algorithm = Algorithm::choose(credential.chain.key(), &credential.algorithms, options.pss)?;
    let mut holder = Holder::new(&session.api, &credential, options.otp_command.as_deref())?;

    let mut prepared = prepare(documents, &credential, &algorithm, options)?;
    let (count, limit) = (prepared.len(), credential.multisign);
    if count > limit {
        let authorisations = count.div_ceil(limit);
        terminal::note(&format!(
            "The credential signs at most {limit} files at once: {count} files take {authorisations} authorisations."
        ));
    }
    while !prepared.is_empty() {
        let rest = prepared.split_off(limit.min(prepared.len()));
        sign_together(
            session,
            &credential,
            &algorithm,
            &mut holder,
            prepared,
            options.force,
        )
        .await?;
        prepared = rest;
    }
    Ok(())
}

/// The credential to sign with where none is named: the only one, or what the user chooses.
async fn only_credential(session: &Session) -> anyhow::Result<String> {
    let mut ids = session.credential_ids(true).await?;
    let chosen = match ids.len() {
        0 => bail!("you have no credential that can sign; see the provider's portal"),
        1 => 0,
        _ => terminal::choose("which credential? name it with --credential", &ids)?,
    };
    Ok(ids.swap_remove(chosen))
}

fn prepare(
    documents: Vec<Document>,
    credential: &Credential,
    algorithm: &Algorithm,
    options: &Sign,
) -> anyhow::Result<Vec<(Document, Prepared)>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one clock: the time that signatures claim"
    )]
    let time = SystemTime::now();
    let bar = terminal::progress(documents.len(), "Preparing");
    let prepare = |document: Document| {
        let prepared = document.prepare(&credential.chain, algorithm.scheme, time, options)?;
        bar.inc(1);
        Ok((document, prepared))
    };
    let prepared = documents.into_iter().map(prepare).collect();
    bar.finish_and_clear();
    prepared
}

/// Signs under one authorisation.
async fn sign_together(
    session: &Session,
    credential: &Credential,
    algorithm: &Algorithm,
    holder: &mut Holder<'_>,
    prepared: Vec<(Document, Prepared)>,
    force: bool,
) -> anyhow::Result<()> {
    let digests: Vec<Vec<u8>> = prepared
        .iter()
        .map(|(_, prepared)| prepared.digest())
        .collect();
    let sad = holder.authorise(algorithm, &digests).await?;
    let signatures = session
        .api
        .sign_hash(credential, &sad, algorithm, &digests)
        .await?;
    let bar = terminal::progress(prepared.len(), "Writing");
    for ((document, prepared), signature) in prepared.into_iter().zip(signatures) {
        let signed = prepared.finish(&signature);
        let signed =
            signed.with_context(|| format!("{} cannot be signed", document.input.display()))?;
        document.write(&signed, force)?;
        bar.suspend(|| terminal::written(&document.output));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
