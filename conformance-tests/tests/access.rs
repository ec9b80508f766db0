//! Who gets what: one table of route × caller. The routes are the server's own list (`csc-server routes`), so that a new one without a row fails.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::{collections::BTreeSet, fs};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Answer, Client, Digest, Holder, ROLES, Signer, Staff, TestBed, V1, V2, Version, digest, shared,
    until,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Who calls: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Without any token.
    Nobody,
    /// A client that may not see the holder, with its service token.
    WrongClient,
    /// A client that may see the holder, with its service token and no approval of its own.
    Client,
    /// A holder, with the credential of another one.
    Another,
    /// The holder.
    Holder,
    /// An operator of a role, with the token of his session.
    Operator(&'static str),
}
use Caller::{Another, Holder as TheHolder, Nobody, Operator, WrongClient};

/// What the holder's request of a route is; every caller sends the same, about the holder's things.
#[derive(Clone, Copy)]
enum Asks {
    /// No body.
    Page,
    /// `{}`.
    Nothing,
    LogIn,
    Revoke,
    List,
    OfCredential,
    SendOtp,
    Challenge,
    Authorize,
    /// With a handle that was never given out: one that was is in question.rs.
    Check,
    Extend,
    SignHash,
    Stamp,
    SignDoc,
    Poll,
    ClientCredentials,
    RevokeAsClient,
}

/// `header` stands for the words of the version about a missing bearer token.
const HEADER: &str = "400 header";
const NOT_HIS: &str = "400 Invalid parameter credentialID";
const NO_HANDLE: &str = "400 Invalid parameter handle";
const NO_TOKEN: &str = "401 The token provided is not a valid OAuth access or refresh token.";
const NOT_BASIC: &str = "401 login";
const NO_CLIENT: &str = "401 Invalid authorization header";
const UNKNOWN: &str = "400 Invalid string parameter token";
const SERVED_LATER: &str = "501 This method is not implemented";

/// A row: what the route is asked, and what nobody, the wrong client, the right client without approval, another holder, the holder, and
/// operators get.
type Row = (&'static str, &'static str, Asks, [&'static str; 6]);

/// Routes of both versions, below `/csc/v1` and `/csc/v2`.
const BOTH: [Row; 9] = [
    ("POST", "info", Asks::Nothing, ["200"; 6]),
    (
        "POST",
        "auth/login",
        Asks::LogIn,
        [NOT_BASIC, NOT_BASIC, NOT_BASIC, "200", "200", NOT_BASIC],
    ),
    (
        "POST",
        "auth/revoke",
        Asks::Revoke,
        [HEADER, UNKNOWN, UNKNOWN, UNKNOWN, "204", NO_TOKEN],
    ),
    (
        "POST",
        "credentials/list",
        Asks::List,
        [
            HEADER,
            "400 Invalid parameter userID",
            "200",
            "200",
            "200",
            NO_TOKEN,
        ],
    ),
    (
        "POST",
        "credentials/info",
        Asks::OfCredential,
        [HEADER, NOT_HIS, "200", NOT_HIS, "200", NO_TOKEN],
    ),
    (
        "POST",
        "credentials/authorize",
        Asks::Authorize,
        [HEADER, NOT_HIS, "200", NOT_HIS, "200", NO_TOKEN],
    ),
    (
        "POST",
        "credentials/extendTransaction",
        Asks::Extend,
        [HEADER, NOT_HIS, SAD, NOT_HIS, "200", NO_TOKEN],
    ),
    (
        "POST",
        "signatures/signHash",
        Asks::SignHash,
        [HEADER, NOT_HIS, SAD, NOT_HIS, "200", NO_TOKEN],
    ),
    (
        "POST",
        "signatures/timestamp",
        Asks::Stamp,
        [HEADER, "200", "200", "200", "200", NO_TOKEN],
    ),
];
/// The holder's SAD, presented by a client that it was not given to.
const SAD: &str = "400 Invalid parameter SAD";

/// Where metadata of the authorization server are.
const WELL_KNOWN: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];
/// What a service token is not for: the holder agrees to each on a page, as credential_life.rs shows.
const ANOTHER_SCOPE: [&str; 6] = [
    HEADER,
    NOT_FOR_THIS,
    NOT_FOR_THIS,
    NOT_FOR_THIS,
    NOT_FOR_THIS,
    NO_TOKEN,
];
const NOT_FOR_THIS: &str = "403 The client is not authorized to use this method.";
/// Without a client there is nobody to go back to.
const PUSH: [&str; 6] = [
    "400 Missing parameter client_id",
    "400 Invalid parameter redirect_uri",
    "400 Invalid parameter redirect_uri",
    NO_CLIENT,
    NO_CLIENT,
    NO_CLIENT,
];
const REVOKE: [&str; 6] = [
    "400 Missing parameter client_id",
    UNKNOWN,
    "204",
    NO_CLIENT,
    NO_CLIENT,
    NO_CLIENT,
];

/// Routes with their whole path.
const SINGLE: &[Row] = &[
    ("GET", "/approve/{link}", Asks::Page, ["404"; 6]),
    ("POST", "/approve/{link}", Asks::Nothing, ["403"; 6]),
    (
        "POST",
        "/csc/v2/credentials/authorizeCheck",
        Asks::Check,
        [HEADER, NO_HANDLE, NO_HANDLE, NO_HANDLE, NO_HANDLE, NO_TOKEN],
    ),
    (
        "POST",
        "/csc/v2/credentials/create",
        Asks::Nothing,
        ANOTHER_SCOPE,
    ),
    (
        "POST",
        "/csc/v2/credentials/delete",
        Asks::Nothing,
        ANOTHER_SCOPE,
    ),
    (
        "POST",
        "/csc/v2/signatures/signPolling",
        Asks::Poll,
        [
            HEADER,
            "400 Invalid parameter \"userID\"",
            "400 Invalid parameter requestID",
            "400 Invalid parameter requestID",
            "200",
            NO_TOKEN,
        ],
    ),
    (
        "POST",
        "/csc/v2/signatures/signDoc",
        Asks::SignDoc,
        [HEADER, NOT_HIS, SAD, NOT_HIS, "200", NO_TOKEN],
    ),
    (
        "POST",
        "/csc/v1/credentials/sendOTP",
        Asks::SendOtp,
        [HEADER, NOT_HIS, "204", NOT_HIS, "204", NO_TOKEN],
    ),
    (
        "POST",
        "/csc/v2/credentials/getChallenge",
        Asks::Challenge,
        [HEADER, NOT_HIS, "204", NOT_HIS, "204", NO_TOKEN],
    ),
    (
        "POST",
        "/oauth2/token",
        Asks::ClientCredentials,
        [
            "400 Missing parameter client_id",
            "200",
            "200",
            NO_CLIENT,
            NO_CLIENT,
            NO_CLIENT,
        ],
    ),
    (
        "POST",
        "/oauth2/revoke",
        Asks::RevokeAsClient,
        [
            "400 Missing parameter client_id",
            UNKNOWN,
            "204",
            NO_CLIENT,
            NO_CLIENT,
            NO_CLIENT,
        ],
    ),
    ("GET", "/oauth2/authorize", Asks::Page, ["400"; 6]),
    ("GET", "//oauth2/authorize", Asks::Page, ["400"; 6]),
    (
        "POST",
        "/oauth2/pushed_authorize",
        Asks::ClientCredentials,
        PUSH,
    ),
    (
        "POST",
        "//oauth2/pushed_authorize",
        Asks::ClientCredentials,
        PUSH,
    ),
    (
        "POST",
        "//oauth2/token",
        Asks::ClientCredentials,
        [
            "400 Missing parameter client_id",
            "200",
            "200",
            NO_CLIENT,
            NO_CLIENT,
            NO_CLIENT,
        ],
    ),
    ("POST", "//oauth2/revoke", Asks::RevokeAsClient, REVOKE),
    ("POST", "/revoke", Asks::RevokeAsClient, REVOKE),
    ("GET", WELL_KNOWN[0], Asks::Page, ["200"; 6]),
    ("GET", WELL_KNOWN[1], Asks::Page, ["200"; 6]),
    ("GET", "/openapi.json", Asks::Page, ["200"; 6]),
    // A page knows a browser's cookie and no token.
    ("GET", "/portal", Asks::Page, ["303"; 6]),
    ("GET", "/portal/mandates", Asks::Page, ["303"; 6]),
    ("POST", "/portal/mandates", Asks::Nothing, ["403"; 6]),
    ("GET", "/authorize", Asks::Page, ["400"; 6]),
    ("POST", "/authorize", Asks::Nothing, ["403"; 6]),
    ("GET", "/portal/login", Asks::Page, ["200"; 6]),
    ("POST", "/portal/login", Asks::Nothing, ["403"; 6]),
    ("POST", "/portal/logout", Asks::Nothing, ["403"; 6]),
    ("GET", "/portal/style.css", Asks::Page, ["200"; 6]),
    ("GET", "/portal/icon.svg", Asks::Page, ["200"; 6]),
    ("GET", "/healthz", Asks::Page, ["200"; 6]),
    ("GET", "/readyz", Asks::Page, ["200"; 6]),
    ("GET", "/metrics", Asks::Page, ["200"; 6]),
];

/// Who and what the table is tried with.
struct World<'a> {
    bed: &'a TestBed,
    signer: Signer<'a>,
    another: Holder,
    another_token: String,
    client: Client,
    client_token: String,
    wrong: Client,
    wrong_token: String,
}

#[tokio::test]
async fn every_route_answers_every_caller_as_the_table_says() {
    let bed = shared().await;
    let world = World::new(bed).await;
    let printed = bed.cli(&["routes"], &[]).expect("routes");
    let (mut wrong, mut seen) = (String::new(), BTreeSet::new());
    for line in printed.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(listener), Some(method), Some(path)) = (words.next(), words.next(), words.next())
        else {
            panic!("not a route: {line}");
        };
        let (asks, expected) = match (method.as_str(), row(&method, &path)) {
            (_, Some((asks, expected))) => (asks, expected),
            ("ANY", None) if path.starts_with("/csc/") => (Asks::Nothing, [SERVED_LATER; 6]),
            (_, None) => {
                wrong += &format!("\n{method} {path} has no row");
                continue;
            }
        };
        seen.insert((method.clone(), path.clone()));
        let callers = [Nobody, WrongClient, Caller::Client, Another, TheHolder];
        let people = callers.into_iter().zip(expected);
        let operators = ROLES.iter().map(|role| (Operator(role), expected[5]));
        for (caller, expected) in people.chain(operators) {
            let answer = world.ask(&listener, &method, &path, asks, caller).await;
            let found = said(&path, &answer);
            if found != expected {
                wrong +=
                    &format!("\n{method} {path}, {caller:?}: expected {expected}, found {found}");
            }
            let told = answer.text.contains(&world.signer.credential.id);
            if told && !matches!(caller, Caller::Client | TheHolder) {
                wrong += &format!("\n{method} {path} tells {caller:?} of the credential");
            }
        }
    }
    for (method, path) in rows().filter(|row| !seen.contains(row)) {
        wrong += &format!("\n{method} {path} is in the table and not served");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Every row by method and path.
fn rows() -> impl Iterator<Item = (String, String)> {
    let both = BOTH.iter().flat_map(|(method, path, ..)| {
        [V1, V2].map(|version| ((*method).to_owned(), version.path(path)))
    });
    both.chain(
        SINGLE
            .iter()
            .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())),
    )
}

fn row(method: &str, path: &str) -> Option<(Asks, [&'static str; 6])> {
    let of_both = |row: &&Row| [V1, V2].iter().any(|version| version.path(row.1) == path);
    let found = BOTH
        .iter()
        .find(of_both)
        .filter(|row| row.0 == method)
        .or_else(|| SINGLE.iter().find(|row| (row.0, row.1) == (method, path)))?;
    Some((found.2, found.3))
}

/// Status, and the words of a refusal.
fn said(path: &str, answer: &Answer) -> String {
    let Some(text) = answer.body.get("error_description").and_then(Value::as_str) else {
        return answer.status.to_string();
    };
    let version = version_of(path);
    let header = text == version.header_error()
        || text.contains("a REQUIRED parameter")
        || text == "Malformed authroization header.";
    let words = match text {
        _ if header => "header",
        _ if text.starts_with("Malformed authentication parameter") => "login",
        text => text,
    };
    format!("{} {words}", answer.status)
}

fn version_of(path: &str) -> Version {
    if path.starts_with("/csc/v1/") { V1 } else { V2 }
}

impl<'a> World<'a> {
    async fn new(bed: &'a TestBed) -> Self {
        let (client, wrong, another) = (bed.client(), bed.client(), bed.holder());
        let signer = bed.signer().await;
        bed.link(&client, &signer.holder);
        for role in ROLES {
            bed.staff().hire(Staff::of_role(role));
        }
        Self {
            another_token: bed.log_in(&another).await,
            client_token: bed.client_token(&client).await,
            wrong_token: bed.client_token(&wrong).await,
            bed,
            signer,
            another,
            client,
            wrong,
        }
    }

    async fn ask(
        &self,
        listener: &str,
        method: &str,
        path: &str,
        asks: Asks,
        caller: Caller,
    ) -> Answer {
        let api = match listener {
            "admin" => self.bed.admin(),
            _ => self.bed.api(),
        };
        let method = match method {
            "GET" => Method::GET,
            _ => Method::POST,
        };
        let request = self.known_as(api.request(method, path), asks, caller);
        let version = version_of(path);
        let request = match asks {
            Asks::Page => request,
            Asks::ClientCredentials => request.form(&[("grant_type", "client_credentials")]),
            Asks::RevokeAsClient => {
                let token = self.bed.client_token(&self.client).await;
                request.form(&[("token", token)])
            }
            _ => request.json(&self.body(version, asks, caller).await),
        };
        let answer = api.send(request).await;
        if answer.status == 204 && matches!(asks, Asks::SendOtp | Asks::Challenge) {
            self.signer.holder.next_code().await;
        }
        answer
    }

    /// The request with what this caller has to show for himself.
    fn known_as(&self, request: RequestBuilder, asks: Asks, caller: Caller) -> RequestBuilder {
        let as_client = matches!(asks, Asks::ClientCredentials | Asks::RevokeAsClient);
        match (caller, asks) {
            (Nobody, _) => request,
            (WrongClient, _) if as_client => {
                request.basic_auth(&self.wrong.id, Some(&self.wrong.secret))
            }
            (Caller::Client, _) if as_client => {
                request.basic_auth(&self.client.id, Some(&self.client.secret))
            }
            (Another, Asks::LogIn) => {
                request.basic_auth(&self.another.name, Some(&self.another.password))
            }
            (TheHolder, Asks::LogIn) => {
                let holder = &self.signer.holder;
                request.basic_auth(&holder.name, Some(&holder.password))
            }
            (caller, _) => request.bearer_auth(self.token(caller)),
        }
    }

    fn token(&self, caller: Caller) -> String {
        match caller {
            Nobody => String::new(),
            WrongClient => self.wrong_token.clone(),
            Caller::Client => self.client_token.clone(),
            Another => self.another_token.clone(),
            TheHolder => self.signer.token.clone(),
            Operator(role) => {
                let session = self.bed.staff().session(Staff::of_role(role));
                let session = fs::read_to_string(session).expect("an operator's session");
                session.trim().to_owned()
            }
        }
    }

    async fn body(&self, version: Version, asks: Asks, caller: Caller) -> Value {
        let hashes: [Digest; 2] = [digest("one"), digest("two")];
        let signer = &self.signer;
        let credential = json!({"credentialID": signer.credential.id});
        match asks {
            Asks::Revoke => json!({"token": self.bed.log_in(&signer.holder).await}),
            Asks::List if matches!(caller, WrongClient | Caller::Client) => {
                json!({"userID": signer.holder.name})
            }
            Asks::OfCredential | Asks::SendOtp => credential,
            Asks::Check => json!({"handle": "unknown"}),
            Asks::Challenge => json!({"credentialID": signer.credential.id, "authObjectID": "OTP"}),
            Asks::Authorize => {
                let code = self.code(caller).await;
                signer.authorization(version, &hashes, 2, &code)
            }
            Asks::Stamp => {
                json!({"hash": STANDARD.encode(hashes[0]), "hashAlgo": "2.16.840.1.101.3.4.2.1"})
            }
            Asks::Poll => self.poll(caller).await,
            Asks::SignDoc => {
                let sad = signer.sad(version, &hashes[..1]).await;
                let document = json!({"document": STANDARD.encode("one"), "signature_format": "C", "signAlgo": "1.2.840.10045.4.3.2"});
                json!({"credentialID": signer.credential.id, "SAD": sad, "documents": [document]})
            }
            Asks::Extend | Asks::SignHash => {
                let sad = signer.sad(version, &hashes).await;
                match asks {
                    Asks::Extend => signer.extension(version, &sad, &hashes),
                    _ => signer.order(version, &sad, &hashes[..1]),
                }
            }
            _ => json!({}),
        }
    }

    /// What asks for the signature of an operation that the holder began, once it has ended.
    async fn poll(&self, caller: Caller) -> Value {
        let signer = &self.signer;
        let hashes = [digest("polled")];
        let sad = signer.sad(V2, &hashes).await;
        let mut order = signer.order(V2, &sad, &hashes);
        order["operationMode"] = json!("A");
        let begun = signer.call(V2, "signatures/signHash", order).await;
        let mut body = json!({"requestID": begun.text_of("responseID")});
        until("the operation to end", async || {
            let answer = signer
                .call(V2, "signatures/signPolling", body.clone())
                .await;
            (answer.status == 200).then_some(())
        })
        .await;
        if matches!(caller, WrongClient | Caller::Client) {
            body["userID"] = json!(signer.holder.name);
        }
        body
    }

    /// A code that this caller had sent to the holder, where he may.
    async fn code(&self, caller: Caller) -> String {
        if !matches!(caller, Caller::Client | TheHolder) {
            return "12345678".to_owned();
        }
        let body = json!({"credentialID": self.signer.credential.id});
        let sent = self
            .bed
            .api()
            .call(V1, "credentials/sendOTP", &self.token(caller), body)
            .await;
        sent.done();
        self.signer.holder.next_code().await
    }
}
