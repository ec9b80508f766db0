//! `csc-server slot check` and `slot record`: what operators and their scripts learn of an HSM, over SoftHSM2 and over a module that fails.

use conformance_tests::{Run, TestBed};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// A bed whose service does not run, so that the module fails for the doctor alone: one test at a time.
async fn bed() -> (&'static TestBed, MutexGuard<'static, ()>) {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    static ONE: Mutex<()> = Mutex::const_new(());
    let one = ONE.lock().await;
    let bed = BED.get_or_init(async || {
        let bed = TestBed::builder().forwarded().start().await;
        assert!(bed.stop().await.success());
        bed
    });
    (bed.await, one)
}

fn check(bed: &TestBed, rules: &[&str], arguments: &[&str]) -> Run {
    let fast = ["slot", "check", "--measure", "0", "--key", "p256"];
    bed.rules(rules);
    let run = bed.terminal(None, &[&fast[..], arguments].concat(), &[]);
    bed.rules(&[]);
    run
}

struct Told(Value);

impl Told {
    fn new(run: &Run) -> Self {
        let told = serde_json::from_str(&run.stdout);
        Self(told.unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr)))
    }

    /// Verdict and text of what was found in the first slot that was examined.
    fn of(&self, check: &str) -> (&str, &str) {
        let findings = self
            .0
            .pointer("/slots/0/findings")
            .and_then(Value::as_array);
        let findings = findings.expect("a slot has findings");
        let found = findings.iter().find(|found| found["check"] == check);
        let found = found.unwrap_or_else(|| panic!("nothing of {check}: {}", self.0));
        let text = |field: &str| found[field].as_str().unwrap_or_default();
        (text("verdict"), text("found"))
    }

    fn wrong(&self) -> Vec<&str> {
        let findings = self
            .0
            .pointer("/slots/0/findings")
            .and_then(Value::as_array);
        let findings = findings.into_iter().flatten();
        let wrong = findings.filter(|found| found["verdict"] == "wrong");
        wrong.filter_map(|found| found["check"].as_str()).collect()
    }
}

#[tokio::test]
async fn both_slots_are_told_without_an_operator_and_without_the_service() {
    let (bed, _one) = bed().await;

    let run = check(bed, &[], &["--key", "rsa-3072", "--json"]);

    // The clock of this machine is compared with nothing, which is a warning.
    assert_eq!(run.code, Some(4), "{}{}", run.stdout, run.stderr);
    let told = Told::new(&run);
    assert_eq!(told.0["verdict"], "warn");
    assert_eq!(told.0["slots"].as_array().map(Vec::len), Some(2));
    assert_eq!(told.0["slots"][0]["verdict"], "ok", "{}", told.0);
    assert_eq!(told.0["slots"][1]["verdict"], "ok", "{}", told.0);
    assert_eq!(told.of("sealing rsa-3072").0, "ok");
    assert_eq!(told.of("PSS salts").0, "ok");
    assert_eq!(told.of("left behind"), ("ok", "nothing"));
    let token = &told.0["slots"][0]["token"];
    assert_eq!(token["label"], "csc-holder");
    assert!(
        token["serial"]
            .as_str()
            .is_some_and(|serial| !serial.is_empty())
    );
    assert!(
        token["mechanisms"]
            .as_array()
            .is_some_and(|all| all.len() > 50)
    );
}

#[tokio::test]
async fn one_slot_is_drawn_for_people() {
    let (bed, _one) = bed().await;
    let arguments = [
        "slot",
        "check",
        "csc-issuer",
        "--measure",
        "5",
        "--key",
        "p256",
    ];

    let run = bed.terminal(None, &arguments, &[]);

    assert_eq!(run.code, Some(4), "{}{}", run.stdout, run.stderr);
    assert!(
        run.stdout.contains("issuer slot 'csc-issuer'"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("csc-holder"), "{}", run.stdout);
    assert!(run.stdout.contains("█"), "{}", run.stdout);
    let nobody = bed.terminal(None, &["slot", "check", "csc-other"], &[]);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.stderr.contains("csc-holder, csc-issuer"),
        "{}",
        nobody.stderr
    );
}

#[tokio::test]
async fn what_the_module_lacks_or_refuses_is_wrong_and_named() {
    let (bed, _one) = bed().await;
    let cases = [
        // CKM_AES_CBC_ENCRYPT_DATA is not there: CKR_MECHANISM_INVALID.
        (
            &["C_GetMechanismList without 0x1105", "C_DeriveKey fail 0x70"][..],
            &["mechanisms", "sealing p256"][..],
            "MechanismInvalid",
        ),
        // CKR_KEY_FUNCTION_NOT_PERMITTED.
        (
            &["C_WrapKey fail 0x68"],
            &["sealing p256"],
            "KeyFunctionNotPermitted",
        ),
        // CKR_FUNCTION_FAILED, from the first on.
        (
            &["C_GenerateRandom fail 0x6"],
            &["random"],
            "FunctionFailed",
        ),
    ];
    for (rules, wrong, code) in cases {
        let run = check(bed, rules, &["csc-holder", "--json"]);

        assert_eq!(run.code, Some(5), "{rules:?}: {}{}", run.stdout, run.stderr);
        let told = Told::new(&run);
        assert_eq!(told.wrong(), wrong, "{}", told.0);
        let last = wrong.last().expect("something is wrong");
        assert!(told.of(last).1.contains(code), "{}", told.0);
        assert_eq!(told.of("left behind"), ("ok", "nothing"), "{}", told.0);
    }
}

#[tokio::test]
async fn the_bound_of_sessions_is_found() {
    let (bed, _one) = bed().await;

    // CKR_SESSION_COUNT after the anchor, the two of the examination, and three.
    let run = check(
        bed,
        &["C_OpenSession fail 0xb1 after=6"],
        &["csc-holder", "--json"],
    );

    let told = Told::new(&run);
    let (verdict, found) = told.of("sessions");
    assert_eq!(verdict, "warn", "{}", told.0);
    assert!(
        found.starts_with("6 at once") && found.contains("SessionCount"),
        "{found}"
    );
}

#[tokio::test]
async fn a_module_that_crashes_takes_only_its_own_process_down() {
    let (bed, _one) = bed().await;

    let run = check(bed, &["C_UnwrapKey crash"], &["csc-holder", "--json"]);

    assert_eq!(run.code, Some(5), "{}{}", run.stdout, run.stderr);
    let told = Told::new(&run);
    assert_eq!(told.wrong(), ["sealing p256"]);
    assert!(told.of("sealing p256").1.contains("ended"), "{}", told.0);
    // What its session had died with it.
    let after = Told::new(&check(bed, &[], &["csc-holder", "--json"]));
    assert_eq!(after.wrong(), [""; 0]);
    assert!(!after.of("objects").1.contains("cut short"), "{}", after.0);
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_and_the_next_check_says_that_it_was() {
    let (bed, _one) = bed().await;
    let file = bed.dir().join("softhsm/pins/csc-holder.pin");
    let right = std::fs::read_to_string(&file).expect("the PIN can be read");
    std::fs::write(&file, "31415926535").expect("the PIN can be written");

    let refused = check(bed, &[], &["csc-holder", "--json"]);
    std::fs::write(&file, right).expect("the PIN can be written");
    let after = check(bed, &[], &["csc-holder", "--json"]);

    assert_eq!(refused.code, Some(5));
    assert_eq!(Told::new(&refused).wrong(), ["log-in"]);
    assert_eq!(Told::new(&after).of("PIN").0, "warn", "{}", after.stdout);
    let again = check(bed, &[], &["csc-holder", "--json"]);
    assert_eq!(Told::new(&again).of("PIN").0, "ok", "{}", again.stdout);
}

#[tokio::test]
async fn the_record_of_the_ceremony_is_the_same_whenever_it_is_printed() {
    let (bed, _one) = bed().await;
    let printed = bed.cli(&["slot", "init"], &[]).expect("slot init");
    let (_, of_init) = printed
        .split_once("RECORD OF")
        .expect("it prints the record");

    let record = bed.cli(&["slot", "record"], &[]).expect("slot record");

    assert_eq!(record.trim(), format!("RECORD OF{of_init}").trim());
    assert!(record.contains("by        first and second"), "{record}");
    let checked = |label: &str| {
        let line = record
            .lines()
            .find(|line| line.trim_start().starts_with(label));
        let line = line.unwrap_or_else(|| panic!("no {label}: {record}"));
        let (_, value) = line
            .split_once("check value ")
            .expect("it has a check value");
        value.to_owned()
    };
    let masters = [
        "seal-derive/v1",
        "store/v1",
        "pin-check/v1",
        "puk-check/v1",
        "record-mac/v1",
        "otp/v1",
        "pepper/v1",
        "pseudonym/v1",
        "operator-mac/v1",
        "operator-otp/v1",
        "client-mac/v1",
    ];
    for label in masters {
        assert_eq!(checked(label).len(), 6, "{label}: {record}");
    }
    // The key of the CA, as its certificate has it.
    let pem = bed
        .cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    let spki = public_key_of(&pem);
    assert_eq!(checked("ca/v1"), hex::encode_upper(Sha256::digest(spki)));
    assert_eq!(record.matches("signature ____").count(), 2);
    assert_eq!(record.matches(" EXTRACTABLE").count(), 0, "{record}");

    // A new version is a new line; the others stand as they stood.
    bed.cli(&["slot", "rotate", "--key", "store"], &[])
        .expect("slot rotate");
    let later = bed.cli(&["slot", "record"], &[]).expect("slot record");
    let new: Vec<_> = later
        .lines()
        .filter(|line| !record.contains(line))
        .collect();
    assert!(new.iter().any(|line| line.contains("store/v2")), "{new:?}");
    assert!(record.lines().all(|line| later.contains(line)), "{later}");
    // Nobody's who has not the role.
    let refused = bed.staff().run("ra-officer", &["slot", "record"], &[]);
    assert!(!refused.success, "{}", refused.stdout);
}

#[tokio::test]
async fn every_slot_is_listed_with_its_sessions() {
    let (bed, _one) = bed().await;
    let list = |rules: &[&str]| {
        bed.rules(rules);
        let run = bed.terminal(None, &["slot", "list"], &[]);
        bed.rules(&[]);
        assert!(run.success, "{}{}", run.stdout, run.stderr);
        run.stdout
    };

    let well = list(&[]);
    // CKR_DEVICE_REMOVED.
    let ill = list(&["C_OpenSession fail 0x32"]);

    for (slot, role) in [("csc-holder", "holder"), ("csc-issuer", "issuer")] {
        let line = |listed: &str| {
            let begins = format!("{slot}: {role}, profile softhsm2, weight 1, ");
            let line = listed.lines().find(|line| line.starts_with(&begins));
            line.unwrap_or_else(|| panic!("no {slot}: {listed}"))
                .to_owned()
        };
        assert!(line(&well).ends_with(": 4 of 4 sessions"), "{well}");
        assert!(!line(&ill).contains("of 4 sessions"), "{ill}");
    }
}

/// The SubjectPublicKeyInfo of a certificate, DER.
fn public_key_of(pem: &str) -> Vec<u8> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("it is PEM");
    let certificate = pem.parse_x509().expect("a certificate");
    certificate.public_key().raw.to_vec()
}
