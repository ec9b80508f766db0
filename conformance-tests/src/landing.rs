//! Where a browser comes back to: an application on the holder's machine (RFC 8252, 7.3).

use reqwest::Url;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

/// A listener on a free port.
pub struct Landing(TcpListener);

impl Landing {
    /// What an application registers; the port is free then.
    pub const REGISTERED: &str = "http://127.0.0.1/cb";

    /// Begins to listen.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self(listener.expect("a port is free"))
    }

    /// The redirect URI.
    pub fn uri(&self) -> String {
        let address = self.0.local_addr().expect("a listener has an address");
        format!("http://{address}/cb")
    }

    /// The address that the browser brings back.
    pub async fn arrived(&self) -> Url {
        loop {
            let (mut stream, _) = self.0.accept().await.expect("a listener accepts");
            let mut line = String::new();
            let read = BufReader::new(&mut stream).read_line(&mut line).await;
            read.expect("a browser sends a request");
            let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html><title>App</title><h1>Back</h1>";
            let answered = stream.write_all(page.as_bytes()).await;
            answered.expect("a browser reads the answer");
            let path = line.split(' ').nth(1).unwrap_or_default();
            if path.starts_with("/cb") {
                let url = Url::parse(&self.uri()).and_then(|uri| uri.join(path));
                return url.expect("a browser asks for a path");
            }
        }
    }
}
