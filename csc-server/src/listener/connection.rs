//! One connection: handshake, protocol, and when it ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{Limits, PeerAddress, PeerCertificate};

pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Connection {
    /// Serves until the peer goes, is idle for too long, or the stop.
    pub(super) async fn serve(mut self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // Answers are one write each: nothing to gain from waiting for more.
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(peer = %self.peer, %cause, "the connection was gone at once");
            return;
        }
        let Some(acceptor) = acceptor else {
            return self.drive(stream, false, None).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.limits.handshake, acceptor.accept(stream)) => handshake,
            _ = self.stopping.wait_for(|stopping| *stopping) => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let h2 = session.alpn_protocol() == Some(b"h2");
                let shown = session.peer_certificates().and_then(<[_]>::first);
                let shown = shown.map(|certificate| PeerCertificate(certificate.as_ref().into()));
                self.drive(stream, h2, shown).await;
            }
            Ok(Err(cause)) => tracing::debug!(peer = %self.peer, %cause, "TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
        }
    }

    /// Speaks the protocol that ALPN chose: guessing it from the first octets would wait for them without a limit.
    async fn drive(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        h2: bool,
        certificate: Option<PeerCertificate>,
    ) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.head)
            .keep_alive_timeout(self.limits.head)
            .max_concurrent_streams(128)
            .max_header_list_size(16 * 1024);
        let builder = if h2 {
            builder.http2_only()
        } else {
            builder.http1_only()
        };

        let requests = Arc::new(Requests::default());
        let (peer, router, counted) = (self.peer, self.router, requests.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            if let Some(certificate) = certificate.clone() {
                request.extensions_mut().insert(certificate);
            }
            let (router, request_in_flight) = (router.clone(), counted.begin());
            async move {
                let response = router.oneshot(request).await;
                drop(request_in_flight);
                Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::pin!(connection);

        let mut idle = interval_at(Instant::now() + self.limits.head, self.limits.head);
        let (mut seen, mut ending) = (0, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(cause) = ended {
                        tracing::debug!(%peer, %cause, "connection ended");
                    }
                    return;
                }
                _ = self.stopping.wait_for(|stopping| *stopping), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = idle.tick() => {
                    if !requests.idle_since(&mut seen) {
                        continue;
                    }
                    // Asked to end and nothing in flight, yet still here: the peer does not read.
                    if ending {
                        return;
                    }
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Counts the requests of one connection.
#[derive(Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
}

struct InFlight(Arc<Requests>);

impl Requests {
    fn begin(self: &Arc<Self>) -> InFlight {
        self.begun.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Whether nothing is in flight and nothing has begun since `seen`.
    fn idle_since(&self, seen: &mut u64) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        begun == std::mem::replace(seen, begun) && begun == self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
