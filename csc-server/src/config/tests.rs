use super::*;

const VALID: &str = r#"
[server]
listen = "127.0.0.1:8443"
public_url = "https://sign.example:8443"
certificate = "tls/server.pem"
private_key = "tls/server.key"

[info]
name = "Example Signing"
logo = "https://sign.example/logo.png"
region = "IT"
description = "Remote signing"

[store]
url = "sqlite:state/csc.db"

[[slot]]
role = "holder"
module = "/usr/lib/softhsm/libsofthsm2.so"
token = "holders"
pin_file = "secrets/holders.pin"

[[slot]]
role = "issuer"
module = "/usr/lib/softhsm/libsofthsm2.so"
token = "issuer"
pin_file = "secrets/issuer.pin"

[mail]
from = "Signing <sign@sign.example>"
outbox = "outbox"

[certificate]
"#;

fn read(
    text: &str,
    environment: &[(&str, &str)],
) -> (tempfile::TempDir, Result<Config, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("csc-server.toml");
    std::fs::write(&file, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    (folder, Config::read(&file, environment))
}

fn refusal(text: &str) -> String {
    read(text, &[]).1.unwrap_err().to_string()
}

#[test]
fn the_smallest_file_loads_with_the_documented_defaults() {
    let (_folder, config) = read(VALID, &[]);
    let config = config.unwrap();
    assert_eq!(config.server.request_timeout.as_secs(), 30);
    assert_eq!(config.server.max_body_bytes, 1_048_576);
    assert_eq!(config.lifetime.sad.as_secs(), 300);
    assert_eq!(
        config.pin.argon2,
        Argon2 {
            memory: 19_456,
            passes: 2,
            lanes: 1
        }
    );
    assert_eq!(config.credential.multisign, 100);
    assert_eq!(
        (
            config.certificate.organization.as_str(),
            config.certificate.days
        ),
        ("Example Signing", 1095)
    );
    assert!(
        config.certificate.qc_statements.is_empty(),
        "nothing is claimed by default"
    );
    let holders: Vec<_> = config.slots(Role::Holder).collect();
    assert_eq!(holders.len(), 1);
    assert_eq!(
        (holders[0].name(), holders[0].sessions, holders[0].open_keys),
        ("holders", 4, 1000)
    );
}

#[test]
fn relative_paths_start_at_the_file_and_absolute_ones_stay() {
    let (folder, config) = read(VALID, &[]);
    let config = config.unwrap();
    assert_eq!(
        config.server.private_key,
        folder.path().join("tls/server.key")
    );
    assert_eq!(
        config.slots[1].pin_file,
        folder.path().join("secrets/issuer.pin")
    );
    assert_eq!(
        config.slots[1].module,
        Path::new("/usr/lib/softhsm/libsofthsm2.so")
    );
    assert_eq!(
        config.store.url,
        StoreUrl::Sqlite(folder.path().join("state/csc.db"))
    );
    assert_eq!(
        config.mail.transport,
        Transport::Outbox(folder.path().join("outbox"))
    );
}

#[test]
fn an_environment_variable_overrides_one_key() {
    let settings = [
        ("CSC_LIFETIME__SAD", "2s"),
        ("CSC_SERVER__MAX_CONNECTIONS", "7"),
        ("CSC_CONFIG", "/etc/x.toml"),
    ];
    let config = read(VALID, &settings).1.unwrap();
    assert_eq!(config.lifetime.sad.as_secs(), 2);
    assert_eq!(config.server.max_connections, 7);
}

#[test]
fn an_environment_variable_is_checked_like_the_file() {
    let error = read(VALID, &[("CSC_LIFETIME__SAD", "soon")]).1.unwrap_err();
    let remedy = "write a number greater than zero with its unit, such as 30s, 5m or 24h";
    assert_eq!(
        error.to_string(),
        format!("lifetime.sad: found 'soon'; {remedy}")
    );
}

#[test]
fn every_mistake_names_its_key_what_was_found_and_the_remedy() {
    let duration = "write a number greater than zero with its unit, such as 30s, 5m or 24h";
    let cases: &[(&str, &str, &str)] = &[
        (
            "listen = \"127.0.0.1:8443\"",
            "listen = \"8443\"",
            "server.listen: found '8443'; write an address and a port, such as 127.0.0.1:8443",
        ),
        (
            "listen = \"127.0.0.1:8443\"",
            "",
            "server.listen: found nothing; add it to the file",
        ),
        (
            "listen = \"127.0.0.1:8443\"",
            "listen = \"127.0.0.1:8444\"",
            "admin.listen: found the address of server.listen, 127.0.0.1:8444; choose another port",
        ),
        (
            "https://sign.example:8443",
            "http://sign.example",
            "server.public_url: found 'http://sign.example/'; write https, the host and, if it is not 443, the port: https://sign.example",
        ),
        (
            "https://sign.example:8443",
            "sign.example",
            "server.public_url: found no URL (relative URL without a base); write an absolute URL, such as https://sign.example",
        ),
        (
            "[info]",
            "[clock]\nsources = [\"ntp.example\", \"https://ntp.example\"]\n[info]",
            "clock.sources[1]: found 'https://ntp.example'; write the name or address of an SNTP server, such as \"ntp.example\" or \"192.0.2.1:123\"",
        ),
        (
            "sqlite:state/csc.db",
            "postgres://csc@db.example/csc",
            "store.url: found a database at 'db.example' without verified TLS; add ?sslmode=verify-full, and &sslrootcert=/path/to/ca.pem \
             when its CA is your own",
        ),
        (
            "sqlite:state/csc.db",
            "postgres://csc@192.0.2.7/csc?sslmode=require",
            "store.url: found a database at '192.0.2.7' without verified TLS; add ?sslmode=verify-full, and &sslrootcert=/path/to/ca.pem \
             when its CA is your own",
        ),
        (
            "sqlite:state/csc.db",
            "postgres://csc@localhost/csc?host=db.example&sslmode=verify-ca",
            "store.url: found a database at 'db.example' without verified TLS; add ?sslmode=verify-full, and &sslrootcert=/path/to/ca.pem \
             when its CA is your own",
        ),
        (
            "[certificate]",
            "[certificate]\nqc_statements = [\"QcCompliance\", \"QcSSCD\"]",
            "certificate.qc_statements: found QcSSCD, but slot 'holders' is a token in software; remove it, or use a certified device",
        ),
        (
            "token = \"holders\"",
            "token = \"holders\"\nprofile = \"yubihsm2\"",
            "slot[0].profile: found 'yubihsm2', which cannot seal keys of holders; use another HSM here; this one is good for a [[slot]] \
             with role = \"issuer\"",
        ),
        (
            "token = \"issuer\"",
            "token = \"issuer\"\nprofile = \"enigma\"",
            "slot[1].profile: found 'enigma'; use one of softhsm2, kryoptic, luna, nshield, utimaco, cloudhsm, yubihsm2",
        ),
        (
            "[info]",
            "[terms]\nversion = \" \"\nfile = \"terms.pdf\"\nurl = \"https://sign.example/terms\"\n[info]",
            "terms.version: found ' '; write a name of 1 to 64 characters, such as \"2026-11\"",
        ),
        (
            "[info]",
            "[terms]\nversion = \"1\"\nfile = \"terms.pdf\"\nurl = \"http://sign.example/terms\"\n[info]",
            "terms.url: found 'http://sign.example/terms'; write the https URL where holders read it",
        ),
        (
            "[info]",
            "[algorithm.p192]\nsign_until = \"2030-12-31\"\n[info]",
            "algorithm: found 'p192'; write rsa-3072, rsa-4096, p256, p384 or p521",
        ),
        (
            "[info]",
            "[algorithm.p256]\nsign_until = \"next year\"\n[info]",
            "algorithm.p256.sign_until: found 'next year'; write a day, such as 2030-12-31",
        ),
        (
            "[info]",
            "[clock]\nstop = \"6s\"\n[info]",
            "clock.stop: found 6 s; write at most 5s",
        ),
        (
            "[info]",
            "[clock]\nwarn = \"3s\"\nstop = \"2s\"\n[info]",
            "clock.warn: found 3 s; write at most clock.stop",
        ),
        (
            "[info]",
            "max_body_bytes = 0\n[info]",
            "server.max_body_bytes: found 0; write a number greater than zero",
        ),
        (
            "[info]",
            "max_body_bytes = \"1MiB\"\n[info]",
            "server.max_body_bytes: found string \"1MiB\"; write an integer",
        ),
        (
            "[info]",
            "request_timeout = \"0s\"\n[info]",
            &format!("server.request_timeout: found '0s'; {duration}"),
        ),
        (
            "region = \"IT\"",
            "region = \"it\"",
            "info.region: found 'it'; write a country as two upper-case letters, such as IT",
        ),
        (
            "region = \"IT\"",
            "region = \"IT\"\nlang = \"de\"",
            "info.lang: found 'de'; write it or en, the languages of the service",
        ),
        (
            "sqlite:state/csc.db",
            "mysql://localhost/csc",
            "store.url: found no database URL; write sqlite:path or postgres://user@host/database",
        ),
        (
            "sqlite:state/csc.db",
            "postgres://csc:hunter2@db.example/csc",
            "store.url: found a password in the URL; move it to a file of mode 0600 and name that file in store.password_file",
        ),
        (
            "[store]",
            "[store]\npassword_file = \"db\"",
            "store.password_file: found a password for SQLite, which has none; remove it, or make store.url a postgres:// URL",
        ),
        (
            "[store]",
            "[store]\nreaders = 0",
            "store.readers: found 0; write a number greater than zero",
        ),
        (
            "pin_file = \"secrets/issuer.pin\"",
            "",
            "slot[1].pin_file: found nothing; add it to the file",
        ),
        (
            "role = \"issuer\"",
            "role = \"ca\"",
            "slot[1].role: found 'ca'; write holder or issuer",
        ),
        (
            "role = \"issuer\"",
            "role = \"holder\"",
            "slot: found no slot with role \"issuer\"; add a [[slot]] with role = \"issuer\"",
        ),
        (
            "token = \"issuer\"",
            "token = \"holders\"",
            "slot[1].token: found 'holders', the token of slot[0]; give each slot a token of its own",
        ),
        (
            "token = \"issuer\"",
            "",
            "slot[1].token: found nothing; write the token's label, or its serial as serial",
        ),
        (
            "token = \"issuer\"",
            "token = \"issuer\"\nserial = \"1\"",
            "slot[1].serial: found a serial beside token; keep one of the two",
        ),
        (
            "token = \"issuer\"",
            "token = \"issuer\"\nname = \"holders\"",
            "slot[1].name: found 'holders', the name of slot[0]; give each slot a name of its own",
        ),
        (
            "token = \"issuer\"",
            "token = \"issuer\"\nsessions = 0",
            "slot[1].sessions: found 0; write a number greater than zero",
        ),
        (
            "token = \"issuer\"",
            "token = \"issuer\"\npin = \"1234\"",
            "slot[1].pin: found an unknown field `pin`; use one of `role`, `name`, `module`, `token`, `serial`, \
          `pin_file`, `profile`, `sessions`, `queue`, `deadline`, `weight`, `open_keys`",
        ),
        (
            "[mail]",
            "[mails]",
            "mails: found an unknown field `mails`; use one of `server`, `admin`, `info`, `store`, `slot`, `hsm`, `mail`, \
          `sms`, `lifetime`, `pin`, `otp`, `question`, `rate`, `credential`, `document`, `algorithm`, `certificate`, `audit`, \
          `terms`, `clock`, `timestamp`, `callback`",
        ),
        (
            "outbox = \"outbox\"",
            "",
            "mail: found neither outbox nor smtp; add mail.outbox or mail.smtp",
        ),
        (
            "outbox = \"outbox\"",
            "outbox = \"outbox\"\nsmtp = \"smtp://mail.example\"",
            "mail: found both outbox and smtp; keep mail.outbox or mail.smtp",
        ),
        (
            "outbox = \"outbox\"",
            "smtp = \"smtp://mail.example\"\nuser = \"csc\"",
            "mail: found user without password_file; add mail.password_file",
        ),
        (
            "outbox = \"outbox\"",
            "smtp = \"smtp://csc:hunter2@mail.example\"",
            "mail.smtp: found a log-in in the URL; move it to mail.user and mail.password_file",
        ),
        (
            "outbox = \"outbox\"",
            "smtp = \"http://mail.example/\"",
            "mail.smtp: found 'http://mail.example/'; write smtp://host:port or smtps://host:port",
        ),
        (
            "Signing <sign@sign.example>",
            "Signing",
            "mail.from: found 'Signing'; write a mail address, such as \"Signing <sign@sign.example>\"",
        ),
        (
            "[certificate]",
            "[lifetime]\nsad = \"3h\"\nauthorization = \"4h\"\n[certificate]",
            "lifetime.sad: found 10800 s; write at most 2h",
        ),
        (
            "[certificate]",
            "[lifetime]\nsad = \"40m\"\n[certificate]",
            "lifetime.authorization: found 1800 s, less than lifetime.sad; write at least lifetime.sad",
        ),
        (
            "[certificate]",
            "[lifetime]\notp = \"1h\"\n[certificate]",
            "lifetime.otp: found 3600 s; write at most 10m",
        ),
        (
            "[certificate]",
            "[lifetime]\nsad = 300\n[certificate]",
            &format!("lifetime.sad: found '300'; {duration}"),
        ),
        (
            "[certificate]",
            "[pin]\nmax_failures = 0\n[certificate]",
            "pin.max_failures: found 0; write a number greater than zero",
        ),
        (
            "[certificate]",
            "[pin]\nargon2 = { memory = 4 }\n[certificate]",
            "pin.argon2.memory: found 4; write at least 8 (KiB); 19456 is OWASP's minimum",
        ),
        (
            "[certificate]",
            "[otp]\nmax_per_hour = 0\n[certificate]",
            "otp.max_per_hour: found 0; write a number greater than zero",
        ),
        (
            "[certificate]",
            "[otp]\nlongest_lock = \"30s\"\n[certificate]",
            "otp.longest_lock: found 30 s, less than otp.lock; write at least 60s",
        ),
        (
            "[certificate]",
            "[otp]\ndrift = 3\n[certificate]",
            "otp.drift: found 3; write 0, 1 or 2",
        ),
        (
            "[certificate]",
            "[sms]\nfrom = \"Signing\"\n[certificate]",
            "sms: found neither outbox nor url; add sms.outbox or sms.url",
        ),
        (
            "[certificate]",
            "[sms]\noutbox = \"o\"\nurl = \"https://sms.example/\"\n[certificate]",
            "sms: found both outbox and url; keep sms.outbox or sms.url",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"http://sms.example/\"\n[certificate]",
            "sms.url: found 'http://sms.example/'; write an https URL; http is for gateways on this machine",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://csc:hunter2@sms.example/\"\n[certificate]",
            "sms.url: found a log-in in the URL; move it to sms.user and sms.password_file",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://sms.example/\"\nmethod = \"GET\"\n[certificate]",
            "sms: found method 'GET'; write POST or PUT",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://sms.example/\"\n[certificate]",
            "sms: found no Content-Type that is known among sms.headers; write application/json, \
             application/x-www-form-urlencoded or text/plain",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://sms.example/\"\nheaders = { \"Content-Type\" = \"text/plain\" }\n\
             body = \"{text}\"\n[certificate]",
            "sms: found no sms.body with {number} and {text}; write what the gateway takes, with these two places",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://sms.example/\"\nheaders = { \"Content-Type\" = \"application/json\" }\n\
             body = '{\"to\": {number}, \"text\": {text}}'\n[certificate]",
            "sms: found an sms.body that is no JSON; put the places between quotes: \
             {\"to\": \"{number}\", \"text\": \"{text}\"}",
        ),
        (
            "[certificate]",
            "[sms]\nurl = \"https://sms.example/\"\nheaders = { \"Content-Type\" = \"text/plain\" }\n\
             body = \"{number} {text}\"\nuser = \"csc\"\n[certificate]",
            "sms: found a part of a log-in, or two; write sms.user with sms.password_file, or sms.bearer_file alone",
        ),
        (
            "[certificate]",
            "[credential]\nmax_hashes = 99\n[certificate]",
            "credential.max_hashes: found 99, less than credential.multisign; write at least 100",
        ),
        (
            "[certificate]",
            "[certificate]\nkey = \"ed25519\"",
            "certificate.key: found 'ed25519'; use rsa-3072, rsa-4096, p256, p384 or p521",
        ),
        (
            "[certificate]",
            "[certificate]\nkey = \"rsa-2048\"",
            "certificate.key: found 'rsa-2048', too short for new certificates; use rsa-3072, rsa-4096, p256, p384 or p521",
        ),
        (
            "[certificate]",
            "[certificate]\nca_key = \"p521\"",
            "certificate.ca_key: found 'p521'; use rsa-3072, rsa-4096, p256 or p384",
        ),
        (
            "[certificate]",
            "[certificate]\nca_days = 30",
            "certificate.ca_days: found 30, less than certificate.days; write at least 1095",
        ),
        (
            "[certificate]",
            "[certificate]\npolicies = [\"1.3.76.16.6\", \"agIDcert\"]",
            "certificate.policies[1]: found 'agIDcert'; write an object identifier in dotted form, such as 1.3.6.1.4.1.32473.1",
        ),
        (
            "[certificate]",
            "[certificate]\nqc_statements = [\"QcQSCD\"]",
            "certificate.qc_statements[0]: found 'QcQSCD'; write QcCompliance, QcSSCD, QcType esign, QcType eseal, \
          QcCClegislation IT, QcRetentionPeriod 20 or QcPDS en https://…",
        ),
    ];
    for (good, bad, expected) in cases {
        assert_eq!(VALID.matches(good).count(), 1, "{good}");
        assert_eq!(&refusal(&VALID.replace(good, bad)), expected);
    }
}

#[test]
fn a_database_here_or_behind_verified_tls_is_taken() {
    for url in [
        "postgres://csc@localhost/csc",
        "postgres://csc@127.0.0.1/csc?sslmode=disable",
        "postgres://csc@[::1]/csc",
        "postgres://csc@localhost/csc?host=/run/postgresql",
        "postgres://csc@db.example/csc?sslmode=verify-full",
    ] {
        let text = VALID.replace("sqlite:state/csc.db", url);
        read(&text, &[])
            .1
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}

#[test]
fn each_setting_that_weakens_the_service_is_named() {
    let weak = |text: &str| -> Vec<String> {
        let config = read(text, &[]).1.unwrap();
        config
            .weaknesses()
            .into_iter()
            .map(|weak| weak.key)
            .collect()
    };
    let always = ["slot[0].profile", "slot[1].profile"];
    let strong = VALID.replace("outbox = \"outbox\"", "smtp = \"smtps://mail.example\"")
        + "[clock]\nsources = [\"ntp.example\"]\n\
           [terms]\nversion = \"1\"\nfile = \"terms.pdf\"\nurl = \"https://sign.example/terms\"\n\
           [timestamp]\npolicy = \"0.4.0.2023.1.1\"\n";
    assert_eq!(weak(&strong), always);
    let defaults = [
        &always[..],
        &["mail.outbox", "clock.sources", "timestamp.policy", "terms"],
    ]
    .concat();
    assert_eq!(weak(VALID), defaults);
    for (section, key) in [
        ("[sms]\noutbox = \"outbox\"", "sms.outbox"),
        (
            "[lifetime]\nsad = \"31m\"\nauthorization = \"1h\"",
            "lifetime.sad",
        ),
        ("[pin]\nmax_failures = 6", "pin.max_failures"),
        ("[pin]\nalarm_after = 501", "pin.alarm_after"),
        ("[pin.argon2]\nmemory = 19455", "pin.argon2"),
        ("[pin.argon2]\npasses = 1", "pin.argon2"),
        ("[otp]\nmax_failures = 11", "otp.max_failures"),
        ("[otp]\ndrift = 2", "otp.drift"),
        ("[credential]\npuk = \"reset\"", "credential.puk"),
        (
            "[callback]\nprivate_addresses = true",
            "callback.private_addresses",
        ),
        (
            "[audit]\ncheckpoint_every = \"61s\"",
            "audit.checkpoint_every",
        ),
        ("[audit]\ninspect_every = \"25h\"", "audit.inspect_every"),
    ] {
        let found = weak(&format!("{strong}{section}\n"));
        assert_eq!(found, [&always[..], &[key]].concat(), "{section}");
    }
}

#[test]
fn a_missing_section_and_broken_toml_are_named() {
    let (head, _) = VALID.split_once("[mail]").unwrap();
    assert_eq!(refusal(head), "mail: found nothing; add it to the file");
    assert!(
        refusal("[server\n").contains("csc-server.toml: "),
        "{}",
        refusal("[server\n")
    );
    let missing = Config::read(Path::new("/nowhere/csc-server.toml"), HashMap::new()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "/nowhere/csc-server.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn qc_statements_are_read_by_their_names() {
    let statements = r#"qc_statements = ["QcCompliance", "QcType esign", "QcRetentionPeriod 20", "QcPDS it https://sign.example/pds"]"#;
    let config = read(&format!("{VALID}{statements}"), &[]).1.unwrap();
    assert_eq!(
        config.certificate.qc_statements,
        [
            QcStatement::Compliance,
            QcStatement::Type(QcType::Esign),
            QcStatement::RetentionPeriod(20),
            QcStatement::Pds {
                language: "it".into(),
                url: "https://sign.example/pds".parse().unwrap()
            },
        ]
    );
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, config) = read(
        &VALID.replace("/usr/lib/softhsm/libsofthsm2.so", "module.so"),
        &[],
    );
    let config = config.unwrap();
    let write = |name: &str, mode| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    for name in ["tls/server.key", "secrets/holders.pin"] {
        write(name, 0o600);
    }
    for name in ["tls/server.pem", "module.so"] {
        write(name, 0o644);
    }
    let pin = folder.path().join("secrets/issuer.pin");
    let error = config.check_files().unwrap_err().to_string();
    let found = format!(
        "cannot read '{}' (No such file or directory (os error 2))",
        pin.display()
    );
    assert_eq!(
        error,
        format!("slot[1].pin_file: {found}; name a file that this user can read")
    );

    write("secrets/issuer.pin", 0o640);
    let refused = format!(
        "found mode 0640 on '{0}'; run: chmod 600 {0}",
        pin.display()
    );
    assert_eq!(
        config.check_files().unwrap_err().to_string(),
        format!("slot[1].pin_file: {refused}")
    );
    assert_eq!(
        secret::read(&pin).unwrap_err().to_string(),
        format!("{}: {refused}", pin.display())
    );

    write("secrets/issuer.pin", 0o600);
    config.check_files().unwrap();
    assert_eq!(
        secret::read(&pin).unwrap().as_str(),
        "secret",
        "the line's end is not part of the secret"
    );
}

#[test]
fn the_example_configuration_loads_and_shows_the_defaults() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/csc-server.toml");
    let config = Config::read(&example, HashMap::new()).unwrap();
    let Config {
        admin,
        lifetime,
        pin,
        otp,
        credential,
        clock,
        ..
    } = &config;
    assert_eq!(
        format!("{:?}", (admin, lifetime, pin, otp, credential, clock)),
        format!(
            "{:?}",
            (
                Admin::default(),
                Lifetime::default(),
                Pin::default(),
                Otp::default(),
                Credential::default(),
                Clock::default()
            )
        )
    );
    let defaults = Certificate {
        organization: config.certificate.organization.clone(),
        ..Certificate::default()
    };
    assert_eq!(format!("{:?}", config.certificate), format!("{defaults:?}"));
}

#[test]
fn a_time_stamping_authority_is_reached_safely_and_claims_no_more_than_is_watched() {
    let with = |text: &str| refusal(&format!("{VALID}[timestamp]\n{text}\n"));
    assert_eq!(
        with("url = \"http://tsa.example/tsr\""),
        "timestamp.url: found no https; write an https URL; http only to this machine"
    );
    assert_eq!(
        with("url = \"https://user:word@tsa.example/\""),
        "timestamp.url: found a log-in in the URL; write the URL without it"
    );
    assert_eq!(
        with("accuracy = \"1s\""),
        "timestamp.accuracy: found 1 s, less than clock.stop; write at least clock.stop, or lower that"
    );
    assert!(
        with("policy = \"x\"")
            .starts_with("timestamp.policy: found 'x'; write an object identifier")
    );
    let here = format!("{VALID}[timestamp]\nurl = \"http://127.0.0.1:3161/tsr\"\n");
    assert!(read(&here, &[]).1.is_ok());
}

#[test]
fn bounds_of_documents_and_results_let_something_through() {
    let zero = refusal(&format!("{VALID}[document]\nat_once = 0\n"));
    assert_eq!(
        zero,
        "document.at_once: found 0; write a number greater than zero"
    );
    let short = refusal(&format!(
        "{VALID}[lifetime]\nresult = \"2h\"\nlongest_result = \"1h\"\n"
    ));
    assert_eq!(
        short,
        "lifetime.longest_result: found 3600 s, less than lifetime.result; write at least lifetime.result"
    );
}
