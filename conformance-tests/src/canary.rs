//! Secrets the tests use and receive: none of them may ever appear in a log.

use std::{
    collections::HashSet,
    env,
    fs::OpenOptions,
    io::Write,
    sync::{LazyLock, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};

static REGISTERED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Registers a secret, here and in the file `CSC_TEST_CANARIES`; gives it back.
pub fn register(secret: impl Into<String>) -> String {
    let secret = secret.into();
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !secret.trim().is_empty() && registered.insert(secret.clone()) {
        append(&secret);
    }
    secret
}

/// Every secret registered by this process so far.
pub fn registered() -> Vec<String> {
    REGISTERED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .cloned()
        .collect()
}

/// The value of an `Authorization: Basic` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let value = register(STANDARD.encode(format!("{user}:{password}")));
    format!("Basic {value}")
}

fn append(secret: &str) {
    let Some(path) = env::var_os("CSC_TEST_CANARIES") else {
        return;
    };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{secret}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
