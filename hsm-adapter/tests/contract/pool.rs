//! Sessions, queues and deadlines.

use std::{sync::Arc, time::Duration};

use hsm_adapter::{
    HsmError, MacKey, Pool, PoolLimits, PoolState, Token, Vault, memory::MemoryToken,
};
use tokio::task::{JoinHandle, block_in_place};

use crate::fixture::{LIMITS, run, stretcher};

const ONE: PoolLimits = PoolLimits {
    sessions: 1,
    queue: 1,
    ..LIMITS
};

/// How many master keys the first call looks for.
const MASTERS: usize = 11;

async fn vault(token: &MemoryToken, limits: PoolLimits) -> Vault {
    let pool = Pool::start(Arc::new(token.clone()), limits).unwrap();
    let vault = Vault::new(pool, stretcher(), 4);
    vault.init().await.unwrap();
    vault
}

type Mac = Result<[u8; 32], HsmError>;

fn mac(vault: &Vault) -> JoinHandle<Mac> {
    let vault = vault.clone();
    tokio::spawn(async move { vault.mac(MacKey::Otp, &[b"data"]).await })
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition comes true");
}

#[test]
fn a_full_queue_is_busy_at_once() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let hold = token.hold("mac");
        let running = mac(&vault);
        assert!(block_in_place(|| hold.reached(1)));
        let waiting = mac(&vault);
        until(|| vault.state().waiting == 1).await;

        let refused = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(refused, Err(HsmError::Busy { .. })));
        let state = PoolState {
            sessions: 2,
            busy: 1,
            waiting: 1,
            open_keys: 0,
        };
        until(|| vault.state() == state).await;
        drop(hold);
        running.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn a_job_past_its_deadline_is_busy_and_never_reaches_the_hsm() {
    let token = MemoryToken::new("holders");
    run(async {
        let limits = PoolLimits {
            deadline: Duration::from_secs(1),
            ..ONE
        };
        let vault = vault(&token, limits).await;
        let hold = token.hold("mac");
        let running = mac(&vault);
        assert!(block_in_place(|| hold.reached(1)));

        let refused = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(refused, Err(HsmError::Busy { .. })));
        drop(hold);
        // The one that had begun is waited for, deadline or not.
        running.await.unwrap().unwrap();
        vault.random::<8>().await.unwrap();
        assert_eq!(token.calls("mac"), 1);
    });
}

#[test]
fn a_job_whose_caller_is_gone_never_reaches_the_hsm() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let hold = token.hold("mac");
        let running = mac(&vault);
        assert!(block_in_place(|| hold.reached(1)));
        let waiting = mac(&vault);
        until(|| vault.state().waiting == 1).await;

        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        // Its place in the queue is free again.
        let next = mac(&vault);
        until(|| next.is_finished() || vault.state().waiting == 1).await;
        drop(hold);

        running.await.unwrap().unwrap();
        next.await.unwrap().unwrap();
        assert_eq!(token.calls("mac"), 2);
    });
}

#[test]
fn a_signature_does_not_wait_for_slow_work() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let hold = token.hold("health");
        let slow = tokio::spawn({
            let vault = vault.clone();
            async move { vault.health().await }
        });
        assert!(block_in_place(|| hold.reached(1)));

        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();

        drop(hold);
        slow.await.unwrap().unwrap();
    });
}

#[test]
fn a_lost_session_is_replaced_and_its_job_done() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let opened = token.calls("open");

        token.fail_next("mac", HsmError::Unavailable("once".to_owned()));

        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
        assert_eq!(token.calls("open"), opened + 1);
        assert_eq!(token.calls("mac"), 2);
    });
}

#[test]
fn a_session_that_does_not_prove_itself_serves_nobody() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        token.fail_next("mac", HsmError::Unavailable("lost".to_owned()));
        // For the new session, and for the one of the other lane, which has to prove itself too.
        for _ in 0..4 {
            token.fail_next("health", HsmError::Unavailable("still sick".to_owned()));
        }

        let failed = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(failed, Err(HsmError::Unavailable(reason)) if reason == "still sick"));
        assert_eq!(token.calls("mac"), 1);
        until(|| vault.state().sessions == 2).await;
        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
    });
}

#[test]
fn a_job_whose_object_went_finds_it_again() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let opened = token.calls("open");

        token.fail_next("mac", HsmError::Missing("its handle".to_owned()));

        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
        assert_eq!(token.calls("open"), opened);
        assert_eq!(token.calls("master"), MASTERS + 2);
    });
}

#[test]
fn a_session_that_is_lost_twice_fails_its_job() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        for _ in 0..2 {
            token.fail_next("mac", HsmError::Unavailable("twice".to_owned()));
        }

        let failed = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(failed, Err(HsmError::Unavailable(_))));
        assert_eq!(token.calls("mac"), 2);
        until(|| vault.state().sessions == 2).await;
        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
    });
}

#[test]
fn a_refused_call_costs_no_session() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let opened = token.calls("open");
        token.fail_next("mac", HsmError::Refused("bad data".to_owned()));

        let failed = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(failed, Err(HsmError::Refused(_))));
        assert_eq!(token.calls("open"), opened);
        assert_eq!(token.calls("mac"), 1);
    });
}

#[test]
fn a_panic_in_a_job_does_not_end_the_pool() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        token.panic_nth("mac", 1);

        let failed = vault.mac(MacKey::Otp, &[b"data"]).await;

        assert!(matches!(failed, Err(HsmError::OutcomeUnknown(_))));
        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
    });
}

#[test]
fn a_lost_hsm_is_told_at_once_and_found_again() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, ONE).await;
        let hold = token.hold("mac");
        let running = mac(&vault);
        assert!(block_in_place(|| hold.reached(1)));
        let waiting = mac(&vault);
        until(|| vault.state().waiting == 1).await;

        token.lose();
        drop(hold);

        // The one under way, the one in the queue, the next.
        for lost in [running.await.unwrap(), waiting.await.unwrap()] {
            assert!(matches!(lost, Err(HsmError::Unavailable(_))), "{lost:?}");
        }
        let lost = vault.mac(MacKey::Otp, &[b"data"]).await;
        assert!(matches!(lost, Err(HsmError::Unavailable(_))));
        // A loss in one lane is noticed in the other, before it has work to do.
        until(|| vault.state().sessions == 0).await;

        token.restore();

        until(|| vault.state().sessions == 2).await;
        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
        vault.health().await.unwrap();
    });
}

#[test]
fn a_pool_starts_before_its_hsm() {
    let token = MemoryToken::new("holders");
    token.lose();
    run(async {
        let pool = Pool::start(Arc::new(token.clone()), ONE).unwrap();
        let vault = Vault::new(pool, stretcher(), 4);
        let early = vault.init().await;
        assert!(matches!(early, Err(HsmError::Unavailable(_))));

        token.restore();

        until(|| vault.state().sessions == 2).await;
        vault.init().await.unwrap();
    });
}

#[test]
fn a_refused_pin_fails_the_start_and_later_ends_the_tries() {
    let token = MemoryToken::new("holders");
    let refused = || HsmError::PinRefused("holders".to_owned());
    run(async {
        token.fail_next("open", refused());
        let pool = Pool::start(Arc::new(token.clone()), ONE);
        assert!(matches!(pool, Err(HsmError::PinRefused(_))));

        let vault = vault(&token, ONE).await;
        let opened = token.calls("open");
        token.fail_next("mac", HsmError::Unavailable("lost".to_owned()));
        token.fail_next("open", refused());

        for _ in 0..3 {
            let failed = vault.mac(MacKey::Otp, &[b"data"]).await;
            assert!(matches!(failed, Err(HsmError::PinRefused(_))));
        }
        // The other thread, whose session is as good as this one was, logs in no more either.
        until(|| vault.state().sessions == 0).await;
        token.drop_sessions();
        // Long enough for several tries, were they made.
        let tried = until(|| token.calls("open") > opened + 1);
        let tried = tokio::time::timeout(Duration::from_millis(500), tried).await;
        assert!(tried.is_err());
    });
}

#[test]
fn the_threads_end_with_the_last_pool() {
    let token = MemoryToken::new("holders");
    run(async {
        let shared: Arc<dyn Token> = Arc::new(token.clone());
        let pool = Pool::start(shared.clone(), LIMITS).unwrap();
        let other = pool.clone();
        drop(pool);
        assert_eq!(other.state().sessions, LIMITS.sessions + 1);
        assert!(Arc::strong_count(&shared) > 1);

        drop(other);

        // Nobody else holds the token any more.
        assert_eq!(Arc::strong_count(&shared), 1);
    });
}

#[test]
fn a_device_that_says_it_was_tampered_with_serves_nobody_until_a_restart() {
    let token = MemoryToken::new("holders");
    run(async {
        let vault = vault(&token, LIMITS).await;
        vault.mac(MacKey::Otp, &[b"data"]).await.unwrap();
        token.tamper();
        let (opened, asked) = (token.calls("open"), token.calls("health"));

        // It would still work; asked whether it is well, it says no.
        let told = vault.health().await;
        assert!(matches!(told, Err(HsmError::Tampered(_))), "{told:?}");
        until(|| vault.state().sessions == 0).await;
        // What it says later does not count.
        token.forget_tampering();
        let macs = token.calls("mac");
        for _ in 0..3 {
            let refused = vault.mac(MacKey::Otp, &[b"data"]).await;
            assert!(matches!(refused, Err(HsmError::Tampered(_))), "{refused:?}");
        }
        assert_eq!(token.calls("mac"), macs);
        // One thread heard it; no other asked, and none opened another session.
        assert_eq!(token.calls("health"), asked + 1);
        assert_eq!(token.calls("open"), opened);

        let restarted = self::vault(&token, LIMITS).await;
        restarted.mac(MacKey::Otp, &[b"data"]).await.unwrap();
    });
}
