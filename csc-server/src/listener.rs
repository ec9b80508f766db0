//! The accept loop: TCP or TLS, HTTP/1.1 and HTTP/2, every wait bounded.
//!
//! Our own, because certificates change without a restart, a peer's address travels with its requests, and a stop
//! lets requests in flight end. What a peer can hold is bounded: connections by number, handshake, head and idling
//! by time.

mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout, timeout_at};
use tower::ServiceExt;

pub use tls::TlsFiles;

/// Who sent a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What peers may hold, and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// A TLS handshake.
    pub handshake: Duration,
    /// The head of an HTTP/1.1 request, from the end of the one before; and a connection without any request.
    pub head: Duration,
    /// How long requests in flight may go on after the stop.
    pub drain: Duration,
}

impl Limits {
    /// The usual times, for this many connections.
    pub fn new(connections: usize) -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections,
            handshake: seconds(10),
            head: seconds(30),
            drain: seconds(30),
        }
    }
}

/// Why a listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A bound address.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<tls::Tls>,
}

impl Listener {
    /// Binds the address, with TLS 1.3 and 1.2 when there are files.
    ///
    /// # Errors
    /// [`Error`] when the address is taken or the files do not make a certificate with its key.
    pub async fn bind(address: SocketAddr, tls: Option<TlsFiles>) -> Result<Self, Error> {
        let tls = tls.map(tls::Tls::load).transpose()?;
        let refuse = |cause| Error::Bind { address, cause };
        let socket = TcpListener::bind(address).await.map_err(refuse)?;
        let address = socket.local_addr().map_err(refuse)?;
        Ok(Self {
            socket,
            address,
            tls,
        })
    }

    /// The address bound: with the real port when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then lets requests in flight end, for at most `limits.drain`.
    pub async fn serve(self, router: Router, limits: Limits, shutdown: impl Future<Output = ()>) {
        let Self { socket, tls, .. } = self;
        let (stop, stopping) = watch::channel(false);
        let (acceptor, reload) = tls.map(tls::Tls::split).unzip();
        let free = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        let mut background = JoinSet::new();
        if let Some(reload) = reload {
            background.spawn(reload.run());
        }
        tokio::pin!(shutdown);
        loop {
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
                next = accept(&free, &socket) => next,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    // Out of file descriptors, mostly: give connections time to end instead of spinning.
                    tracing::warn!(%cause, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = Connection {
                peer,
                router: router.clone(),
                limits: limits.clone(),
                stopping: stopping.clone(),
            };
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                connection.serve(stream, acceptor).await;
                drop(permit);
            });
        }
        drop(socket);
        stop.send_replace(true);
        let deadline = Instant::now() + limits.drain;
        while let Ok(Some(ended)) = timeout_at(deadline, connections.join_next()).await {
            report(ended);
        }
        if !connections.is_empty() {
            tracing::warn!(
                connections = connections.len(),
                "closing connections that did not end in time"
            );
        }
    }
}

type Accepted = std::io::Result<(TcpStream, SocketAddr)>;

async fn accept(
    free: &Arc<Semaphore>,
    socket: &TcpListener,
) -> (Option<tokio::sync::OwnedSemaphorePermit>, Accepted) {
    // The semaphore is never closed, so a permit always comes.
    let permit = free.clone().acquire_owned().await.ok();
    (permit, socket.accept().await)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        tracing::error!(%cause, "a connection's task failed");
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, acceptor: Option<tokio_rustls::TlsAcceptor>) {
        // Answers are one write each: nothing to gain from waiting for more.
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(peer = %self.peer, %cause, "the connection was gone at once");
            return;
        }
        let Some(acceptor) = acceptor else {
            return self.drive(stream, false).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.limits.handshake, acceptor.accept(stream)) => handshake,
            _ = self.stopping.wait_for(|stopping| *stopping) => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.drive(stream, h2).await;
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

#[cfg(test)]
mod tests;
