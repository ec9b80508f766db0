//! What `credentials/info` says of the certificate's policies and of the kind of signature (CSC API v2.1 and 2.2; v2 7.10 and 11.5).

use serde_json::{Value, json};
use x509_parser::{
    der_parser::der::parse_der,
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
};

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, broken, must},
        context::Context,
        refusal::list,
    },
    Chapter,
};

const METHOD: &str = "credentials/info";
/// RFC 3739 3.2.6.
const QC_STATEMENTS: &str = "1.3.6.1.5.5.7.1.3";

async fn told(context: &Context<'_>) -> Result<Value, Stop> {
    let id = context.subject(V2)?.id;
    let body = json!({"credentialID": id, "certInfo": true});
    context.call(V2, METHOD, &body).await?.ok()
}

/// The object identifiers in the certificate under test.
fn certified(
    context: &Context<'_>,
    read: fn(&X509Certificate<'_>) -> Vec<String>,
) -> Result<Vec<String>, Stop> {
    let certificates = context.subject(V2)?.certificates;
    let none = || Stop::Skip("credentials/info gives no certificate".to_owned());
    let certificate = certificates.first().ok_or_else(none)?;
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| broken(format!("the certificate cannot be read: {error}")))?;
    Ok(read(&parsed))
}

fn policies(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut extensions = certificate.extensions().iter();
    let found = extensions.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CertificatePolicies(policies) => Some(policies),
        _ => None,
    });
    let policies = found.into_iter().flat_map(|policies| policies.iter());
    policies
        .map(|policy| policy.policy_id.to_id_string())
        .collect()
}

fn statements(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut extensions = certificate.extensions().iter();
    let found = extensions.find(|extension| extension.oid.to_id_string() == QC_STATEMENTS);
    let parsed = found.and_then(|extension| parse_der(extension.value).ok());
    let Some((_, parsed)) = parsed else {
        return Vec::new();
    };
    let statements = parsed.as_sequence().map(Vec::as_slice).unwrap_or_default();
    let identifiers = statements.iter().filter_map(|statement| {
        let identifier = statement.as_sequence().ok()?.first()?.as_oid().ok()?;
        Some(identifier.to_id_string())
    });
    identifiers.collect()
}

/// The member, where it is there, lists what the certificate has.
fn same(body: &Value, member: &str, mut certified: Vec<String>) -> Verdict {
    if body.pointer(member).is_none() {
        return Ok(());
    }
    let told = list(body, member)?.iter().map(Value::as_str);
    let mut told: Vec<_> = told
        .map(|text| text.unwrap_or("no text").to_owned())
        .collect();
    told.sort();
    certified.sort();
    must!(
        told == certified,
        "{member} is {told:?}, the certificate has {certified:?}"
    );
    Ok(())
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, V2, "info-of-credential", ("", "11.5"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Credential]);
    let title = "cert/policy has the policies of the certificate, where it is there";
    let check = chapter.check("D8.policy", title, async |context| {
        same(
            &told(context).await?,
            "/cert/policy",
            certified(context, policies)?,
        )
    });
    check.clause("v2.1 credentials/info");
    let title = "cert/qcStatements has the statements of the certificate, where it is there";
    let check = chapter.check("D8.statements", title, async |context| {
        same(
            &told(context).await?,
            "/cert/qcStatements",
            certified(context, statements)?,
        )
    });
    check.clause("v2.1 credentials/info");
    let title = "signatureQualifier has three parts, where it is there";
    let check = chapter.check("D9.qualifier", title, async |context| {
        let body = told(context).await?;
        let Some(found) = body.get("signatureQualifier") else {
            return Ok(());
        };
        let text = found.as_str().unwrap_or_default();
        let parts: Vec<_> = text.split('_').collect();
        must!(
            parts.len() == 3 && parts.iter().all(|part| !part.is_empty()),
            "signatureQualifier is {found}"
        );
        Ok(())
    });
    check.clause("v2 7.10");
}
