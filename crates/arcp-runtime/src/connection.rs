//! One connection: frames in, frames out. Nothing about a session lives here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arcp_core::Incoming;
use arcp_core::runtime::{BrokenFrame, Close, ConnectionKey, Transmit};
use arcp_transport::{BoxTransport, CloseCode, CloseFrame, Frame, TransportError};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::Notify;

use crate::driver::Driver;
use crate::runtime::Health;

/// Frames that are taken from the machine at a time.
const TAKE: usize = 64;

/// How long the peer has to take its leave once the connection is being closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Wakes the two halves of a connection.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) read: Notify,
    pub(crate) write: Notify,
    /// The machine is through with the connection.
    pub(crate) close: Notify,
    /// Whether the peer has taken its leave: then only the closing handshake is left to do.
    leaving: AtomicBool,
}

/// Tells the machine that a connection is gone, however its task ends.
struct Connected {
    driver: Arc<Driver>,
    key: ConnectionKey,
    signals: Arc<Signals>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.driver.disconnect(self.key);
    }
}

/// Carries a connection until either side is through with it.
pub(crate) async fn serve(driver: Arc<Driver>, transport: BoxTransport) {
    let (key, signals) = driver.connect();
    let connected = Connected { driver, key, signals };
    let mut health = connected.driver.health().subscribe();
    let (sink, stream) = transport.split();
    let mut write = std::pin::pin!(write(&connected, sink));
    let ended = tokio::select! {
        () = &mut write => return,
        ended = read(&connected, stream) => ended,
        _ = health.wait_for(|health| *health == Health::Failed) => return,
    };
    match ended {
        ReadEnd::Gone => {}
        ReadEnd::Leaving => {
            connected.driver.disconnect(key);
            connected.signals.leaving.store(true, Ordering::Release);
            connected.signals.write.notify_one();
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, write).await;
        }
        // The machine has said why and closes; the writer has a little time to carry that.
        ReadEnd::Broken => drop(tokio::time::timeout(CLOSE_TIMEOUT, write).await),
    }
}

enum ReadEnd {
    /// The link is cut.
    Gone,
    /// The peer takes its leave, and waits for ours.
    Leaving,
    /// Nothing more can be read, but the peer can still be told.
    Broken,
}

async fn read(connected: &Connected, mut stream: SplitStream<BoxTransport>) -> ReadEnd {
    let Connected { driver, key, signals } = connected;
    loop {
        if !driver.with(|machine, _| machine.wants_frames(*key)) {
            signals.read.notified().await;
            continue;
        }
        let incoming = match stream.next().await {
            Some(Ok(Frame::Text(text))) => Incoming::text(text),
            Some(Ok(Frame::Binary(bytes))) => Incoming::binary(bytes.len()),
            Some(Ok(Frame::Close(_))) => return ReadEnd::Leaving,
            None => return ReadEnd::Gone,
            Some(Err(error)) => {
                let broken = match error {
                    TransportError::FrameTooLarge { limit } => BrokenFrame::TooLarge { limit },
                    TransportError::NotUtf8 => BrokenFrame::NotUtf8,
                    TransportError::Protocol(_) => BrokenFrame::Protocol,
                    error => {
                        tracing::debug!(%error, "connection cannot be read");
                        return ReadEnd::Gone;
                    }
                };
                driver.with(|machine, now| machine.handle_broken_frame(now, *key, broken));
                return ReadEnd::Broken;
            }
        };
        driver.with(|machine, now| machine.handle_frame(now, *key, incoming));
    }
}

async fn write(connected: &Connected, mut sink: SplitSink<BoxTransport, Frame>) {
    let Connected { driver, key, signals } = connected;
    let mut taken = Vec::with_capacity(TAKE);
    loop {
        driver.with(|machine, now| machine.poll_transmit(now, *key, TAKE, &mut taken));
        let more = taken.len() >= TAKE;
        let carried = carry(&mut sink, taken.drain(..), more).await;
        let leave = match carried {
            Ok(None) if signals.leaving.load(Ordering::Acquire) => None,
            Ok(None) if more => continue,
            Ok(None) => {
                signals.write.notified().await;
                continue;
            }
            Ok(Some(close)) => Some(Frame::Close(CloseFrame::new(CloseCode(close.code()), close.reason()))),
            Err(error) => {
                tracing::debug!(%error, "connection cannot be written to");
                return;
            }
        };
        let leaving = async {
            if let Some(frame) = leave {
                sink.send(frame).await?;
            }
            sink.close().await
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, leaving).await;
        return;
    }
}

/// Encodes and writes what was taken. Flushes unless there is more to come.
async fn carry(
    sink: &mut SplitSink<BoxTransport, Frame>,
    taken: impl Iterator<Item = Transmit>,
    more: bool,
) -> Result<Option<Close>, TransportError> {
    for transmit in taken {
        let text = match transmit {
            Transmit::Frame(text) => text,
            Transmit::Entry(entry) => entry.encode(),
            Transmit::Close(close) => return Ok(Some(close)),
        };
        sink.feed(Frame::Text(text)).await?;
    }
    if !more {
        sink.flush().await?;
    }
    Ok(None)
}
