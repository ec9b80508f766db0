//! A service with what the suite needs: a holder with two keys, codes by mail, and a client linked to the holder.

use std::path::PathBuf;

use conformance_tests::{Client, Credential, Holder, KeySpec, TestBed};

/// A service and the settings to check it with.
pub(crate) struct Subject {
    pub(crate) bed: TestBed,
    /// The settings: with an elliptic-curve key, then with an RSA key.
    pub(crate) settings: [PathBuf; 2],
    pub(crate) secrets: Vec<String>,
}

/// A service with a holder, two credentials and a client.
pub(crate) async fn subject() -> Subject {
    let bed = TestBed::builder().start().await;
    let holder = bed.holder();
    let otp = bed.mail_otp(&holder);
    let made = ["p256", "rsa-3072"]
        .map(|key| bed.credential(&holder, &otp.id, &KeySpec { key, multisign: 5 }));
    let lost = [(); 2].map(|()| {
        let spec = KeySpec {
            key: "p256",
            multisign: 1,
        };
        bed.credential(&holder, &otp.id, &spec)
    });
    let client = bed.client();
    bed.link(&client, &holder);
    let registration = r#"
        name = "Wallet"
        redirect_uris = ["https://app.example/cb?x=1"]
        grants = ["authorization_code", "refresh_token"]
    "#;
    let [application, other] = [(); 2].map(|()| bed.client_from(registration));
    let settings = made.each_ref().map(|credential| {
        let mut text = settings(&bed, &holder, [&client, &application, &other], credential);
        for Credential { id, pin, .. } in &lost {
            text += &format!("[[sacrifice]]\nid = \"{id}\"\npin = \"{pin}\"\n");
        }
        PathBuf::from(bed.secret_file(&text))
    });
    let secrets = vec![
        holder.password.clone(),
        client.secret.clone(),
        application.secret.clone(),
        other.secret.clone(),
        made[0].pin.clone(),
        made[1].pin.clone(),
    ];
    Subject {
        bed,
        settings,
        secrets,
    }
}

fn settings(
    bed: &TestBed,
    holder: &Holder,
    [client, application, other]: [&Client; 3],
    credential: &Credential,
) -> String {
    let authority = bed.api().authority().to_owned();
    format!(
        r#"
        [server]
        v1 = "https://{authority}/csc/v1"
        v2 = "https://{authority}/csc/v2"
        oauth2 = "https://{authority}"
        trust = "tls/server.pem"
        [basic]
        user = "{user}"
        password = "{password}"
        [client]
        id = "{client}"
        secret = "{secret}"
        user_id = "{user}"
        [application]
        id = "{application}"
        secret = "{application_secret}"
        redirect_uri = "https://app.example/cb?x=1"
        account = "{user}"
        other = {{ id = "{other}", secret = "{other_secret}" }}
        [pages]
        user = "{user}"
        password = "{password}"
        refuse = "act=refuse"
        [[pages.steps]]
        has = ["user", "password"]
        fill = {{ user = "{{user}}", password = "{{password}}" }}
        [[pages.steps]]
        has = ["act=allow"]
        press = "act=allow"
        [[pages.steps]]
        has = ["pin", "code"]
        fill = {{ pin = "{{pin}}", code = "{{code}}" }}
        press = "act=sign"
        [[pages.steps]]
        has = ["certificate", "act=send"]
        press = "act=send"
        [credential]
        id = "{credential}"
        pin = "{pin}"
        [otp]
        type = "outbox"
        directory = "outbox"
        to = "{user}@"
        [allow]
        wrong_factors = true
        "#,
        user = holder.name,
        password = holder.password,
        client = client.id,
        secret = client.secret,
        application = application.id,
        application_secret = application.secret,
        other = other.id,
        other_secret = other.secret,
        credential = credential.id,
        pin = credential.pin,
    )
}
