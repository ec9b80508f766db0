//! signatures/signDoc (CSC v2 11.11): documents, or digests of documents, become signatures in a format.

mod read;
mod turn;

use std::time::{Duration, SystemTime};

use ades::Chain;
use axum::{Extension, Json, extract::State};
use serde_json::Value;

use super::{mode::Mode, task::Task};
use crate::{
    api::{
        algorithms, bearer::Access, dialect::Call, fault::Fault, leniency::Caller, params::Params,
    },
    app::App,
    credential::{self, Credential},
    ids::CredentialId,
    signing::document::{self, Prepared},
};
use read::{Entry, entries};
pub(crate) use read::{FORMATS, LEVELS};
use turn::Turn;

/// Handles the call: what is asked → documents prepared → SAD redeemed for what was made of them → permit spent in the HSM.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    Extension(caller): Extension<Caller>,
    access: Access,
    turn: Turn,
    mut params: Params,
) -> Result<Json<Value>, Fault> {
    let sad = access.sad(&params)?.to_owned();
    let named = params
        .optional_string("credentialID")
        .map_err(|_| Fault::MissingString("credentialID"))?
        .map(CredentialId::new);
    let qualifier = params
        .optional_string("signatureQualifier")?
        .map(str::to_owned);
    if named.is_none() && qualifier.is_none() {
        return Err(Fault::MissingString("credentialID"));
    }
    let (documents, digests) = (params.take("documents"), params.take("documentDigests"));
    let validation = params.flag("returnValidationInfo")?;
    params.check_free_text()?;
    if let Some(id) = &named {
        access.covers(id)?;
    }
    let by_token = matches!(access, Access::Credential(..));
    let access = access.into_service();
    let mode = Mode::read(&app, &access.client, &params).await?;
    let most = app.limits.documents;
    let entries = blocking(move || entries(documents, digests, most)).await?;

    let id = match named {
        Some(id) => id,
        None => app.keys.credential_of(&access, &sad).await?,
    };
    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    if qualifier.is_some_and(|qualifier| credential.qualifier() != qualifier) {
        return Err(Fault::Invalid("signatureQualifier"));
    }
    for entry in &entries {
        if !algorithms::advertised(credential.key.algorithm).contains(&entry.sign_algo.as_str()) {
            return Err(Fault::Invalid("signAlgo"));
        }
        if !credential.key.algorithm.allows(entry.document.scheme) {
            return Err(Fault::Invalid("signAlgoParams"));
        }
    }
    if let Some(client) = caller.client(&app).await? {
        app.rates.signatures(&client, entries.len()).await?;
    }
    let approved = app.keys.approved_under(&access, &credential, &sad).await?;
    let prepared = prepare(&app, &credential, entries, approved).await?;
    if prepared.iter().any(Prepared::is_stamped) {
        app.tsa.check()?;
    }
    let client = access.client.clone();
    let task = {
        let (keys, of, request) = (app.keys.clone(), credential.clone(), call.request.clone());
        async move {
            let statements = prepared.iter().map(|prepared| prepared.statement().clone());
            let statements: Vec<_> = statements.collect();
            let permit = keys.redeem(&access, &of, &sad, statements, &request).await;
            let permit = permit.map_err(|error| match error {
                credential::Error::NotAuthorised if by_token => Fault::Hash,
                error => error.into(),
            })?;
            Ok(Task::Documents {
                permit,
                prepared,
                validation,
                client: access.client.to_string(),
                person: of.pseudonym,
                request,
            })
        }
    };
    mode.answer(app, call, &credential, &client, turn, task)
        .await
}

/// Makes everything of the signatures but their values, on a thread of its own.
async fn prepare(
    app: &App,
    credential: &Credential,
    entries: Vec<Entry>,
    approved: Option<hsm_adapter::DigestAlgorithm>,
) -> Result<Vec<Prepared>, Fault> {
    let chain = vec![credential.certificate.clone(), app.ca_certificate.to_vec()];
    let chain = Chain::new(chain).map_err(|error| Fault::Internal(error.to_string()))?;
    let since_1970 = Duration::from_millis(u64::try_from(app.clock.now()).unwrap_or_default());
    let time = SystemTime::UNIX_EPOCH + since_1970;
    blocking(move || {
        entries
            .into_iter()
            .map(|Entry { document, .. }| {
                let approved = approved.unwrap_or(document.scheme.digest());
                document.prepare(&chain, approved, time).map_err(refused)
            })
            .collect()
    })
    .await
}

/// What is wrong with a document is for who sent it; everything else is ours.
fn refused(error: document::Error) -> Fault {
    match error {
        document::Error::Pdf(ades::pades::Error::NotFirst) => {
            Fault::Invalid("signed_envelope_property")
        }
        document::Error::Pdf(error @ (ades::pades::Error::Cms(_) | ades::pades::Error::Time)) => {
            Fault::Internal(error.to_string())
        }
        document::Error::Pdf(error) => {
            Fault::Words(format!("Invalid parameter documents ({error})"))
        }
        error => Fault::Internal(error.to_string()),
    }
}

/// Runs what takes long on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Fault::Internal(panic.to_string()))?
}
