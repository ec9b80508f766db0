//! Wrong PINs lock a credential (CSC API v1 11.6, v2 11.6): tried on one that the settings give for it, for it may stay locked for good.

use serde_json::json;

use super::{
    super::{
        check::{Check, Need, Stop, V2, Version, must},
        context::{Context, put_factors, set},
        refusal::text,
        session::Subject,
        wire::Answer,
    },
    Chapter,
    authorize::another,
};

const METHOD: &str = "credentials/authorize";
/// More than any server allows.
const TRIES: usize = 12;

/// credentials/authorize with this PIN and a new code.
async fn attempt(
    context: &Context<'_>,
    version: Version,
    subject: &Subject,
    pin: &str,
) -> Result<Answer, Stop> {
    let algorithm = subject.algorithm.ok_or_else(|| {
        Stop::Skip("key/algo has no algorithm that the checks can verify".to_owned())
    })?;
    let code = match &subject.code {
        Some(object) => {
            context.expect_code();
            if object.online {
                context.send_code(version, &subject.id, &object.id).await?;
            }
            Some(context.take_code().await?)
        }
        None => None,
    };
    let hashes = context.documents(1);
    let hashes: Vec<_> = hashes.iter().map(|one| one.hash(&algorithm)).collect();
    let mut body = json!({"credentialID": subject.id, "numSignatures": 1});
    set(&mut body, version.hashes(), json!(hashes));
    if version == V2 {
        set(&mut body, "hashAlgorithmOID", json!(algorithm.hash.oid));
    }
    put_factors(version, subject, &mut body, Some(pin.to_owned()), code);
    context.call(version, METHOD, &body).await
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "authorize", ("11.6", "11.6"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Factors, Need::Sacrifice]);
    let title = "wrong PINs lock the credential, even for the right one";
    let check = chapter.check("Z5.locks", title, async move |context| {
        let sacrifices = &context.session.settings.sacrifice;
        let sacrifice = version.pick(sacrifices.first(), sacrifices.last());
        let none = || Stop::Skip("[[sacrifice]] is not set".to_owned());
        let sacrifice = sacrifice.ok_or_else(none)?;
        let subject = context.look_at(version, &sacrifice.id).await?;
        let right = sacrifice.pin.value();
        let wrong = another(right);
        let locked = version.pick("PIN locked", "Credential locked");
        let mut is_locked = false;
        for _ in 0..TRIES {
            let answer = attempt(context, version, &subject, &wrong).await?;
            let refused = (400..500).contains(&answer.status);
            must!(refused, "a wrong PIN was answered with {}", answer.status);
            answer.is_error()?;
            let said = answer.json();
            if said.get("error_description") == Some(&json!(locked)) {
                is_locked = true;
                break;
            }
        }
        must!(is_locked, "{TRIES} wrong PINs, and nothing says '{locked}'");
        let answer = attempt(context, version, &subject, right).await?;
        answer.refused(&text(locked))
    });
    check.needs(Need::Pin);
}
