//! credentials/authorize (CSC v1 11.6, v2 11.6). Explicit mode: both factors come with the call. Implicit mode: the service asks the holder; v2 answers
//! with a handle at once (credentials/authorizeCheck), v1 when he has answered.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use hsm_adapter::{HashType, Pin};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    api::{
        algorithms,
        dialect::{Call, Version},
        fault::Fault,
        params::Params,
    },
    app::App,
    credential::{self, Approval, Credential, Issued, Mode, Order},
    factor::Otp,
    ids::CredentialId,
    oauth::ServiceAccess,
    question::Checked,
};

/// Identifier of the PIN among `auth/objects` of v2.
pub(crate) const PIN: &str = "PIN";
/// Identifier of the OTP.
pub(crate) const OTP: &str = "OTP";

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    access: ServiceAccess,
    params: Params,
) -> Result<Response, Fault> {
    let id = CredentialId::new(params.string("credentialID")?);
    let count = params.integer("numSignatures")?;
    let name = call.version.hashes();
    let hashes = params.hashes(name, name, app.limits.hashes)?;
    let digest = match call.version {
        Version::V1 => None,
        Version::V2 => Some(algorithms::digest(
            params.string("hashAlgorithmOID")?,
            "hashAlgorithmOID",
        )?),
    };
    let hash_type = hash_type(&params, call.version)?;
    // What the implicit mode has nothing of.
    let collected = match nothing_collected(&params, call.version) {
        true => None,
        false => Some(factors(&params, call.version)?),
    };
    params.check_free_text()?;
    let count = u32::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or(Fault::Text("Invalid value for parameter numSignatures"))?;
    if digest.is_some_and(|digest| !hashes.iter().all(|hash| hash.fits(digest))) {
        return Err(Fault::Text("Invalid digest value length"));
    }

    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    if !matches!(credential.mode, Mode::Explicit | Mode::Implicit) {
        return Err(credential::Error::WrongMode.into());
    }
    app.keys.usable(&access, &credential).await?;
    let order = Order::new(&credential, count, hashes, digest)?.of_type(hash_type);
    if credential.mode == Mode::Implicit {
        // CSC v2 11.6: `[]` and nothing else where nothing is required.
        if collected.is_some() && call.version == Version::V2 {
            return Err(Fault::AuthenticationData);
        }
        let description = params.optional_string("description")?;
        let asked = app.questions.ask(&access, &credential, &order, description);
        let handle = asked.await?;
        return match call.version {
            Version::V1 => Ok(Json(answer(&wait(&app, &access, &handle).await?)).into_response()),
            Version::V2 => Ok(pending(&handle)),
        };
    }
    let (pin, otp) = match collected {
        Some(collected) => collected,
        None => factors(&params, call.version)?,
    };
    // What cannot be a PIN or a code is wrong without being a try.
    let pin = Pin::parse(&pin).ok_or(credential::Error::WrongPin)?;
    let otp = Otp::parse(&otp).ok_or(credential::Error::WrongOtp)?;
    let issued = app
        .keys
        .authorise(&access, &credential, &order, Approval { pin, otp })
        .await?;
    Ok(Json(answer(&issued)).into_response())
}

/// CSC v1 11.6 has no other answer than the SAD: the request waits for the holder.
async fn wait(app: &App, access: &ServiceAccess, handle: &str) -> Result<Issued, Fault> {
    const PAUSE: Duration = Duration::from_millis(250);
    let answered = tokio::time::timeout(app.limits.wait, async {
        loop {
            match app.questions.check(access, handle).await? {
                Checked::Approved(issued) => return Ok::<_, credential::Error>(issued),
                Checked::Waiting => tokio::time::sleep(PAUSE).await,
            }
        }
    });
    let answered = match answered.await {
        Ok(answered) => answered,
        Err(_) if app.questions.give_up(handle).await? => Err(credential::Error::Denied),
        // He answered in the last moment.
        Err(_) => match app.questions.check(access, handle).await? {
            Checked::Approved(issued) => Ok(issued),
            Checked::Waiting => Err(credential::Error::Denied),
        },
    };
    answered.map_err(|error| match error {
        // Too late: no client of v1 knows of handles.
        credential::Error::InvalidHandle => credential::Error::Denied.into(),
        error => error.into(),
    })
}

/// 202: ask again with this handle (CSC v2 11.6 and 11.7).
pub(crate) fn pending(handle: &str) -> Response {
    let again = [(header::RETRY_AFTER, HeaderValue::from_static("2"))];
    let body = Json(json!({ "handle": handle }));
    (StatusCode::ACCEPTED, again, body).into_response()
}

/// Whether the client has collected nothing: neither member in v1, `authData: []` in v2.
fn nothing_collected(params: &Params, version: Version) -> bool {
    match version {
        Version::V1 => !params.has("PIN") && !params.has("OTP"),
        Version::V2 => params
            .objects("authData")
            .is_ok_and(|objects| objects.is_empty()),
    }
}

/// `hashType`, which the specification has in authorization details only: whoever says what the hashes are digests of binds the SAD to it.
fn hash_type(params: &Params, version: Version) -> Result<Option<HashType>, Fault> {
    let name = "hashType";
    if version == Version::V1 {
        return Ok(None);
    }
    let Some(text) = params.optional_string(name)? else {
        return Ok(None);
    };
    let named = [HashType::Dtbsr, HashType::Sdr]
        .into_iter()
        .find(|of| of.name().eq_ignore_ascii_case(text));
    named.map(Some).ok_or(Fault::Invalid(name))
}

/// Text of a person, wiped when dropped.
type Typed = Zeroizing<String>;

/// What the client collected: members of v1, `authData` of v2.
fn factors(params: &Params, version: Version) -> Result<(Typed, Typed), Fault> {
    match version {
        Version::V1 => Ok((
            params.string("PIN")?.to_owned().into(),
            params.string("OTP")?.to_owned().into(),
        )),
        Version::V2 => {
            let (mut pin, mut otp) = (None, None);
            for object in params.objects("authData")? {
                let text = |name| {
                    object
                        .get(name)
                        .and_then(Value::as_str)
                        .ok_or(Fault::AuthenticationData)
                };
                let slot = match text("id")? {
                    PIN => &mut pin,
                    OTP => &mut otp,
                    _ => return Err(Fault::AuthenticationData),
                };
                if slot.replace(text("value")?.to_owned().into()).is_some() {
                    return Err(Fault::AuthenticationData);
                }
            }
            pin.zip(otp).ok_or(Fault::AuthenticationData)
        }
    }
}

/// The answer of authorize and extendTransaction.
pub(crate) fn answer(issued: &Issued) -> Value {
    json!({ "SAD": issued.sad, "expiresIn": issued.expires_in })
}
