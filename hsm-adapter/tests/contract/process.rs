//! A module in a process of its own: what the caller does not have, and what becomes of calls when it ends.

use std::{env, fs, io::stdin, os::fd::AsFd, path::Path, process::Command, time::Duration};

use hsm_adapter::{
    HsmError, KeyAlgorithm, MacKey, Vault, VaultError,
    pkcs11::TokenSelector,
    process::{Care, Process, Reason, Remote, serve},
};
use zeroize::Zeroizing;

use crate::fixture::{
    CARE, ECDSA, Fixture, LIMITS, NOW, PROCESS, USER_PIN, digest, in_own_process, module, process,
    run, slot_setup, softhsm_token, start_process, start_process_with, stretcher, tokens,
};

/// Not a test: this binary started by one, with a socket as its standard input.
#[test]
fn the_process_of_a_module() {
    let asked = env::args().any(|argument| argument == PROCESS);
    let socket = stdin().as_fd().try_clone_to_owned().unwrap();
    let socket = std::os::unix::net::UnixStream::from(socket)
        .peer_addr()
        .is_ok();
    if asked && socket {
        serve(|path| {
            fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(|error| error.to_string())
        })
        .unwrap();
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} comes true"));
}

fn signal(process: &Process, signal: &str) {
    let pid = process.state().pid.unwrap().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
    // Its threads stop one by one, some after they have answered.
    while signal == "-STOP" && !is_stopped(&pid) {
        std::thread::yield_now();
    }
}

fn is_stopped(pid: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.flatten().all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    })
}

fn replaced(process: &Process, reason: Reason) -> u64 {
    process.state().replaced[reason as usize]
}

async fn mac(vault: &Vault) -> Result<[u8; 32], HsmError> {
    vault.mac(MacKey::Otp, &[b"data"]).await
}

async fn opened(slot: &Remote) -> Vault {
    let vault = Vault::remote(slot.clone(), stretcher());
    vault.init().await.unwrap();
    vault
}

#[test]
fn who_calls_has_neither_the_library_nor_the_pin() {
    let name = "process::who_calls_has_neither_the_library_nor_the_pin";
    in_own_process(name, |_| {
        run(async {
            let process = start_process();
            let vault = opened(&process.open(slot_setup()).unwrap()).await;
            mac(&vault).await.unwrap();

            let pid = process.state().pid.unwrap();
            let maps = |pid: &str| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
            let module = module();
            let library = Path::new(&module).file_name().unwrap().to_str().unwrap();
            assert!(maps(&pid.to_string()).contains(library));
            assert!(!maps("self").contains(library));
            for file in ["cmdline", "environ"] {
                let octets = fs::read(format!("/proc/{pid}/{file}")).unwrap();
                assert!(
                    !String::from_utf8_lossy(&octets).contains(USER_PIN),
                    "{file}"
                );
            }
            // And its threads may do no more than they must.
            let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let of_module = threads
                .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
                .filter(|status| status.starts_with("Name:\thsm-"));
            let mut shut_in = 0;
            for status in of_module {
                for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
                    assert!(status.contains(line), "{line}: {status}");
                }
                shut_in += 1;
            }
            assert!(shut_in > LIMITS.sessions);
        });
    });
}

#[test]
fn it_ends_with_who_started_it() {
    in_own_process("process::it_ends_with_who_started_it", |_| {
        run(async {
            let process = start_process();
            let slot = process.open(slot_setup()).unwrap();
            let pid = process.state().pid.unwrap();
            assert!(Path::new(&format!("/proc/{pid}")).exists());

            drop((process, slot));

            assert!(!Path::new(&format!("/proc/{pid}")).exists());
        });
    });
}

#[test]
fn a_process_that_ends_is_replaced_and_calls_go_on() {
    let name = "process::a_process_that_ends_is_replaced_and_calls_go_on";
    in_own_process(name, |_| {
        run(async {
            let process = start_process();
            let vault = opened(&process.open(slot_setup()).unwrap()).await;
            let before = mac(&vault).await.unwrap();

            for _ in 0..3 {
                let pid = process.state().pid;
                signal(&process, "-KILL");
                until("another process", async || {
                    mac(&vault).await.is_ok_and(|again| again == before)
                        && process.state().pid != pid
                })
                .await;
            }
            assert_eq!(replaced(&process, Reason::Ended), 3);
            vault.health().await.unwrap();
        });
    });
}

/// A process that is stopped has taken its calls and answers none.
#[test]
fn what_was_sent_to_a_process_that_ended_is_unknown_if_it_signs_and_made_again_if_not() {
    let name = "process::what_was_sent_to_a_process_that_ended_is_unknown_if_it_signs_and_made_again_if_not";
    process(name, async |fixture: Fixture| {
        let key = fixture.key("one", KeyAlgorithm::P256).await;
        let activation = fixture.activation(&key, &[digest(1)], 9).await;
        let vault = &fixture.vault;
        let slot = fixture.slot();
        let before = mac(vault).await.unwrap();
        signal(slot.process(), "-STOP");
        let sign = tokio::spawn({
            let (vault, key, activation) = (vault.clone(), key.clone(), activation.clone());
            async move {
                vault
                    .sign(&key, &activation, ECDSA, &[digest(1)], NOW)
                    .await
            }
        });
        until("one is sent", async || slot.state().busy == 1).await;
        let others: Vec<_> = (0..LIMITS.sessions + 2)
            .map(|_| {
                let vault = vault.clone();
                tokio::spawn(async move { mac(&vault).await })
            })
            .collect();
        until("the others wait", async || {
            let state = slot.state();
            state.busy == LIMITS.sessions && state.waiting == 3
        })
        .await;

        signal(slot.process(), "-KILL");

        let signed = sign.await.unwrap();
        let unknown = matches!(signed, Err(VaultError::Hsm(HsmError::OutcomeUnknown(_))));
        assert!(unknown, "{signed:?}");
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), before);
        }
        // The key opens again.
        let digests = [digest(1)];
        let signed = vault.sign(&key, &activation, ECDSA, &digests, NOW);
        signed.await.unwrap();
    });
}

#[test]
fn a_process_that_hangs_is_replaced_and_what_waits_is_served() {
    let name = "process::a_process_that_hangs_is_replaced_and_what_waits_is_served";
    in_own_process(name, |_| {
        run(async {
            let care = Care {
                patience: Duration::from_secs(2),
                ..CARE
            };
            let process = start_process_with(care);
            let vault = opened(&process.open(slot_setup()).unwrap()).await;
            let before = mac(&vault).await.unwrap();
            signal(&process, "-STOP");

            // It does not answer, and nobody ends it but who waits for it.
            assert_eq!(mac(&vault).await.unwrap(), before);

            assert_eq!(replaced(&process, Reason::Hung), 1);
        });
    });
}

#[test]
fn a_process_that_has_grown_is_relieved_and_no_call_fails() {
    let name = "process::a_process_that_has_grown_is_relieved_and_no_call_fails";
    in_own_process(name, |_| {
        run(async {
            // Every process is too large.
            let process = start_process_with(Care { memory: 1, ..CARE });
            let vault = opened(&process.open(slot_setup()).unwrap()).await;
            let before = mac(&vault).await.unwrap();
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let (vault, process) = (vault.clone(), process.clone());
                    tokio::spawn(async move {
                        while replaced(&process, Reason::Grown) < 5 {
                            assert_eq!(mac(&vault).await.unwrap(), before);
                        }
                    })
                })
                .collect();

            for caller in callers {
                caller.await.unwrap();
            }
        });
    });
}

#[test]
fn a_full_queue_is_busy_and_a_caller_past_its_deadline_too() {
    let name = "process::a_full_queue_is_busy_and_a_caller_past_its_deadline_too";
    in_own_process(name, |_| {
        run(async {
            let mut setup = slot_setup();
            (setup.sessions, setup.queue) = (1, 1);
            setup.deadline = Duration::from_secs(1);
            let process = start_process();
            let slot = process.open(setup).unwrap();
            let vault = opened(&slot).await;
            signal(&process, "-STOP");
            let sent = tokio::spawn({
                let vault = vault.clone();
                async move { mac(&vault).await }
            });
            until("one is sent", async || slot.state().busy == 1).await;
            let waiting = tokio::spawn({
                let vault = vault.clone();
                async move { mac(&vault).await }
            });
            until("one waits", async || slot.state().waiting == 1).await;

            let refused = mac(&vault).await;
            assert!(matches!(refused, Err(HsmError::Busy { .. })), "{refused:?}");
            let late = waiting.await.unwrap();
            assert!(matches!(late, Err(HsmError::Busy { .. })), "{late:?}");
            signal(&process, "-CONT");
            sent.await.unwrap().unwrap();
        });
    });
}

#[test]
fn a_pin_that_is_refused_is_shown_once_by_all_processes_together() {
    use cryptoki::{context::Pkcs11, session::UserType, types::AuthPin};

    let name = "process::a_pin_that_is_refused_is_shown_once_by_all_processes_together";
    in_own_process(name, |_| {
        run(async {
            let pin_file = tokens().with_file_name("wrong-pin");
            fs::write(&pin_file, "wrong").unwrap();
            let process = start_process();
            let mut wrong = slot_setup();
            wrong.pin_file = pin_file;
            let refused = process.open(wrong).map(drop);
            assert!(
                matches!(refused, Err(HsmError::PinRefused(_))),
                "{refused:?}"
            );

            let slot = process.open(slot_setup()).unwrap();
            let vault = opened(&slot).await;
            // The token gets another PIN while the service runs; a new log-in has the old one.
            let module = Pkcs11::new(module()).unwrap();
            drop(softhsm_token("holders", "unused"));
            let arguments = cryptoki::context::CInitializeArgs::new(
                cryptoki::context::CInitializeFlags::OS_LOCKING_OK,
            );
            module.initialize(arguments).unwrap();
            let slots = module.get_slots_with_token().unwrap();
            let of_holders = |slot: &&cryptoki::slot::Slot| {
                module.get_token_info(**slot).unwrap().label() == "holders"
            };
            let token = *slots.iter().find(of_holders).unwrap();
            let session = module.open_rw_session(token).unwrap();
            let pin = AuthPin::new(USER_PIN.into());
            session.login(UserType::User, Some(&pin)).unwrap();
            session
                .set_pin(&pin, &AuthPin::new("another-pin".into()))
                .unwrap();
            signal(&process, "-KILL");

            until("it is refused", async || {
                matches!(mac(&vault).await, Err(HsmError::PinRefused(_)))
            })
            .await;
            // Although the next process would have the right one.
            fs::write(tokens().with_file_name("pin"), "another-pin").unwrap();
            signal(&process, "-KILL");
            until("the next process", async || {
                replaced(&process, Reason::Ended) == 2
            })
            .await;
            until("it is up", async || process.state().pid.is_some()).await;
            let refused = mac(&vault).await;
            assert!(
                matches!(refused, Err(HsmError::PinRefused(_))),
                "{refused:?}"
            );
        });
    });
}

#[test]
fn one_of_two_slots_dies_and_the_other_goes_on() {
    let name = "process::one_of_two_slots_dies_and_the_other_goes_on";
    in_own_process(name, |_| {
        run(async {
            // One HSM that two processes reach stands for two with the same master keys.
            let (one, other) = (start_process(), start_process());
            let slots = [&one, &other].map(|process| process.open(slot_setup()).unwrap());
            let [first, second] = &slots;
            let vault = opened(first).await;
            let second = Vault::remote(second.clone(), stretcher());
            vault.agrees_with(&second).await.unwrap();
            let vault = Vault::spread(
                slots.iter().map(|slot| (slot.clone(), 1)).collect(),
                stretcher(),
            );
            let before = mac(&vault).await.unwrap();

            // The first has taken calls when it dies.
            signal(&one, "-STOP");
            let callers: Vec<_> = (0..4 * LIMITS.sessions)
                .map(|_| {
                    let vault = vault.clone();
                    tokio::spawn(async move { mac(&vault).await })
                })
                .collect();
            until("the first has some", async || first.state().busy > 0).await;
            signal(&one, "-KILL");

            for caller in callers {
                assert_eq!(caller.await.unwrap().unwrap(), before);
            }
            for _ in 0..16 {
                assert_eq!(mac(&vault).await.unwrap(), before);
            }
            assert_eq!(vault.slots().len(), 2);
        });
    });
}

#[test]
fn a_slot_with_other_master_keys_is_told_apart() {
    let name = "process::a_slot_with_other_master_keys_is_told_apart";
    in_own_process(name, |_| {
        run(async {
            let process = start_process();
            let holders = opened(&process.open(slot_setup()).unwrap()).await;
            let mut setup = slot_setup();
            setup.name = "issuers".to_owned();
            setup.selector = TokenSelector::Label("issuers".to_owned());
            let others = opened(&process.open(setup).unwrap()).await;

            let agreed = holders.agrees_with(&others).await;

            assert!(matches!(agreed, Err(HsmError::Unfit(_))), "{agreed:?}");
        });
    });
}
