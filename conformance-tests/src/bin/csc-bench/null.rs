//! An endpoint that answers without doing anything, in a process of its own: what the client costs by itself.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The endpoint, until it is dropped.
pub(crate) struct Endpoint {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    /// Starts it with the certificate and key of a test bed.
    pub(crate) fn start(tls: &Path) -> Self {
        let this = env::current_exe().expect("a program knows its own file");
        let mut child = Command::new(this);
        child.arg("null").arg(tls).stdout(Stdio::piped());
        let mut child = child.spawn().expect("the null endpoint starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its address");
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of the endpoint: prints its address.
#[expect(clippy::print_stdout, reason = "its answer")]
pub(crate) async fn run(tls: &Path) {
    let chain = vec![CertificateDer::from_pem_file(tls.join("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(tls.join("server.key")).expect("its key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    request.into_body().collect().await?;
    // As long as the answer of signHash with one signature of RSA-3072.
    Ok(Response::new(Full::new(Bytes::from_static(&[b'0'; 535]))))
}
