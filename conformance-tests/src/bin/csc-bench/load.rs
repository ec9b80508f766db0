//! The client: connections that send ready requests and wait for each answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
    header,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::cpu;

/// What is sent, and how many times in a row.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    pub(crate) times: usize,
}

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) pid: u32,
    tls: Arc<ClientConfig>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many answers of each status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How long each answer with 200 took, in microseconds, sorted.
    pub(crate) latencies: Vec<u64>,
    pub(crate) seconds: f64,
    /// CPU seconds of the service, and of this client.
    pub(crate) server_cpu: f64,
    pub(crate) client_cpu: f64,
}

impl Outcome {
    pub(crate) fn accepted(&self) -> f64 {
        self.latencies.len() as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted() / self.seconds
    }

    /// Milliseconds of the service's CPU for each answer with 200.
    pub(crate) fn cost(&self) -> f64 {
        1000.0 * self.server_cpu / self.accepted()
    }

    /// Milliseconds that this share of the answers did not exceed.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let index = (self.latencies.len() as f64 * share) as usize;
        let index = index.min(self.latencies.len().saturating_sub(1));
        self.latencies
            .get(index)
            .map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
    }

    /// Stops the run when something other than 200 came back.
    pub(crate) fn all_accepted(self, what: &str) -> Self {
        assert!(
            self.statuses.keys().all(|status| *status == 200),
            "{what}: {:?}",
            self.statuses
        );
        self
    }
}

impl Target {
    /// A service whose certificate is in this file; HTTP/2 when asked for.
    pub(crate) fn new(address: SocketAddr, certificate: &Path, token: String, pid: u32) -> Self {
        let trusted =
            CertificateDer::from_pem_file(certificate).expect("the certificate of the service");
        let mut roots = RootCertStore::empty();
        roots.add(trusted).expect("a certificate");
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address,
            token,
            pid,
            tls: Arc::new(tls),
        }
    }

    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address)
            .await
            .expect("the service takes connections");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .expect("TLS")
    }

    async fn http1(&self) -> http1::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect(b"http/1.1").await);
        let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        sender
    }

    /// A connection that many requests share.
    pub(crate) async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect(b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    /// An idle connection.
    pub(crate) async fn idle(&self) -> http1::SendRequest<Full<Bytes>> {
        self.http1().await
    }

    pub(crate) fn request(&self, work: &Work) -> Request<Full<Bytes>> {
        Request::post(format!("https://localhost{}", work.path))
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(work.body.clone()))
            .expect("a request")
    }

    /// Sends all work over so many connections, each taking the next piece when it is done with one.
    pub(crate) async fn run(&self, work: Vec<Work>, connections: usize, http2: bool) -> Outcome {
        let work = Arc::new(Mutex::new(work.into_iter()));
        let mut senders = Vec::new();
        for _ in 0..connections {
            senders.push(match http2 {
                true => Sender::Http2(self.http2().await),
                false => Sender::Http1(self.http1().await),
            });
        }
        let meter = Meter::start(self.pid);
        let mut tasks = JoinSet::new();
        for mut sender in senders {
            let (target, work) = (self.clone(), work.clone());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                loop {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(piece) = next else { return answers };
                    for _ in 0..piece.times {
                        let sent = Instant::now();
                        let status = sender.send(target.request(&piece)).await;
                        answers.push((status, sent.elapsed()));
                    }
                }
            });
        }
        let answers = tasks.join_all().await.into_iter().flatten();
        meter.stop(answers)
    }

    /// Sends this piece so many times a second, whether answers come or not, over a few HTTP/2 connections.
    pub(crate) async fn offer(&self, work: Vec<Work>, rate: f64) -> Outcome {
        let mut senders = Vec::new();
        for _ in 0..4 {
            senders.push(self.http2().await);
        }
        let meter = Meter::start(self.pid);
        let mut tasks = JoinSet::new();
        let pieces = work
            .into_iter()
            .flat_map(|piece| std::iter::repeat_n(piece.clone(), piece.times));
        for (index, (piece, sender)) in pieces.zip(senders.iter().cycle()).enumerate() {
            let due = meter.start + Duration::from_secs_f64(index as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            let (request, mut sender) = (self.request(&piece), Sender::Http2(sender.clone()));
            tasks.spawn(async move {
                let sent = Instant::now();
                (sender.send(request).await, sent.elapsed())
            });
        }
        let answers = tasks.join_all().await;
        meter.stop(answers.into_iter())
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> u16 {
        let answer = match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        };
        let answer: hyper::Response<Incoming> = answer.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a whole answer");
        assert!(
            status != 200 || !body.to_bytes().is_empty(),
            "an empty answer"
        );
        status
    }
}

/// Watches clocks from the first request to the last answer.
struct Meter {
    pid: u32,
    start: Instant,
    server: Duration,
    client: Duration,
}

impl Meter {
    fn start(pid: u32) -> Self {
        let (server, client) = (cpu::of(pid), cpu::own());
        Self {
            pid,
            start: Instant::now(),
            server,
            client,
        }
    }

    fn stop(self, answers: impl Iterator<Item = (u16, Duration)>) -> Outcome {
        let mut outcome = Outcome {
            seconds: self.start.elapsed().as_secs_f64(),
            server_cpu: cpu::of(self.pid).saturating_sub(self.server).as_secs_f64(),
            client_cpu: cpu::own().saturating_sub(self.client).as_secs_f64(),
            ..Outcome::default()
        };
        for (status, took) in answers {
            *outcome.statuses.entry(status).or_default() += 1;
            if status == 200 {
                outcome
                    .latencies
                    .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
        outcome.latencies.sort_unstable();
        outcome
    }
}
