//! What no test can see by running the product: that nothing in its sources goes another way.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every file of the product that draws random octets, and what for (SC-04).
const RANDOM: [(&str, &str); 8] = [
    (
        "csc-server/src/ids.rs",
        "identifiers and serial numbers, which are no secrets",
    ),
    ("hsm-adapter/src/content.rs", "secrets of tests"),
    ("hsm-adapter/src/memory/key.rs", "the fake"),
    ("hsm-adapter/src/memory/session.rs", "the fake"),
    ("hsm-adapter/src/pkcs11/raw.rs", "the device's"),
    (
        "hsm-adapter/src/pkcs11/session.rs",
        "nonces of AES-GCM, which are no secrets",
    ),
    (
        "hsm-adapter/src/vault/mod.rs",
        "every secret: the device's and the system's, mixed",
    ),
    (
        "softhsm-setup/src/token.rs",
        "PINs of tokens that do not exist yet",
    ),
];

/// What draws random octets, in whatever library.
const SOURCES: [&str; 7] = [
    "getrandom",
    "C_GenerateRandom",
    "SystemRandom",
    "OsRng",
    "ThreadRng",
    "rand::",
    "/dev/urandom",
];

#[test]
fn random_octets_are_drawn_where_it_is_known_what_for() {
    let mut found: Vec<String> = Vec::new();
    for (path, text) in product() {
        if SOURCES.iter().any(|source| text.contains(source)) {
            found.push(path);
        }
    }
    found.sort();
    let known: Vec<&str> = RANDOM.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, known);
}

/// SC-01: the one object that is ever imported is a public key, to verify with.
#[test]
fn no_private_key_is_imported() {
    let sources = product();
    let importing = |text: &&String| text.contains("C_CreateObject");
    assert_eq!(sources.values().filter(importing).count(), 1, "the binding");
    let calls: Vec<_> = sources
        .iter()
        .filter(|(path, _)| path.starts_with("hsm-adapter/src/pkcs11/"))
        .flat_map(|(path, text)| text.matches(".create(").map(move |_| path.as_str()))
        .collect();
    assert_eq!(calls, ["hsm-adapter/src/pkcs11/session.rs"]);
    let (_, verify) = sources["hsm-adapter/src/pkcs11/session.rs"]
        .split_once("template::verifying")
        .expect("what is imported is a verifying key");
    assert!(verify.contains(".create("));
    let (_, template) = sources["hsm-adapter/src/pkcs11/template.rs"]
        .split_once("fn verifying")
        .expect("the template of a verifying key");
    let (template, _) = template.split_once("\n}\n").expect("its end");
    assert!(
        template.contains("PUBLIC_KEY") && !template.contains("PRIVATE_KEY"),
        "{template}"
    );
}

/// The sources of what is shipped, by their path; unit tests at the foot of a file are left out.
fn product() -> BTreeMap<String, String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut sources = BTreeMap::new();
    for member in [
        "ades",
        "csc-client",
        "csc-server",
        "hsm-adapter",
        "softhsm-setup",
    ] {
        for file in files(&root.join(member).join("src")) {
            let text = fs::read_to_string(&file).expect("a source can be read");
            let shipped = text.split("#[cfg(test)]\nmod tests {").next();
            let path = file.strip_prefix(root).expect("it lies below");
            if !path.ends_with("tests.rs") {
                let path = path.to_string_lossy().into_owned();
                sources.insert(path, shipped.unwrap_or_default().to_owned());
            }
        }
    }
    assert!(sources.len() > 100, "the sources are where they were");
    sources
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory of sources");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let sources = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources
        .chain(
            directories
                .iter()
                .flat_map(|directory| self::files(directory)),
        )
        .collect()
}
