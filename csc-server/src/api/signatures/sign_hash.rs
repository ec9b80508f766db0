//! signatures/signHash (CSC v1 11.9, v2 11.10).

use axum::{Extension, Json, extract::State};
use serde_json::Value;

use super::{mode::Mode, task::Task};
use crate::{
    api::{
        algorithms,
        bearer::Access,
        dialect::{Call, Version},
        fault::Fault,
        leniency::Caller,
        params::Params,
    },
    app::App,
    credential::{Credential, SignOrder},
    ids::CredentialId,
};

/// Handles the call: what is asked → SAD redeemed for a permit → permit spent in the HSM.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    Extension(caller): Extension<Caller>,
    access: Access,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let id = CredentialId::new(params.string("credentialID")?);
    access.covers(&id)?;
    let sad = access.sad(&params)?.to_owned();
    let access = access.into_service();
    // The v2 text says "hash" although the member is `hashes`.
    let hashes = params.hashes(call.version.hashes(), "hash", app.limits.hashes)?;
    let hash_algo = params.optional_string(call.version.hash_algorithm());
    let hash_algo = hash_algo.map_err(|_| Fault::MissingString(call.version.hash_algorithm()))?;
    let sign_algo = params.string("signAlgo")?;
    let sign_params = params
        .optional_string("signAlgoParams")
        .map_err(|_| Fault::MissingString("signAlgoParams"))?;
    let mode = match call.version {
        Version::V1 => Mode::Synchronous,
        Version::V2 => Mode::read(&app, &access.client, &params).await?,
    };
    params.check_free_text()?;
    let scheme = algorithms::scheme(call.version, sign_algo, sign_params, hash_algo)?;
    let hashes_asked = hashes.len();
    let digests = hashes.into_iter().map(|hash| hash.digest(scheme.digest()));
    let digests = digests
        .collect::<Option<_>>()
        .ok_or(Fault::Text("Invalid digest value length"))?;

    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    if !algorithms::advertised(credential.key.algorithm).contains(&sign_algo) {
        return Err(Fault::Invalid("signAlgo"));
    }
    if !credential.key.algorithm.allows(scheme) {
        return Err(Fault::Invalid("signAlgoParams"));
    }
    if let Some(client) = caller.client(&app).await? {
        app.rates.signatures(&client, hashes_asked).await?;
    }
    let order = SignOrder { scheme, digests };
    let client = access.client.clone();
    let task = {
        let (keys, sad, of) = (app.keys.clone(), sad, credential.clone());
        let request = call.request.clone();
        async move {
            let permit = keys.redeem(&access, &of, &sad, order, &request).await?;
            Ok(Task::Hashes(permit))
        }
    };
    mode.answer(app, call, &credential, &client, (), task).await
}
