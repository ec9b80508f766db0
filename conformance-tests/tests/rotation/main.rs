//! Master keys rotate under load (SC-19), old versions are destroyed and older backups with them (SC-16), and a backup
//! restores a service only together with the token (SC-17).

mod backup;
mod installation;
mod load;
mod moves;

use std::collections::BTreeMap;

use conformance_tests::{
    Answer, Credential, Digest, KeySpec, Run, TestBed, Totp, V1, digest, digests, until,
};
use serde_json::json;

/// What `slot rotation` says of each version: `store/v1` → `(can be destroyed): 0 credentials, …`.
fn versions(bed: &TestBed) -> BTreeMap<String, String> {
    let printed = bed.cli(&["slot", "rotation"], &[]).expect("slot rotation");
    let lines = printed.lines().map(|line| {
        let end = line.find([' ', ':']).unwrap_or(line.len());
        let (label, rest) = line.split_at(end);
        (label.to_owned(), rest.trim().to_owned())
    });
    lines.collect()
}

fn rotate(bed: &TestBed, key: &str) {
    bed.cli(&["slot", "rotate", "--key", key], &[])
        .expect("slot rotate");
}

fn destroy(bed: &TestBed, key: &str) -> Run {
    bed.cli(&["slot", "destroy", "--key", key, "--version", "1"], &[])
}

/// Waits until nothing rests under this version.
async fn empty(bed: &TestBed, label: &str) {
    until(&format!("nothing to rest under {label}"), async || {
        let found = versions(bed);
        found.get(label)?.contains("can be destroyed").then_some(())
    })
    .await;
}

/// A holder with an authenticator app.
struct WithApp {
    totp: Totp,
    credential: Credential,
    token: String,
}

const HASH: &str = "contract";

impl WithApp {
    async fn new(bed: &TestBed) -> Self {
        let holder = bed.holder();
        let totp = bed.totp(&holder);
        let spec = KeySpec {
            key: "p256",
            multisign: 5,
        };
        let credential = bed.credential(&holder, &totp.id, &spec);
        Self {
            totp,
            credential,
            token: bed.log_in(&holder).await,
        }
    }

    async fn authorize(&self, bed: &TestBed, pin: &str, steps: i64) -> Answer {
        let hash: Digest = digest(HASH);
        let body = json!({
            "credentialID": self.credential.id,
            "numSignatures": 1,
            "hash": digests(&[hash]),
            "PIN": pin,
            "OTP": self.totp.code(steps),
        });
        bed.api()
            .call(V1, "credentials/authorize", &self.token, body)
            .await
    }

    async fn sad(&self, bed: &TestBed, steps: i64) -> String {
        let answer = self.authorize(bed, &self.credential.pin, steps).await;
        answer.text_of("SAD")
    }

    async fn sign(&self, bed: &TestBed, sad: &str) -> Answer {
        let body = json!({
            "credentialID": self.credential.id,
            "SAD": sad,
            "hash": digests(&[digest(HASH)]),
            "signAlgo": "1.2.840.10045.4.3.2",
        });
        bed.api()
            .call(V1, "signatures/signHash", &self.token, body)
            .await
    }

    async fn signs(&self, bed: &TestBed, steps: i64) {
        let sad = self.sad(bed, steps).await;
        self.sign(bed, &sad).await.ok();
    }
}

/// What opens nothing is the service's trouble, not the holder's.
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(answer.body.get("error"), Some(&json!("server_error")));
}
