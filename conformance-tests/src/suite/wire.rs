//! Requests and answers as they are on the wire, and who carries them.

use std::{future::Future, pin::Pin, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::settings::Trust;

/// What is sent. A TLS handshake is told in the same form: method `TLS`, the version in the body.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, `GET` or `TLS`.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A POST without a body.
    pub fn post(url: String) -> Self {
        Self {
            method: "POST",
            url,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(url: String) -> Self {
        Self {
            method: "GET",
            ..Self::post(url)
        }
    }

    /// A TLS handshake with this version and no other: `1.1`, `1.2` or `1.3`.
    pub fn handshake(url: String, version: &str) -> Self {
        Self {
            method: "TLS",
            body: version.as_bytes().to_vec(),
            ..Self::post(url)
        }
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body and its type.
    pub fn content(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header("Content-Type", media_type);
        request.body = body.into();
        request
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.content("application/json", body.to_string())
    }

    /// With a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.content("application/x-www-form-urlencoded", form.finish())
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status; 0 for a TLS handshake.
    pub status: u16,
    /// Name, in small letters, and value.
    pub headers: Vec<(String, String)>,
    /// The body; of a TLS handshake `accepted` or `refused`, and why.
    pub body: String,
}

impl Answer {
    /// The value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it says that it is JSON.
    pub fn says_json(&self) -> bool {
        let media_type = self.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Boxed, for the one who carries is chosen at run time.
pub type Carried<'w, T> = Pin<Box<dyn Future<Output = Result<T, String>> + 'w>>;

/// The world outside: it carries requests, knows the codes that reach the person, and waits.
pub trait World {
    /// Sends a request and gives the answer, whatever it is.
    fn send<'w>(&'w self, request: &'w Request) -> Carried<'w, Answer>;
    /// A code will be asked for: whatever came before does not count.
    fn expect_code(&self);
    /// The code that reached the person.
    fn code(&self) -> Carried<'_, String>;
    /// Waits, as the server asked.
    fn wait(&self, seconds: u64) -> Carried<'_, ()>;
}

/// HTTPS to the server.
pub(super) struct Https {
    client: reqwest::Client,
    trust: Trust,
}

impl Https {
    pub(super) fn new(trust: Trust) -> Result<Self, String> {
        let client = builder(&trust)?.build();
        let client = client.map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { client, trust })
    }

    pub(super) async fn send(&self, request: &Request) -> Result<Answer, String> {
        if request.method == "TLS" {
            return self.handshake(request).await;
        }
        let method = match request.method {
            "GET" => reqwest::Method::GET,
            _ => reqwest::Method::POST,
        };
        let mut sent = self.client.request(method, &request.url);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let answer = sent.body(request.body.clone()).send().await;
        let answer = answer.map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        });
        let headers = headers.collect();
        let body = answer.bytes().await.map_err(|error| chain(&error))?;
        Ok(Answer {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn handshake(&self, request: &Request) -> Result<Answer, String> {
        let url = Url::parse(&request.url).map_err(|error| error.to_string())?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let outcome = match request.body.as_slice() {
            b"1.1" => old_handshake((host, port)).await,
            b"1.2" => {
                self.pinned(&request.url, reqwest::tls::Version::TLS_1_2)
                    .await
            }
            _ => {
                self.pinned(&request.url, reqwest::tls::Version::TLS_1_3)
                    .await
            }
        };
        let body = match outcome {
            Ok(()) => "accepted".to_owned(),
            Err(why) => format!("refused: {why}"),
        };
        Ok(Answer {
            body,
            ..Answer::default()
        })
    }

    /// A request by this version of TLS and no other.
    async fn pinned(&self, url: &str, version: reqwest::tls::Version) -> Result<(), String> {
        let client = builder(&self.trust)?
            .min_tls_version(version)
            .max_tls_version(version);
        let client = client.build().map_err(|error| chain(&error))?;
        let answer = client.get(url).send().await;
        answer.map(|_| ()).map_err(|error| chain(&error))
    }
}

fn builder(trust: &Trust) -> Result<reqwest::ClientBuilder, String> {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60));
    let Trust::Only(pem) = trust else {
        return Ok(builder);
    };
    let roots = reqwest::Certificate::from_pem_bundle(pem);
    let roots = roots.map_err(|error| format!("the trust anchors are no PEM: {error}"))?;
    Ok(builder.tls_certs_only(roots))
}

/// Offers TLS 1.0 and 1.1 only; a server that answers with a handshake record took one of them.
async fn old_handshake(address: (String, u16)) -> Result<(), String> {
    const HANDSHAKE: u8 = 22;
    let stream = TcpStream::connect(address).await;
    let mut stream = stream.map_err(|error| error.to_string())?;
    let sent = stream.write_all(CLIENT_HELLO_1_1).await;
    sent.map_err(|error| error.to_string())?;
    let mut first = [0];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut first));
    match read.await {
        Ok(Ok(_)) if first == [HANDSHAKE] => Ok(()),
        Ok(Ok(_)) => Err("alert".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// A ClientHello as TLS 1.1 clients sent it (RFC 4346 7.4.1.2): the usual CBC suites with RSA and ECDHE, their curves.
const CLIENT_HELLO_1_1: &[u8] = &[
    22, 3, 1, 0, 75, 1, 0, 0, 71, 3, 2, // record, handshake, client version 1.1
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 0, // random, no session
    0, 12, 0xc0, 0x09, 0xc0, 0x0a, 0xc0, 0x13, 0xc0, 0x14, 0, 0x2f, 0, 0x35, // suites
    1, 0, // no compression
    0, 18, 0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 25, 0, 11, 0, 2, 1, 0, // curves, point format
];

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: String = causes.map(|cause| format!(": {cause}")).collect();
    format!("{error}{causes}")
}
