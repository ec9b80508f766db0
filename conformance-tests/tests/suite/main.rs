//! `csc-conformance` on our own server: every check passes, and every check has been seen to fail.
//!
//! What each check does is recorded once against the server. Then it is done again on the record, with one answer
//! corrupted at a time, as by a proxy that tampers: the check must notice. A check without a corruption that it notices
//! fails the test.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

mod bed;
mod binary;
mod corrupt;
mod corruptions;
mod dummy;
mod proxy;

use std::collections::BTreeMap;

use conformance_tests::suite::{Check, Outcome, Ran, Real, Session, Settings, catalogue};

use bed::{Subject, subject};
use corruptions::corruptions_of;
use proxy::Proxy;

/// What was recorded: the session that did it, the check, and how it went.
struct Recorded {
    session: usize,
    check: Check,
    ran: Ran,
}

/// Runs everything on our server, with an elliptic-curve key, and what that leaves out with an RSA key.
async fn record(subject: &Subject) -> (Vec<Session>, Vec<Recorded>, Vec<String>) {
    let mut sessions = Vec::new();
    let mut recorded = Vec::new();
    let mut left = catalogue();
    for (index, settings) in subject.settings.iter().enumerate() {
        let settings = Settings::load(settings).unwrap();
        let world = Real::new(&settings).unwrap();
        let session = Session::new(settings);
        session.prepare(&world).await.unwrap();
        let mut skipped = Vec::new();
        for check in left {
            let ran = session.run(&check, &world).await;
            match ran.outcome {
                Outcome::Skipped(_) => skipped.push(check),
                _ => recorded.push(Recorded {
                    session: index,
                    check,
                    ran,
                }),
            }
        }
        left = skipped;
        sessions.push(session);
    }
    // What is served, and what is not, are the only reasons to leave something out.
    let mut wrongly = Vec::new();
    for check in left {
        let world = Real::new(&sessions[0].settings).unwrap();
        let outcome = sessions[0].run(&check, &world).await.outcome;
        let Outcome::Skipped(why) = &outcome else {
            panic!("{}: {outcome:?}", check.id)
        };
        if !why.starts_with("info does not list") && why != "info lists every method" {
            wrongly.push(format!("{} skipped: {why}", check.id));
        }
    }
    (sessions, recorded, wrongly)
}

#[tokio::test]
async fn every_check_passes_here_and_notices_a_corrupted_answer() {
    let subject = subject().await;
    let (sessions, recorded, mut failed) = record(&subject).await;
    for Recorded { check, ran, .. } in &recorded {
        if let Outcome::Found(level, why) = &ran.outcome {
            failed.push(format!("{} ({level}): {why}", check.id));
        }
    }
    assert!(recorded.len() >= 250, "{} checks", recorded.len());

    let mut blind = BTreeMap::new();
    for Recorded {
        session,
        check,
        ran,
    } in &recorded
    {
        if ran.outcome != Outcome::Passed {
            continue;
        }
        let session = &sessions[*session];
        let proxy = Proxy::new(&ran.record, None);
        let again = session
            .run_at(check, &proxy, ran.record.at, ran.record.seed)
            .await;
        if again.outcome != Outcome::Passed {
            blind.insert(&check.id, format!("on its record: {:?}", again.outcome));
            continue;
        }
        let corruptions = corruptions_of(&check.id, &ran.record);
        if corruptions.is_empty() {
            blind.insert(&check.id, "no corruption is known".to_owned());
        }
        for corruption in corruptions {
            let proxy = Proxy::new(&ran.record, Some(&corruption));
            let again = session
                .run_at(check, &proxy, ran.record.at, ran.record.seed)
                .await;
            if !matches!(again.outcome, Outcome::Found(..)) {
                blind.insert(&check.id, format!("{corruption:?}: {:?}", again.outcome));
            }
        }
    }
    assert!(
        failed.is_empty() && blind.is_empty(),
        "against the server: {failed:#?}; with a corrupted answer: {blind:#?}"
    );
}
