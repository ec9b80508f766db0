//! `operationMode` of signHash and signDoc (CSC v2 11.10, 11.11): the answer is waited for, or asked for later.

use std::time::Duration;

use axum::Json;
use serde_json::{Value, json};

use super::task::Task;
use crate::{
    api::{dialect::Call, fault::Fault, params::Params},
    app::App,
    credential::Credential,
    ids::ClientId,
    notify::callback,
    operation::{Asked, Outcome},
};

/// How the answer goes back.
#[derive(Debug)]
pub(super) enum Mode {
    /// `S`.
    Synchronous,
    /// `A`.
    Asynchronous {
        validity: Duration,
        response_uri: Option<String>,
    },
}

impl Mode {
    /// What is asked; with `S` everything that belongs to `A` is ignored.
    pub(super) async fn read(app: &App, client: &ClientId, params: &Params) -> Result<Self, Fault> {
        match params.optional_string("operationMode")? {
            None | Some("S") => return Ok(Self::Synchronous),
            Some("A") => {}
            Some(_) => return Err(Fault::Invalid("operationMode")),
        }
        let limits = &app.limits;
        let validity = match params.value("validity_period") {
            None => limits.validity,
            Some(value) => {
                let asked = value.as_i64().ok_or(Fault::Invalid("validity_period"))?;
                let asked = u64::try_from(asked).ok().filter(|asked| *asked > 0);
                let asked = asked.map(Duration::from_millis);
                let asked = asked.filter(|asked| *asked <= limits.longest_validity);
                asked.ok_or(Fault::Text("Out of bounds parameter validity_period"))?
            }
        };
        let response_uri = params.optional_string("response_uri")?;
        if let Some(uri) = response_uri {
            let client = app.clients.find(client).await?;
            let registered = client
                .as_ref()
                .map(|client| client.registration.response_uris.as_slice());
            if !callback::is_registered(uri, registered.unwrap_or_default()) {
                return Err(Fault::Invalid("response_uri"));
            }
        }
        Ok(Self::Asynchronous {
            validity,
            response_uri: response_uri.map(str::to_owned),
        })
    }

    /// The answer, once `task` has a permit: the result, or what to ask for it by. `held` is kept until the work is done.
    pub(super) async fn answer(
        self,
        app: App,
        call: Call,
        credential: &Credential,
        client: &ClientId,
        held: impl Send + 'static,
        task: impl Future<Output = Result<Task, Fault>>,
    ) -> Result<Json<Value>, Fault> {
        let (validity, response_uri) = match self {
            Self::Synchronous => {
                let answer = task.await?.run(&app).await;
                drop(held);
                return Ok(Json(answer?));
            }
            Self::Asynchronous {
                validity,
                response_uri,
            } => (validity, response_uri),
        };
        let asked = Asked {
            client: client.clone(),
            holder: credential.holder.clone(),
            person: credential.pseudonym.clone(),
            request: call.request.clone(),
            validity,
            response_uri,
        };
        // First the row: a permit without one would be spent on a result that nobody can ask for.
        let accepted = app.operations.accept(asked).await?;
        let task = match task.await {
            Ok(task) => task,
            Err(fault) => {
                app.operations.forget(accepted).await?;
                return Err(fault);
            }
        };
        let answer = json!({ "responseID": accepted.id.as_str() });
        tokio::spawn(async move {
            let operations = app.operations.clone();
            let work = async {
                let done = task.run(&app).await;
                outcome(done, &call)
            };
            operations.work(accepted, work).await;
            drop(held);
        });
        Ok(Json(answer))
    }
}

/// The answer that would have been given to who waits.
fn outcome(done: Result<Value, Fault>, call: &Call) -> Outcome {
    let (status, body) = match done {
        Ok(body) => (200, body),
        Err(fault) => fault.outcome(call),
    };
    Outcome {
        status,
        body: body.to_string(),
    }
}
