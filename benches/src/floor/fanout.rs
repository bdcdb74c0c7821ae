//! Fan-out: one log, and any number of subscribers that each pull slices of it when they are woken, with a header of their own in
//! front of each event.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Result, ensure};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::frame::{Frame, MESSAGE_BYTES};
use crate::socket::{BATCH, READ_BUFFER, Socket};

/// What has been said, and how much that is.
pub(super) struct Log {
    entries: RwLock<Vec<Utf8Bytes>>,
    length: watch::Sender<u64>,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { entries: RwLock::default(), length: watch::Sender::new(0) })
    }

    /// Encodes the payloads of so many events, once for all, and appends them.
    async fn emit(self: Arc<Self>, count: u64) {
        let message = ".".repeat(MESSAGE_BYTES);
        for number in 1..=count {
            let payload = Frame::event(number, &message).payload.encode();
            self.entries.write().unwrap_or_else(PoisonError::into_inner).push(payload.into());
            self.length.send_replace(number);
            tokio::task::coop::consume_budget().await;
        }
    }

    fn slice(&self, from: u64) -> Vec<Utf8Bytes> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().skip(from as usize).take(BATCH).cloned().collect()
    }
}

/// A client says how many events it is to be sent; with an exclamation mark behind, also that they are to be emitted now.
pub(super) async fn serve(tcp: TcpStream, log: Arc<Log>) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    let asked = socket.text().await?;
    let count: u64 = asked.trim_end_matches('!').parse()?;
    if asked.ends_with('!') {
        tokio::spawn(Arc::clone(&log).emit(count));
    }
    let (head, tail) = Frame::event(0, "").header();
    let mut length = log.length.subscribe();
    let mut sent = 0;
    while sent < count {
        let slice = log.slice(sent);
        for payload in &slice {
            sent += 1;
            let mut text = String::with_capacity(head.len() + tail.len() + payload.len() + 24);
            text.push_str(&head);
            text.push_str(&sent.to_string());
            text.push_str(&tail);
            text.push_str(payload);
            text.push('}');
            socket.feed(text).await?;
        }
        if slice.len() < BATCH {
            socket.flush().await?;
            length.wait_for(|length| *length > sent || sent == count).await?;
        }
    }
    socket.flush().await?;
    ensure!(socket.next().await.is_none(), "nothing more was to be asked");
    Ok(())
}
