//! The raw loop: C_SignInit and C_Sign on a session object, in a process of its own, a session a thread.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use sha2::{Digest, Sha256};

use crate::cpu;

/// What a loop made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) signatures: f64,
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
}

impl Made {
    pub(crate) fn per_second(&self) -> f64 {
        self.signatures / self.seconds
    }

    /// Milliseconds of CPU a signature.
    pub(crate) fn cost(&self) -> f64 {
        1000.0 * self.cpu / self.signatures
    }
}

/// Where the token of holders is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) module: String,
    /// The directory of the test bed.
    pub(crate) dir: std::path::PathBuf,
}

/// A loop that runs.
pub(crate) struct Running(Child);

/// Starts a loop with this key (`p256`, `rsa-2048`, `rsa-3072`).
pub(crate) fn start(place: &Place, key: &str, threads: usize, time: Duration) -> Running {
    let this = env::current_exe().expect("a program knows its own file");
    let mut child = Command::new(this);
    child.args([
        "raw",
        &place.module,
        key,
        &threads.to_string(),
        &time.as_secs_f64().to_string(),
    ]);
    child.arg(place.dir.join("softhsm/pins/csc-holder.pin"));
    child.env("SOFTHSM2_CONF", place.dir.join("softhsm/softhsm2.conf"));
    Running(
        child
            .stdout(Stdio::piped())
            .spawn()
            .expect("the raw loop starts"),
    )
}

impl Running {
    pub(crate) fn end(self) -> Made {
        let output = self.0.wait_with_output().expect("the raw loop ends");
        assert!(output.status.success(), "the raw loop failed");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        match numbers[..] {
            [signatures, seconds, cpu] => Made {
                signatures,
                seconds,
                cpu,
            },
            _ => panic!("the raw loop said: {text}"),
        }
    }
}

/// The process of a loop: prints signatures, seconds, CPU seconds.
#[expect(clippy::print_stdout, reason = "its answer")]
pub(crate) fn run(arguments: &[String]) {
    let [module, key, threads, seconds, pin] = arguments else {
        panic!("raw MODULE KEY THREADS SECONDS PIN_FILE");
    };
    let (threads, seconds): (usize, f64) = (
        threads.parse().expect("a number"),
        seconds.parse().expect("a number"),
    );
    let context = Pkcs11::new(Path::new(module)).expect("the module loads");
    let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    context.initialize(locking).expect("C_Initialize");
    let pin = fs::read_to_string(pin).expect("the file of the PIN");
    let slots = context.get_slots_with_token().expect("slots");
    let slot = slots.into_iter().find(|slot| {
        context
            .get_token_info(*slot)
            .is_ok_and(|token| token.label() == "csc-holder")
    });
    let open = || {
        context
            .open_rw_session(slot.expect("the holders' token"))
            .expect("a session")
    };
    let owner = open();
    owner
        .login(UserType::User, Some(&AuthPin::new(pin.trim().into())))
        .expect("C_Login");
    let (object, data) = generate(&owner, key);
    let rsa = key.starts_with("rsa-");

    let (begin, end) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let made = AtomicU64::new(0);
    let mut result = None;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let session = open();
                let mechanism = if rsa {
                    Mechanism::RsaPkcs
                } else {
                    Mechanism::Ecdsa
                };
                session
                    .sign(&mechanism, object, &data)
                    .expect("a signature");
                begin.wait();
                let mut count = 0;
                while !end.load(Relaxed) {
                    session
                        .sign(&mechanism, object, &data)
                        .expect("a signature");
                    count += 1;
                }
                made.fetch_add(count, Relaxed);
            });
        }
        begin.wait();
        let (cpu, start) = (cpu::of(std::process::id()), Instant::now());
        crate::pause(Duration::from_secs_f64(seconds));
        end.store(true, Relaxed);
        result = Some((cpu, start));
    });
    let (cpu, start) = result.expect("the scope has run");
    let (took, used) = (
        start.elapsed(),
        cpu::of(std::process::id()).saturating_sub(cpu),
    );
    println!(
        "{} {} {}",
        made.load(Relaxed),
        took.as_secs_f64(),
        used.as_secs_f64()
    );
}

fn generate(session: &Session, key: &str) -> (ObjectHandle, Vec<u8>) {
    let hash = Sha256::digest(b"raw");
    let private = [
        Attribute::Sign(true),
        Attribute::Sensitive(true),
        Attribute::Token(false),
    ];
    let (make, public, data) = match key.strip_prefix("rsa-") {
        Some(bits) => {
            let bits: u64 = bits.parse().expect("a length");
            let public = vec![
                Attribute::ModulusBits(bits.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
                Attribute::Verify(true),
            ];
            // The DigestInfo of SHA-256 (RFC 8017, 9.2).
            let prefix =
                hex::decode("3031300d060960864801650304020105000420").expect("hexadecimal");
            let data = [prefix, hash.to_vec()].concat();
            (Mechanism::RsaPkcsKeyPairGen, public, data)
        }
        None => {
            let curve = hex::decode("06082a8648ce3d030107").expect("hexadecimal");
            let public = vec![Attribute::EcParams(curve), Attribute::Verify(true)];
            (Mechanism::EccKeyPairGen, public, hash.to_vec())
        }
    };
    let (_, object) = session
        .generate_key_pair(&make, &public, &private)
        .expect("a key pair");
    (object, data)
}
