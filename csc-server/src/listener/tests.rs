use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::get;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

/// A server on a free port that stops when told.
struct Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

fn write_pair(folder: &Path) -> CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("server.pem"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("server.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(
        folder.join("server.key"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    pair.cert.der().clone()
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("server.pem"),
        private_key: folder.join("server.key"),
        ask_clients: false,
    }
}

async fn start(router: Router, limits: Limits) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_pair(folder.path());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), Some(files(folder.path())))
        .await
        .unwrap();
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(listener.serve(router, limits, async {
        stopped.await.ok();
    }));
    Server {
        address,
        folder,
        certificate,
        stop,
        done,
    }
}

fn hello() -> Router {
    Router::new().route(
        "/",
        get(|request: axum::extract::Request| async move {
            let PeerAddress(peer) = request.extensions().get().copied().unwrap();
            format!("{:?} from {}", request.version(), peer.ip())
        }),
    )
}

type Client = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> std::io::Result<Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn get_root(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn tls_1_3_and_1_2_are_served_and_a_request_knows_its_peer() {
    let server = start(hello(), Limits::new(8)).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stream = connect(server.address, &server.certificate, version, &[b"http/1.1"])
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let answer = get_root(stream).await;
        assert!(answer.ends_with("HTTP/1.1 from 127.0.0.1"), "{answer}");
    }
}

#[tokio::test]
async fn tls_1_1_is_refused() {
    let server = start(hello(), Limits::new(8)).await;
    let try_version = async |version: &str| {
        let arguments = [
            "s_client",
            "-cipher",
            "DEFAULT:@SECLEVEL=0",
            version,
            "-connect",
        ];
        let output = tokio::process::Command::new("openssl")
            .args(arguments)
            .arg(server.address.to_string())
            .stdin(std::process::Stdio::null())
            .output();
        output.await.unwrap()
    };
    let old = try_version("-tls1_1").await;
    assert!(!old.status.success());
    let complaint = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(
        complaint.contains("SSL alert number"),
        "the server says why: {complaint}"
    );
    assert!(try_version("-tls1_2").await.status.success());
}

#[tokio::test]
async fn alpn_chooses_http_2_and_http_1_1() {
    let server = start(hello(), Limits::new(8)).await;
    let over_h1 = connect(
        server.address,
        &server.certificate,
        &rustls::version::TLS13,
        &[b"http/1.1"],
    )
    .await
    .unwrap();
    assert!(get_root(over_h1).await.ends_with("HTTP/1.1 from 127.0.0.1"));

    let mut over_h2 = connect(
        server.address,
        &server.certificate,
        &rustls::version::TLS13,
        &[b"h2", b"http/1.1"],
    )
    .await
    .unwrap();
    assert_eq!(over_h2.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    // RFC 9113: preface, empty SETTINGS, HEADERS of stream 1 (GET https://localhost/ in RFC 7541's static table).
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 9],
        b"localhost",
    ];
    over_h2.write_all(&request.concat()).await.unwrap();
    let mut answer = Vec::new();
    let expected = b"HTTP/2.0 from 127.0.0.1";
    while !answer.windows(expected.len()).any(|part| part == expected) {
        let read = timeout(Duration::from_secs(10), over_h2.read_buf(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_listener_without_files_speaks_plain_http() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None)
        .await
        .unwrap();
    let address = listener.local_addr();
    tokio::spawn(listener.serve(hello(), Limits::new(8), std::future::pending()));
    let answer = get_root(TcpStream::connect(address).await.unwrap()).await;
    assert!(answer.ends_with("HTTP/1.1 from 127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_hangup_puts_a_new_certificate_in_place_and_a_broken_one_leaves_the_old() {
    let server = start(hello(), Limits::new(8)).await;
    let hang_up = || {
        let process = std::process::id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-HUP", &process])
                .status()
                .unwrap()
                .success()
        );
    };
    let serves = async |certificate: &CertificateDer<'static>| {
        connect(server.address, certificate, &rustls::version::TLS13, &[])
            .await
            .is_ok()
    };
    // A certificate that is not the key's.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(server.folder.path().join("server.pem"), other.cert.pem()).unwrap();
    hang_up();
    assert!(
        serves(&server.certificate).await,
        "a broken pair must not take the service down"
    );

    let new = write_pair(server.folder.path());
    hang_up();
    tokio::time::timeout(Duration::from_secs(10), async {
        while !serves(&new).await {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the new certificate is served");
    assert!(!serves(&server.certificate).await);
}

#[tokio::test]
async fn a_file_written_anew_is_noticed_once() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    let (_, mut reload) = tls::Tls::load(files(folder.path())).unwrap().split();
    assert!(!reload.changed());
    let key = std::fs::File::options()
        .append(true)
        .open(folder.path().join("server.key"))
        .unwrap();
    key.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(reload.changed());
    assert!(!reload.changed());
}

#[tokio::test]
async fn a_stop_lets_a_request_in_flight_end_and_takes_no_new_connection() {
    let (entered, mut inside) = tokio::sync::mpsc::channel::<()>(1);
    let go_on = Arc::new(tokio::sync::Notify::new());
    let waiting = go_on.clone();
    let router = Router::new().route(
        "/",
        get(move || async move {
            entered.send(()).await.unwrap();
            waiting.notified().await;
            "finished"
        }),
    );
    let server = start(router, Limits::new(8)).await;
    let stream = connect(
        server.address,
        &server.certificate,
        &rustls::version::TLS13,
        &[],
    )
    .await
    .unwrap();
    let idle = connect(
        server.address,
        &server.certificate,
        &rustls::version::TLS13,
        &[],
    )
    .await
    .unwrap();
    let request = tokio::spawn(get_root(stream));
    inside.recv().await.unwrap();
    server.stop.send(()).unwrap();
    // The idle connection is told to end, which shows that the stop has been taken.
    let mut idle = idle;
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.done.is_finished());
    go_on.notify_one();
    assert!(request.await.unwrap().ends_with("finished"));
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_limit() {
    let (entered, mut inside) = tokio::sync::mpsc::channel::<()>(1);
    let router = Router::new().route(
        "/",
        get(move || async move {
            entered.send(()).await.unwrap();
            std::future::pending::<()>().await
        }),
    );
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::new(8)
    };
    let server = start(router, limits).await;
    let mut stream = connect(
        server.address,
        &server.certificate,
        &rustls::version::TLS13,
        &[],
    )
    .await
    .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    inside.recv().await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server.done)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let (inside, peak) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (now, most) = (inside.clone(), peak.clone());
    let router = Router::new().route(
        "/",
        get(move || async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            "done"
        }),
    );
    let server = start(router, Limits::new(2)).await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (address, certificate) = (server.address, server.certificate.clone());
        clients.spawn(async move {
            get_root(
                connect(address, &certificate, &rustls::version::TLS13, &[])
                    .await
                    .unwrap(),
            )
            .await
        });
    }
    for answer in clients.join_all().await {
        assert!(answer.ends_with("done"), "{answer}");
    }
    assert!(peak.load(Ordering::SeqCst) <= 2, "{peak:?}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_let_go() {
    let short = Duration::from_millis(50);
    let server = start(
        hello(),
        Limits {
            handshake: short,
            head: short,
            ..Limits::new(8)
        },
    )
    .await;
    let deadline = Duration::from_secs(10);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(
        timeout(deadline, silent.read(&mut [0]))
            .await
            .unwrap()
            .unwrap_or(0),
        0,
        "no handshake"
    );
    for alpn in [b"http/1.1".as_slice(), b"h2"] {
        let mut silent = connect(
            server.address,
            &server.certificate,
            &rustls::version::TLS13,
            &[alpn],
        )
        .await
        .unwrap();
        // What the server says at once (HTTP/2 settings) is no sign of the end.
        let ended = timeout(deadline, async {
            while silent.read(&mut [0; 64]).await.unwrap_or(0) > 0 {}
        })
        .await;
        assert!(ended.is_ok(), "{}", String::from_utf8_lossy(alpn));
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("server.pem"), other.cert.pem()).unwrap();
    let error = Listener::bind(([127, 0, 0, 1], 0).into(), Some(files(folder.path())))
        .await
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("not the certificate of the key in"),
        "{error}"
    );
}
