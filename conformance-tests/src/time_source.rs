//! An SNTP server (RFC 4330) that says what a test wants the time to be.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tokio::net::UdpSocket;

/// A time source on this machine, running in the runtime that started it.
pub struct TimeSource {
    port: u16,
    ahead: Arc<AtomicI64>,
}

impl TimeSource {
    /// Starts to answer: with the asker's own time, until told otherwise.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let ahead = Arc::<AtomicI64>::default();
        let source = Self {
            port,
            ahead: ahead.clone(),
        };
        tokio::spawn(async move {
            let mut packet = [0; 48];
            while let Ok((_, asker)) = socket.recv_from(&mut packet).await {
                let answer = answer(&packet, ahead.load(Ordering::SeqCst));
                // Who asked may be gone.
                let _ = socket.send_to(&answer, asker).await;
            }
        });
        source
    }

    /// The value of `clock.sources`, TOML.
    pub fn sources(&self) -> String {
        format!("[\"127.0.0.1:{}\"]", self.port)
    }

    /// From now on the source is so many seconds ahead of who asks it; negative: behind.
    pub fn set_ahead(&self, seconds: i64) {
        self.ahead.store(seconds, Ordering::SeqCst);
    }
}

/// Seconds since 1900 stand in the upper 32 bits of a timestamp; the asker's is the last of its packet.
fn answer(asked: &[u8; 48], ahead: i64) -> [u8; 48] {
    let sent = asked.last_chunk().copied().unwrap_or_default();
    let time = u64::from_be_bytes(sent).wrapping_add_signed(ahead << 32);
    let mut answer = [0; 48];
    // No leap second announced, version 4, server; a primary source.
    for (octet, value) in answer.iter_mut().zip([0x24, 1, 0, 0xEC]) {
        *octet = value;
    }
    for (at, value) in [
        (12, *b"LOCL\0\0\0\0"),
        (16, time.to_be_bytes()),
        (24, sent),
        (32, time.to_be_bytes()),
        (40, time.to_be_bytes()),
    ] {
        if let Some(field) = answer.get_mut(at..at + 8) {
            field.copy_from_slice(&value);
        }
    }
    answer
}
