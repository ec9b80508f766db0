//! pyHanko's signer for the CSC API, as an application uses it: it asks for codes and PIN through a callback.

use std::{fs, process::Command};

use conformance_tests::{KeySpec, command, shared};
use serde_json::json;

use crate::{ca, pyhanko_accepts, sample, tool};

const SCRIPT: &str = include_str!("pyhanko_csc.py");

#[tokio::test]
async fn pyhanko_s_own_csc_client_signs_a_pdf() {
    let bed = shared().await;
    // Under /csc/v2/ it goes on writing v1, for which holders who log in by themselves have two switches here.
    let switches = "name = 'pyHanko'\ngrants = []\n[switches]\nv1_names_in_v2 = true\ntop_level_factors = true\n";
    let file = bed.secret_file(switches);
    let change = ["client", "change", "--id", "direct", "--from", &file];
    bed.cli(&change, &[]).expect("client change");
    for (api, key, pss) in [
        ("v1", "p256", false),
        ("v1", "rsa-3072", false),
        ("v1", "rsa-3072", true),
        ("v2", "p256", false),
    ] {
        let signer = bed.signer_with(&KeySpec { key, multisign: 5 }).await;
        let dir = tempfile::tempdir().expect("a directory for the document");
        let (script, signed) = (dir.path().join("sign.py"), dir.path().join("signed.pdf"));
        fs::write(&script, SCRIPT).expect("a file for the script");
        let order = json!({
            "url": format!("https://{}", bed.api().authority()),
            "cacert": bed.dir().join("tls/server.pem"),
            "credential": signer.credential.id,
            "token": signer.token,
            "pin": signer.credential.pin,
            "api": api,
            "pss": pss,
            "otp": signer.code().await,
            "input": sample(),
            "output": signed,
        });
        command(
            Command::new(tool("PYTHON")).arg(&script),
            &[&order.to_string()],
        )
        .expect("pyHanko's CSC client");
        pyhanko_accepts(&signed, &ca(bed, dir.path()));
    }
}
