//! An SMS gateway: takes each request, keeps it, and says that the message is on its way.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{canary, wait};

/// A gateway on this machine, running in the runtime that started it.
pub struct Gateway {
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Gateway {
    /// Starts to listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let kept = taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(message) = take(stream).await {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(message);
                }
            }
        });
        Self { port, taken }
    }

    /// The value of `sms.url`, TOML.
    pub fn url(&self) -> String {
        format!("\"http://127.0.0.1:{}/messages\"", self.port)
    }

    /// How many messages this number has got.
    pub fn count(&self, number: &str) -> usize {
        self.texts(number).len()
    }

    /// The text of the message to this number after so many others, waited for.
    pub async fn text(&self, number: &str, after: usize) -> String {
        let what = format!("a message to {number}");
        wait::until(&what, async || self.texts(number).into_iter().nth(after)).await
    }

    /// The code of that message.
    pub async fn code(&self, number: &str, after: usize) -> String {
        let text = self.text(number, after).await;
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let code = words.find(|word| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit()));
        canary::register(code.unwrap_or_else(|| panic!("no code in: {text}")))
    }

    fn texts(&self, number: &str) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let to = taken.iter().filter(|message| message["to"] == number);
        to.filter_map(|message| Some(message["text"].as_str()?.to_owned()))
            .collect()
    }
}

/// The JSON body of one request.
async fn take(mut stream: TcpStream) -> Option<Value> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).await.ok()?;
        request.extend_from_slice(part.get(..read)?);
        let body = request.windows(4).position(|end| end == b"\r\n\r\n");
        let body = body.and_then(|at| request.get(at + 4..));
        if let Some(message) = body.and_then(|body| serde_json::from_slice(body).ok()) {
            let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.ok()?;
            return Some(message);
        }
        if read == 0 {
            return None;
        }
    }
}
