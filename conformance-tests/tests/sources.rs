//! What no test can see by running the product: that nothing in its sources goes another way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Every file of the product that draws random octets, and what for (SC-04).
const RANDOM: [(&str, &str); 9] = [
    (
        "csc-server/src/ids.rs",
        "identifiers and serial numbers, which are no secrets",
    ),
    (
        "hsm-adapter/src/check/examination.rs",
        "whether the device's repeat, and a value for a trial",
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

/// SC-18: keys are wrapped and unwrapped by the vault and nobody else (the doctor's are made for his trial and thrown away), and nobody reads the value of one.
#[test]
fn keys_are_wrapped_in_the_vault_only() {
    const WRAPPING: [&str; 4] = [".wrap(", "unwrap_private(", "unwrap_dek(", "C_WrapKey"];
    let mut found: Vec<String> = Vec::new();
    for (path, text) in product() {
        // The fake is no part of a release.
        if WRAPPING.iter().any(|call| text.contains(call)) && !path.contains("/memory/") {
            found.push(path.clone());
        }
        // What it uses of the adapter: each path up to the end of its statement or call.
        let used = text.split("hsm_adapter::").skip(1);
        let mut used = used.filter_map(|rest| rest.split([';', '(']).next());
        let names = |names: &str| {
            names
                .split(|c: char| !c.is_alphanumeric())
                .any(|name| name == "Hsm")
        };
        assert!(
            path.starts_with("hsm-adapter/") || !used.any(names),
            "{path} speaks with a session past the vault"
        );
    }
    let known = [
        "check/chain.rs",
        "hsm.rs",
        "pkcs11/raw.rs",
        "pkcs11/session.rs",
        "vault/seal.rs",
        "vault/sign.rs",
    ];
    assert_eq!(found, known.map(|file| format!("hsm-adapter/src/{file}")));
}

/// SC-100: what a release is built of comes from the registry, with its checksum, and stands on the bill of materials with its licence.
#[test]
fn every_dependency_is_locked_and_on_the_bill_of_materials() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("Cargo.lock");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").expect("members");
    let members = members.split(']').next().unwrap_or_default();
    let (mut own, mut checksums) = (Vec::new(), BTreeMap::new());
    let mut registries = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim_matches([' ', '=', '"']).to_owned())
        };
        let (name, version) = (
            value("name").expect("a name"),
            value("version").expect("a version"),
        );
        let Some(source) = value("source") else {
            own.push(name);
            continue;
        };
        assert!(source.starts_with("registry+"), "{name} is of {source}");
        registries.insert(source);
        checksums.insert(
            format!("pkg:cargo/{name}@{version}"),
            value("checksum").expect("a checksum"),
        );
    }
    assert_eq!(registries.len(), 1, "{registries:?}");
    assert_eq!(own.len(), members.split(',').count(), "{own:?} are members");

    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let printed = Command::new(python).arg(root.join("deploy/sbom")).output();
    let printed = printed.expect("deploy/sbom runs");
    assert!(printed.status.success(), "{printed:?}");
    let bill: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let components = bill["components"].as_array().expect("components");
    let named: BTreeMap<_, _> = components
        .iter()
        .map(|part| (part["purl"].as_str(), part))
        .collect();
    for (purl, part) in &named {
        assert!(part["licenses"][0]["expression"].is_string(), "{part}");
        if let Some(checksum) = checksums.get(purl.expect("a purl")) {
            assert_eq!(part["hashes"][0]["content"], checksum.as_str(), "{part}");
        }
    }
    // What this test is built of as well, and what only it is.
    let on_it = |name: &str| {
        named
            .keys()
            .flatten()
            .any(|purl| purl.contains(&format!("/{name}@")))
    };
    assert!(on_it("csc-server") && on_it("serde_json") && on_it("aws-lc-rs"));
    assert!(!on_it("conformance-tests") && !on_it("proptest"));
    let listed = named
        .keys()
        .flatten()
        .filter(|purl| checksums.contains_key(**purl));
    assert!(listed.count() > 200);
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
