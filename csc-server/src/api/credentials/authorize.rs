//! credentials/authorize (CSC v1 11.6, v2 11.6), explicit mode: both factors come with the call.

use axum::{Extension, Json, extract::State};
use hsm_adapter::{HashType, Pin};
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
) -> Result<Json<Value>, Fault> {
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
    let (pin, otp) = factors(&params, call.version)?;
    params.check_free_text()?;
    let count = u32::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or(Fault::Text("Invalid value for parameter numSignatures"))?;
    if digest.is_some_and(|digest| !hashes.iter().all(|hash| hash.fits(digest))) {
        return Err(Fault::Text("Invalid digest value length"));
    }

    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    if credential.mode != Mode::Explicit {
        return Err(credential::Error::WrongMode.into());
    }
    app.keys.usable(&access, &credential).await?;
    let order = Order::new(&credential, count, hashes, digest)?.of_type(hash_type);
    // What cannot be a PIN or a code is wrong without being a try.
    let pin = Pin::parse(&pin).ok_or(credential::Error::WrongPin)?;
    let otp = Otp::parse(&otp).ok_or(credential::Error::WrongOtp)?;
    let issued = app
        .keys
        .authorise(&access, &credential, &order, Approval { pin, otp })
        .await?;
    Ok(Json(answer(&issued)))
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
