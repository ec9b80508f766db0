//! The accept loop: TCP or TLS, HTTP/1.1 and HTTP/2, every wait bounded.
//!
//! Our own, because certificates change without a restart, a peer's address travels with its requests, and a stop
//! lets requests in flight end. What a peer can hold is bounded: connections by number, handshake, head and idling
//! by time.

mod connection;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use connection::Connection;
pub use tls::TlsFiles;

/// Who sent a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The certificate that a peer showed and has the key of, DER: an extension of each request of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Arc<[u8]>);

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
) -> (Option<OwnedSemaphorePermit>, Accepted) {
    // The semaphore is never closed, so a permit always comes.
    let permit = free.clone().acquire_owned().await.ok();
    (permit, socket.accept().await)
}

fn report(ended: Result<(), JoinError>) {
    if let Err(cause) = ended {
        tracing::error!(%cause, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests;
