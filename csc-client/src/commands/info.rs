//! `csc-client info`: the service, or one credential.

use x509_cert::time::Time;

use crate::api::credential::{Authorisation, Credential, Kind};
use crate::api::session::Session;
use crate::api::{Api, Info};
use crate::arguments::Service;
use crate::terminal;

/// Prints what the service says about itself, which takes no log-in, or about a credential.
pub(crate) async fn run(service: &Service, credential: Option<&str>) -> anyhow::Result<()> {
    let Some(id) = credential else {
        print(&of_service(&Api::new(service)?.info().await?));
        return Ok(());
    };
    let session = Session::open(service).await?;
    let credential = session.api.credential(id).await;
    session.close().await;
    print(&of_credential(&credential?));
    Ok(())
}

fn print(lines: &[(&str, Option<String>)]) {
    for (label, value) in lines {
        if let Some(value) = value {
            terminal::result(&format!("{label:<14}{value}"));
        }
    }
}

fn of_service(info: &Info) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("Service", info.name.clone()),
        ("Description", info.description.clone()),
        ("Region", info.region.clone()),
        ("CSC API", info.specs.clone()),
        ("Log-in", Some(info.auth_type.join(", "))),
        ("Methods", Some(info.methods.join(", "))),
    ]
}

fn of_credential(credential: &Credential) -> Vec<(&'static str, Option<String>)> {
    let state = credential
        .hindrance()
        .unwrap_or_else(|| "can sign".to_owned());
    let certificate = credential.certificate.tbs_certificate();
    vec![
        ("Credential", Some(credential.id.clone())),
        ("Description", credential.description.clone()),
        ("State", Some(state)),
        ("Subject", Some(certificate.subject().to_string())),
        ("Issuer", Some(certificate.issuer().to_string())),
        (
            "Serial number",
            Some(certificate.serial_number().to_string()),
        ),
        ("Valid from", Some(date(certificate.validity().not_before))),
        ("Valid to", Some(date(certificate.validity().not_after))),
        ("Key", Some(credential.chain.key().to_string())),
        ("Algorithms", Some(credential.algorithms.join(", "))),
        ("Needs", Some(needs(&credential.authorisation))),
        ("Files at once", Some(credential.multisign.to_string())),
    ]
}

fn needs(authorisation: &Authorisation) -> String {
    let Authorisation::Factors(alternatives) = authorisation else {
        return "a log-in on the provider's page".to_owned();
    };
    let alternatives = alternatives.iter().map(|factors| {
        let factors = factors.iter().map(|factor| match factor.kind {
            Kind::Secret | Kind::Code => factor.label.clone(),
            Kind::SentCode => format!("{} (sent)", factor.label),
            Kind::Elsewhere => format!("{} (on your device)", factor.label),
        });
        factors.collect::<Vec<_>>().join(" and ")
    });
    alternatives.collect::<Vec<_>>().join(", or ")
}

/// The day of a certificate's beginning or end, in UTC.
pub(super) fn date(time: Time) -> String {
    let time = time.to_date_time();
    format!("{:04}-{:02}-{:02}", time.year(), time.month(), time.day())
}
