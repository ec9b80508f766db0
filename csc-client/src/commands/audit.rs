//! `csc-client audit`: what a holder can check by himself.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::{
    der::{DateTime, DecodePem as _, Encode as _},
    spki::SubjectPublicKeyInfoOwned,
};

use crate::arguments::Check;
use crate::proof::{self, Recorded};
use crate::terminal;

/// Checks a proof, and says in one line what it proves.
pub(crate) fn check(options: &Check) -> anyhow::Result<()> {
    let read = |path: &std::path::Path| {
        fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let keys = public_keys(&read(&options.key)?)
        .with_context(|| format!("{} is no public key (PEM)", options.key.display()))?;
    let text = String::from_utf8(read(&options.proof)?).context("this is no proof")?;
    let recorded = proof::check(&text, &keys)?;
    let wanted = match (&options.hash, &options.file) {
        (Some(hash), _) => vec![
            BASE64_STANDARD
                .decode(hash)
                .context("--hash is no base64")?,
        ],
        (None, Some(file)) => {
            let octets = read(file)?;
            vec![
                Sha256::digest(&octets).to_vec(),
                Sha384::digest(&octets).to_vec(),
                Sha512::digest(&octets).to_vec(),
            ]
        }
        (None, None) => Vec::new(),
    };
    terminal::result(&in_words(&recorded, &wanted)?);
    Ok(())
}

/// The keys of a PEM file, one or more (SubjectPublicKeyInfo, DER).
fn public_keys(pem: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    const END: &str = "-----END PUBLIC KEY-----";
    let pem = std::str::from_utf8(pem)?.trim();
    let keys = pem
        .split_inclusive(END)
        .map(|pem| Ok(SubjectPublicKeyInfoOwned::from_pem(pem.trim())?.to_der()?));
    keys.collect()
}

/// What is proven; fails when something was wanted and is not among it.
fn in_words(recorded: &Recorded, wanted: &[Vec<u8>]) -> anyhow::Result<String> {
    let is_wanted = |digest: &&[u8]| wanted.is_empty() || wanted.iter().any(|one| one == digest);
    let digests = recorded.event.signed().filter(is_wanted);
    let digests: Vec<_> = digests
        .map(|digest| BASE64_STANDARD.encode(digest))
        .collect();
    let what = match digests.len() {
        0 if !wanted.is_empty() => bail!("not proven: the proof is about other digests"),
        0 => format!("{} was recorded", recorded.event.name),
        1 => format!("the digest {} was signed", digests.concat()),
        _ => format!("the digests {} were signed", digests.join(", ")),
    };
    let credential = match &recorded.event.credential {
        Some(credential) if digests.is_empty() => format!(" about credential {credential}"),
        Some(credential) => format!(" with credential {credential}"),
        None => String::new(),
    };
    let (number, sealed) = recorded.checkpoint;
    Ok(format!(
        "proven: {what}{credential} at {}, and recorded no later than {} (checkpoint {number})",
        time(recorded.time),
        time(sealed),
    ))
}

/// A time in UTC; what comes from a log may be before 1970 or far away.
fn time(millis: i64) -> String {
    let since = u64::try_from(millis).map(Duration::from_millis);
    match since
        .ok()
        .and_then(|since| DateTime::from_unix_duration(since).ok())
    {
        Some(time) => time.to_string(),
        None => format!("{millis} ms from 1970"),
    }
}
