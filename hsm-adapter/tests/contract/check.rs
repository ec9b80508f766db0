//! The doctor tells what a token cannot do, where, and leaves nothing behind.

use std::time::Duration;

use hsm_adapter::{
    About, HsmError, KeyAlgorithm, KeyUse, Mechanism, PinState, Token,
    check::{Finding, Purpose, Scope, Told, Verdict, examine, examine_token},
    memory::MemoryToken,
    pkcs11::Profile,
    process::{ModuleSetup, Program},
};

use crate::fixture::slot_setup_in;

fn scope(purpose: Purpose) -> Scope {
    Scope {
        purpose,
        algorithms: vec![KeyAlgorithm::P256],
        sessions: 4,
        most_sessions: 16,
        measure: Duration::ZERO,
    }
}

/// What a token says that is fit for both purposes.
fn fit() -> About {
    let mechanisms = [
        Mechanism::EC_KEY_PAIR_GEN,
        Mechanism::ECDSA,
        Mechanism::AES_KEY_GEN,
        Mechanism::AES_CBC_ENCRYPT_DATA,
        Mechanism::AES_GCM,
        Mechanism::GENERIC_SECRET_KEY_GEN,
        Mechanism::SHA256_HMAC,
        Mechanism::AES_KEY_WRAP_PAD,
    ];
    About {
        pin_set: true,
        writable: true,
        mechanisms: mechanisms.into(),
        ..About::default()
    }
}

fn token() -> MemoryToken {
    let token = MemoryToken::new("holders");
    token.say(fit());
    token
}

fn examined(token: &MemoryToken, scope: &Scope) -> Vec<Finding> {
    let mut findings = Vec::new();
    examine_token(token, Profile::SOFTHSM2, scope, &mut |told| {
        if let Told::Finding(finding) = told {
            findings.push(finding);
        }
    });
    findings
}

fn wrong(findings: &[Finding]) -> Vec<&str> {
    let wrong = findings
        .iter()
        .filter(|found| found.verdict == Verdict::Wrong);
    wrong.map(|found| found.check.as_str()).collect()
}

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    let found = findings.iter().find(|found| found.check == check);
    found.unwrap_or_else(|| panic!("nothing was said of {check}: {findings:?}"))
}

/// Objects of the token, and of sessions.
fn left(token: &MemoryToken) -> (usize, usize) {
    let mut session = token.open().unwrap();
    (session.count(true).unwrap(), token.session_objects())
}

#[test]
fn a_token_that_can_do_everything_is_well() {
    for purpose in [Purpose::Holder, Purpose::Issuer] {
        let token = token();

        let findings = examined(&token, &scope(purpose));

        assert_eq!(wrong(&findings), [""; 0], "{findings:?}");
        assert_eq!(of(&findings, "left behind").found, "nothing");
        assert_eq!(left(&token), (0, 0));
    }
}

#[test]
fn whatever_call_fails_it_is_told_and_nothing_is_left_behind() {
    let holder = [
        ("random", "random"),
        ("throw_away", "store"),
        ("encrypt", "store"),
        ("decrypt", "store"),
        ("mac", "MAC"),
        ("generate_pair", "sealing p256"),
        ("generate_dek", "sealing p256"),
        ("derive", "sealing p256"),
        ("wrap", "sealing p256"),
        ("unwrap_dek", "sealing p256"),
        ("unwrap_private", "sealing p256"),
        ("sign", "sealing p256"),
        ("create_master", "token keys"),
        ("master", "token keys"),
        ("master_labels", "objects"),
        ("health", "log-in"),
    ];
    let issuer = [
        ("create_token_pair", "token pair p256"),
        ("sign", "token pair p256"),
    ];
    let holder = holder.map(|call| (Purpose::Holder, call));
    let issuer = issuer.map(|call| (Purpose::Issuer, call));
    for (purpose, (call, step)) in holder.into_iter().chain(issuer) {
        let token = token();
        token.fail_next(call, HsmError::Unfit(format!("no {call} here")));

        let findings = examined(&token, &scope(purpose));

        assert_eq!(wrong(&findings), [step], "{call}: {findings:?}");
        assert!(of(&findings, step).found.contains(call), "{findings:?}");
        assert!(of(&findings, step).remedy.is_some());
        assert_eq!(left(&token), (0, 0), "{call}");
    }
}

#[test]
fn what_could_not_be_destroyed_is_told() {
    let token = token();
    token.fail_next("destroy_master", HsmError::Refused("no".to_owned()));

    let findings = examined(&token, &scope(Purpose::Holder));

    assert_eq!(wrong(&findings), ["token keys", "left behind"]);
    // The next check clears it away.
    let findings = examined(&token, &scope(Purpose::Holder));
    assert_eq!(of(&findings, "objects").verdict, Verdict::Warn);
    assert_eq!(wrong(&findings), [""; 0], "{findings:?}");
    assert_eq!(left(&token), (0, 0));
}

#[test]
fn a_token_that_signs_wrongly_is_wrong() {
    let token = token();
    token.spoil_next_signature();

    let findings = examined(&token, &scope(Purpose::Holder));

    assert_eq!(wrong(&findings), ["sealing p256"]);
}

#[test]
fn a_pin_that_may_lock_the_token_is_not_tried() {
    for pin in [PinState::FinalTry, PinState::Locked, PinState::ToBeChanged] {
        let token = token();
        token.say(About { pin, ..fit() });

        let findings = examined(&token, &scope(Purpose::Holder));

        assert_eq!(wrong(&findings), ["PIN"], "{pin:?}");
        assert_eq!(token.calls("open"), 0, "{pin:?}");
    }
    let token = token();
    let pin = PinState::CountLow;
    token.say(About { pin, ..fit() });
    let findings = examined(&token, &scope(Purpose::Holder));
    assert_eq!(of(&findings, "PIN").verdict, Verdict::Warn);
    assert_eq!(wrong(&findings), [""; 0]);
}

#[test]
fn a_refused_pin_is_tried_once() {
    let token = token();
    token.fail_next("open", HsmError::PinRefused("holders".to_owned()));

    let findings = examined(&token, &scope(Purpose::Holder));

    assert_eq!(wrong(&findings), ["log-in"]);
    assert_eq!(token.calls("open"), 1);
}

#[test]
fn a_missing_mechanism_is_named_and_the_profile_that_does_without() {
    let token = token();
    let mut about = fit();
    about
        .mechanisms
        .retain(|mechanism| *mechanism != Mechanism::AES_CBC_ENCRYPT_DATA);
    token.say(about);
    let findings = examined(&token, &scope(Purpose::Holder));
    let found = &of(&findings, "mechanisms").found;
    assert!(found.contains("AES_CBC_ENCRYPT_DATA"), "{found}");

    let mut about = fit();
    about
        .mechanisms
        .retain(|mechanism| *mechanism != Mechanism::AES_KEY_WRAP_PAD);
    about.mechanisms.push(Mechanism::AES_KEY_WRAP_KWP);
    token.say(about.clone());
    let findings = examined(&token, &scope(Purpose::Holder));
    let remedy = of(&findings, "mechanisms").remedy.clone().unwrap();
    assert!(remedy.contains("profile = "), "{remedy}");

    // The keys of the provider need neither.
    assert_eq!(wrong(&examined(&token, &scope(Purpose::Issuer))), [""; 0]);
}

#[test]
fn fewer_sessions_than_the_configuration_takes_are_wrong() {
    let token = token();
    // Two sessions of the examination, and three more.
    token.fail_nth("open", 6, HsmError::Unavailable("no more".to_owned()));

    let few = examined(&token, &scope(Purpose::Holder));

    assert_eq!(of(&few, "sessions").verdict, Verdict::Warn, "{few:?}");
    token.fail_nth("open", 5, HsmError::Unavailable("no more".to_owned()));
    let fewer = examined(&token, &scope(Purpose::Holder));
    let sessions = of(&fewer, "sessions");
    assert_eq!(sessions.verdict, Verdict::Wrong, "{fewer:?}");
    let remedy = sessions.remedy.clone().unwrap();
    assert!(remedy.contains("sessions = 3"), "{remedy}");
}

#[test]
fn a_curve_has_the_number_of_sessions_that_is_configured() {
    let token = token();
    let scope = Scope {
        sessions: 3,
        measure: Duration::from_millis(1),
        ..scope(Purpose::Issuer)
    };
    let mut curves = Vec::new();

    examine_token(&token, Profile::SOFTHSM2, &scope, &mut |told| {
        if let Told::Curve(curve) = told {
            curves.push(curve);
        }
    });

    let [curve] = curves.as_slice() else {
        panic!("{curves:?}")
    };
    let sessions: Vec<_> = curve.points.iter().map(|point| point.sessions).collect();
    assert_eq!(sessions, [1, 2, 3, 4, 8, 16]);
    assert!(curve.points.iter().all(|point| point.per_second > 0.0));
}

#[test]
fn keys_of_the_service_are_not_touched() {
    let token = token();
    let mut session = token.open().unwrap();
    session
        .create_master("seal-derive/v1", KeyUse::Derive)
        .unwrap();

    let findings = examined(&token, &scope(Purpose::Holder));

    assert_eq!(of(&findings, "left behind").found, "nothing");
    assert_eq!(session.master_labels().unwrap(), ["seal-derive/v1"]);
}

#[test]
fn a_process_that_ends_or_hangs_is_told_with_the_step() {
    for (program, said) in [("true", "ended"), ("sleep", "did not come back")] {
        let program = Program {
            path: program.into(),
            arguments: vec!["60".into()],
            user: None,
            logs: false,
        };
        let module = ModuleSetup {
            module: "/nowhere".into(),
            network: false,
        };
        let slot = slot_setup_in("/nowhere".as_ref());
        let patience = Duration::from_millis(200);
        let mut findings = Vec::new();

        let ended = examine(
            &program,
            module,
            slot,
            scope(Purpose::Holder),
            patience,
            |told| {
                if let Told::Finding(finding) = told {
                    findings.push(finding);
                }
            },
        );

        ended.unwrap();
        assert_eq!(wrong(&findings), ["start"]);
        assert!(findings[0].found.contains(said), "{findings:?}");
    }
}
