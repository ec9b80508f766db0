//! Holders, one-time codes, credentials and clients, made as an operator makes them: on the command line.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::{
    bed::{TestBed, write},
    binary::Run,
    canary,
    mail::Inbox,
    wire::V1,
};

/// A person with a password.
pub struct Holder {
    /// The log-in.
    pub name: String,
    /// The password.
    pub password: String,
    /// A telephone number, which the service does not know by itself.
    pub number: String,
    inbox: Inbox,
}

/// A way for one-time codes to reach a holder.
pub struct Otp {
    /// The identifier on the command line.
    pub id: String,
}

/// An authenticator app of a holder.
pub struct Totp {
    /// The identifier on the command line.
    pub id: String,
    app: totp_rs::Totp,
}

/// An authenticator app of an operator, who never types a code twice.
pub(crate) struct App {
    app: totp_rs::Totp,
    next: u64,
}

/// A token that counts, as its maker delivers it.
pub struct Token {
    /// What stands on its back.
    pub serial: String,
    /// The line of the maker's file.
    pub line: String,
    device: totp_rs::Totp,
}

/// A signing key under a PIN.
pub struct Credential {
    /// The `credentialID`.
    pub id: String,
    /// The PIN.
    pub pin: String,
    /// The PUK, shown once, where credentials are made with one.
    pub puk: Option<String>,
}

/// What a credential is made with.
pub struct KeySpec<'a> {
    /// The key type on the command line: `p256`, `rsa-3072`.
    pub key: &'a str,
    /// How many signatures one authorization may allow.
    pub multisign: u32,
}

/// An application with a secret.
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`.
    pub secret: String,
}

impl TestBed {
    /// A new holder.
    pub fn holder(&self) -> Holder {
        let name = format!("holder-{}", random_hex(4));
        let password = canary::register(format!("canary-{}", random_hex(12)));
        let address = format!("{name}@example.test");
        let arguments = [
            "holder",
            "add",
            "--user",
            &name,
            "--given-name",
            "Alice",
            "--surname",
            "Rossi",
        ];
        let rest = ["--email", &address, "--language", "en"];
        let printed = self
            .cli(&[&arguments[..], &rest].concat(), &[&password])
            .expect("holder add");
        value_of(&printed, "holder");
        Holder {
            name,
            password,
            number: format!("+39333{}", random_digits(7)),
            inbox: Inbox::new(self.dir().join("outbox"), address),
        }
    }

    /// Codes by mail.
    pub fn mail_otp(&self, holder: &Holder) -> Otp {
        let printed = self
            .cli(
                &["otp", "add", "--holder", &holder.name, "--kind", "mail"],
                &[],
            )
            .expect("otp add");
        Otp {
            id: value_of(&printed, "otp"),
        }
    }

    /// Codes by SMS.
    pub fn sms_otp(&self, holder: &Holder) -> Otp {
        let arguments = ["otp", "add", "--holder", &holder.name, "--kind", "sms"];
        let number = ["--number", &holder.number];
        let printed = self.cli(&[&arguments[..], &number].concat(), &[]);
        Otp {
            id: value_of(&printed.expect("otp add"), "otp"),
        }
    }

    /// Takes tokens in, from a file as makers deliver it.
    pub fn import(&self, tokens: &[&Token]) -> Run {
        let lines = tokens.iter().map(|token| format!("{}\n", token.line));
        let text = format!("serial,seed,digits,counter\n{}", lines.collect::<String>());
        self.import_file("csv", &text, &[])
    }

    /// Takes tokens in, from a file of this format and text.
    pub fn import_file(&self, format: &str, text: &str, arguments: &[&str]) -> Run {
        let file = self.secret_file(text);
        let import = ["otp", "import", "--format", format, &file];
        self.cli(&[&import[..], arguments].concat(), &[])
    }

    /// The path of a file that nobody else may read.
    pub fn secret_file(&self, text: &str) -> String {
        let path = self.dir().join(format!("secret-{}", random_hex(8)));
        write(&path, text);
        path.to_string_lossy().into_owned()
    }

    /// Hands an imported token out.
    pub fn assign(&self, token: &Token, holder: &Holder) -> Otp {
        let arguments = ["otp", "assign", "--serial", &token.serial];
        let printed = self.cli(&[&arguments[..], &["--holder", &holder.name]].concat(), &[]);
        Otp {
            id: value_of(&printed.expect("otp assign"), "otp"),
        }
    }

    /// Codes of an authenticator app.
    pub fn totp(&self, holder: &Holder) -> Totp {
        self.totp_with(holder, &[])
    }

    /// Codes of an authenticator app, with these arguments more.
    pub fn totp_with(&self, holder: &Holder, arguments: &[&str]) -> Totp {
        let add = ["otp", "add", "--holder", &holder.name, "--kind", "totp"];
        let printed = self
            .cli(&[&add[..], arguments].concat(), &[])
            .expect("otp add");
        Totp {
            id: value_of(&printed, "otp"),
            app: app_of(&printed),
        }
    }

    /// A new key pair with its certificate, under a new PIN.
    pub fn credential(&self, holder: &Holder, otp: &str, spec: &KeySpec) -> Credential {
        self.credential_as("explicit", holder, otp, spec)
    }

    /// The same, authorised in this way.
    pub fn credential_as(
        &self,
        mode: &str,
        holder: &Holder,
        otp: &str,
        spec: &KeySpec,
    ) -> Credential {
        let pin = canary::register(random_pin(holder));
        let multisign = spec.multisign.to_string();
        let arguments = [
            "credential",
            "add",
            "--holder",
            &holder.name,
            "--otp",
            otp,
            "--key",
            spec.key,
        ];
        let rest = [
            "--mode",
            mode,
            "--multisign",
            &multisign,
            "--description",
            "Signing key under test",
        ];
        let printed = self
            .cli(&[&arguments[..], &rest].concat(), &[&pin])
            .expect("credential add");
        Credential {
            id: value_of(&printed, "credential"),
            puk: find_value(&printed, "puk").map(canary::register),
            pin,
        }
    }

    /// A new client.
    pub fn client(&self) -> Client {
        let id = format!("client-{}", random_hex(4));
        let printed = self
            .cli(
                &[
                    "client",
                    "add",
                    "--id",
                    &id,
                    "--name",
                    "Example Signing App",
                ],
                &[],
            )
            .expect("client add");
        Client {
            secret: canary::register(value_of(&printed, "secret")),
            id,
        }
    }

    /// A new client with this registration (TOML), whose secret is empty when it has none.
    pub fn client_from(&self, registration: &str) -> Client {
        let id = format!("client-{}", random_hex(4));
        let file = self.secret_file(registration);
        let arguments = ["client", "add", "--id", &id, "--from", &file];
        let printed = self.cli(&arguments, &[]).expect("client add");
        let secret = find_value(&printed, "secret").map(canary::register);
        Client {
            secret: secret.unwrap_or_default(),
            id,
        }
    }

    /// Lets a client see a holder's credentials.
    pub fn link(&self, client: &Client, holder: &Holder) {
        self.cli(
            &[
                "client",
                "link",
                "--client",
                &client.id,
                "--holder",
                &holder.name,
            ],
            &[],
        )
        .expect("client link");
    }

    /// An access token of a client, by client credentials.
    pub async fn client_token(&self, client: &Client) -> String {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &client.id),
            ("client_secret", &client.secret),
        ];
        let granted = self.api().form("/oauth2/token", &fields).await;
        granted.text_of("access_token")
    }

    /// An access token by HTTP Basic.
    pub async fn log_in(&self, holder: &Holder) -> String {
        self.api()
            .login(V1, &holder.name, &holder.password, json!({}))
            .await
            .text_of("access_token")
    }
}

impl Credential {
    /// The PUK of a credential that has one.
    pub fn puk(&self) -> &str {
        self.puk.as_deref().expect("a credential with a PUK")
    }
}

impl Holder {
    /// The code in the next unread mail.
    pub async fn next_code(&self) -> String {
        self.inbox.next_code().await
    }

    /// The path of the page that the next unread mail leads to.
    pub async fn next_link(&self) -> String {
        self.inbox.next_link().await
    }

    /// How many mails this holder has got.
    pub fn mails(&self) -> usize {
        self.inbox.count()
    }
}

impl Totp {
    /// The code of now, or of some steps of 30 seconds from now.
    pub fn code(&self, steps: i64) -> String {
        let code = self.app.generate(now().saturating_add_signed(30 * steps));
        canary::register(code.to_string())
    }
}

impl App {
    pub(crate) fn new(app: totp_rs::Totp) -> Self {
        Self { app, next: 0 }
    }

    /// The code of now, or, when that was typed, of the step after: an app may be a step early.
    pub(crate) fn next_code(&mut self) -> String {
        let step = self.next.max(now() / 30);
        self.next = step + 1;
        canary::register(self.app.generate(30 * step).to_string())
    }
}

/// The app that scans what a command printed.
pub(crate) fn app_of(printed: &str) -> totp_rs::Totp {
    let uri = printed
        .lines()
        .find_map(|line| line.find("otpauth://").map(|at| line.split_at(at).1.trim()));
    let uri = uri.unwrap_or_else(|| panic!("no otpauth:// line in:\n{printed}"));
    if let Some((_, secret)) = uri.split_once("secret=") {
        canary::register(secret.split('&').next().unwrap_or_default());
    }
    totp_rs::Totp::from_url_unchecked(uri).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "an authenticator app goes by the wall clock"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

impl Token {
    /// A new token of six digits.
    pub fn random() -> Self {
        let seed = canary::register(random_hex(20));
        let serial = format!("T{}", random_digits(8));
        let device = totp_rs::Builder::new()
            .with_secret(hex::decode(&seed).expect("hexadecimal"))
            .with_step_duration(1)
            .build();
        Self {
            line: format!("{serial},{seed},6,0"),
            serial,
            device: device.expect("a token"),
        }
    }

    /// The code of a count.
    pub fn code(&self, count: u64) -> String {
        canary::register(self.device.generate(count).to_string())
    }
}

/// The value of a line `name: value`.
pub(crate) fn value_of(printed: &str, name: &str) -> String {
    find_value(printed, name).unwrap_or_else(|| panic!("no line '{name}: …' in:\n{printed}"))
}

fn find_value(printed: &str, name: &str) -> Option<String> {
    let value = printed
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map(|value| value.trim().to_owned())
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).expect("random numbers");
    hex::encode(random)
}

/// Eight digits that are not weak for this holder: one PIN in two thousand would be, two years above all.
fn random_pin(holder: &Holder) -> String {
    let year = |half: &str| half.starts_with("19") || half.starts_with("20");
    let known = [&holder.name, &holder.number].map(|text| {
        let digits = text.chars().filter(char::is_ascii_digit);
        digits.collect::<String>()
    });
    loop {
        let pin = random_digits(8);
        let (first, second) = pin.split_at(4);
        let shared = (0..=2).any(|at| known.iter().any(|text| text.contains(&pin[at..at + 6])));
        if first != second && !(year(first) && year(second)) && !shared {
            return pin;
        }
    }
}

fn random_digits(count: usize) -> String {
    let mut random = vec![0; count];
    getrandom::fill(&mut random).expect("random numbers");
    random
        .iter()
        .map(|byte| char::from(b'0' + byte % 10))
        .collect()
}
