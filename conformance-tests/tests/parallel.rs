//! Fifty at once, on both databases: one wins, and every guess counts.
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Answer, Signer, TestBed, V1, V2, Version, digest, shared, shared_on_postgres,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

const AT_ONCE: usize = 50;
const LOCK_AT: usize = 5;
/// Wrong codes that lock a factor.
const WRONG_CODES: usize = 10;

/// Runs each test on both databases.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::run(super::$name, super::shared().await).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::run(super::$name, super::shared_on_postgres().await).await; })*
        }
    };
}

/// Runs a test; then the log must agree with the tables, whatever the other tests are at.
async fn run(test: impl AsyncFnOnce(&TestBed), bed: &TestBed) {
    test(bed).await;
    bed.inspect();
}

on_both! {
    one_sad_signs_once,
    one_sad_is_extended_once,
    one_code_gives_one_sad,
    wrong_codes_are_all_counted,
    wrong_codes_do_not_use_up_tries_of_the_pin,
    wrong_pins_count_once_a_code_and_lock,
    wrong_passwords_are_all_counted,
    one_refresh_token_is_used_once,
}

/// The same call of a method so many times at once.
async fn all_at_once(
    signer: &Signer<'_>,
    version: Version,
    method: &str,
    body: &Value,
) -> Vec<Answer> {
    join_all((0..AT_ONCE).map(|_| signer.call(version, method, body.clone()))).await
}

fn served(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

fn refused(answers: &[Answer], error: &str, description: &str) -> usize {
    let body = json!({"error": error, "error_description": description});
    answers.iter().filter(|answer| answer.body == body).count()
}

async fn one_sad_signs_once(bed: &TestBed) {
    let signer = bed.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let order = signer.order(version, &sad, &hash);
        let answers = all_at_once(&signer, version, "signatures/signHash", &order).await;
        let dead = refused(&answers, "invalid_request", "Invalid parameter SAD");
        assert_eq!((served(&answers), dead), (1, AT_ONCE - 1), "{answers:?}");
    }
}

async fn one_sad_is_extended_once(bed: &TestBed) {
    let signer = bed.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        let body = signer.extension(version, &sad, &hashes[1..]);
        let method = "credentials/extendTransaction";
        let answers = all_at_once(&signer, version, method, &body).await;
        assert_eq!(served(&answers), 1, "{answers:?}");
    }
}

async fn one_code_gives_one_sad(bed: &TestBed) {
    for version in [V1, V2] {
        let signer = bed.signer().await;
        let code = signer.code().await;
        let body = signer.authorization(version, &[digest("contract")], 1, &code);
        let answers = all_at_once(&signer, version, "credentials/authorize", &body).await;
        assert_eq!(served(&answers), 1, "{answers:?}");
    }
}

async fn wrong_codes_are_all_counted(bed: &TestBed) {
    for version in [V1, V2] {
        let signer = bed.signer().await;
        let right = signer.code().await;
        let hash = [digest("contract")];
        let guess = signer.authorization(version, &hash, 1, &another(&right));
        let answers = all_at_once(&signer, version, "credentials/authorize", &guess).await;
        let (counted, locked) = match version {
            V1 => (
                refused(&answers, "invalid_otp", "The OTP is invalid"),
                refused(&answers, "invalid_request", "OTP locked"),
            ),
            V2 => (
                refused(
                    &answers,
                    "invalid_authentication_data",
                    "The authentication data is invalid",
                ),
                refused(&answers, "invalid_request", "Credential locked"),
            ),
        };
        assert_eq!(
            (counted, locked),
            (WRONG_CODES, AT_ONCE - WRONG_CODES),
            "{answers:?}"
        );
        let right = signer.authorization(V1, &hash, 1, &right);
        let answer = signer.call(V1, "credentials/authorize", right).await;
        answer.refused("OTP locked");
    }
}

/// SC-53: nobody tries PINs, and nobody locks one, without a code.
async fn wrong_codes_do_not_use_up_tries_of_the_pin(bed: &TestBed) {
    let signer = bed.signer().await;
    for _ in 0..LOCK_AT {
        let code = signer.code().await;
        let mut guess = signer.authorization(V1, &[digest("contract")], 1, &another(&code));
        guess["PIN"] = json!(another(&signer.credential.pin));
        let guesses = (1..LOCK_AT).map(|_| signer.call(V1, "credentials/authorize", guess.clone()));
        for answer in join_all(guesses).await {
            answer.failed(400, "invalid_otp", "The OTP is invalid");
        }
        // The right code sets the count of wrong ones back.
        let right = signer.authorization(V1, &[digest("contract")], 1, &code);
        signer.call(V1, "credentials/authorize", right).await.ok();
    }
}

/// The first of those with the right code is the one that tries its PIN; for all others the code is spent, or the PIN locked.
async fn wrong_pins_count_once_a_code_and_lock(bed: &TestBed) {
    let signer = bed.signer().await;
    let wrong = another(&signer.credential.pin);
    for tries in 1..=LOCK_AT {
        let code = signer.code().await;
        let mut guess = signer.authorization(V1, &[digest("contract")], 1, &code);
        guess["PIN"] = json!(wrong);
        // So few that the spent code does not lock first.
        let guesses = (0..LOCK_AT).map(|_| signer.call(V1, "credentials/authorize", guess.clone()));
        let answers = join_all(guesses).await;
        let pins = refused(&answers, "invalid_pin", "The PIN is invalid");
        let codes = refused(&answers, "invalid_otp", "The OTP is invalid");
        let locked = refused(&answers, "invalid_request", "PIN locked");
        let others = match tries {
            LOCK_AT => (0, LOCK_AT - 1),
            _ => (LOCK_AT - 1, 0),
        };
        assert_eq!((pins, (codes, locked)), (1, others), "{answers:?}");
    }
    let code = signer.code().await;
    let right = signer.authorization(V1, &[digest("contract")], 1, &code);
    let answers = all_at_once(&signer, V1, "credentials/authorize", &right).await;
    let locked = refused(&answers, "invalid_request", "PIN locked");
    assert_eq!(locked, AT_ONCE, "{answers:?}");
}

/// Ten are answered at once; from then on the right one has to wait too.
async fn wrong_passwords_are_all_counted(bed: &TestBed) {
    const PROMPT: usize = 10;
    let log_in = async |name: &str, password: &str| {
        bed.api().login(V1, name, password, json!({})).await.status
    };
    for (guesses, right) in [(PROMPT - 1, 200), (PROMPT, 400)] {
        let holder = bed.holder();
        let wrong = (0..guesses).map(|_| log_in(&holder.name, "not the password"));
        assert_eq!(join_all(wrong).await, vec![400; guesses]);
        assert_eq!(log_in(&holder.name, &holder.password).await, right);
    }
}

async fn one_refresh_token_is_used_once(bed: &TestBed) {
    let holder = bed.holder();
    let body = json!({"rememberMe": true});
    let api = bed.api();
    let answer = api.login(V1, &holder.name, &holder.password, body).await;
    let body = json!({"refresh_token": answer.text_of("refresh_token")});
    let refresh = || api.call_openly(V1, "auth/login", body.clone());
    let answers = join_all((0..AT_ONCE).map(|_| refresh())).await;
    let dead = refused(&answers, "invalid_request", "Invalid refresh_token");
    assert_eq!((served(&answers), dead), (1, AT_ONCE - 1), "{answers:?}");
}

/// Different digits, of the same form.
fn another(digits: &str) -> String {
    let first = if digits.starts_with('7') { "3" } else { "7" };
    format!("{first}{}", digits.get(1..).unwrap_or_default())
}
