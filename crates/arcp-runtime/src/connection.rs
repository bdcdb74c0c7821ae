//! One connection: frames in, frames out. Nothing about a session lives here.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use arcp_core::runtime::{Close, ConnectionKey, Encoder, Transmit};
use arcp_transport::{BoxTransport, CloseCode, CloseFrame, Frame, TransportError};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::driver::Driver;
use crate::inbound::{Inbound, Last};
use crate::visitor::Visitor;

/// Frames that are taken from the machine at a time.
const TAKE: usize = 64;

/// Frames of a connection that are read in a row.
const TURN: u64 = 16;

/// How long a connection that is being closed has to carry what is left, and the peer to take its leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Wakes the two halves of a connection.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) read: Notify,
    pub(crate) write: Notify,
    /// What was read is to be answered. The writer is polled after the reader, by the same task, and need not be woken for it.
    answer: AtomicBool,
    /// The machine is through with the connection.
    pub(crate) close: Notify,
}

impl Signals {
    /// Waits until there is something to write.
    async fn due(&self) {
        let mut woken = pin!(self.write.notified());
        poll_fn(|cx| match self.answer.swap(false, Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => woken.as_mut().poll(cx),
        })
        .await;
    }
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
pub(crate) async fn serve(driver: Arc<Driver>, transport: BoxTransport, visitor: Visitor) {
    driver.opened().await;
    let (key, signals) = driver.connect(visitor);
    let connected = Connected { driver, key, signals };
    let (mut sink, stream) = transport.split();
    let (goodbye, deadline) = {
        let mut write = pin!(write(&connected, &mut sink));
        let end = tokio::select! {
            biased; // what was read is answered at once, and what there is to say is said, even too late for all else
            end = read(&connected, stream) => end,
            goodbye = &mut write => End::Written(goodbye),
            () = connected.driver.failed() => End::Failed,
            () = connected.signals.close.notified() => End::Closing,
        };
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let goodbye = match end {
            End::Written(goodbye) => goodbye,
            End::Gone => {
                let _ = write.now_or_never(); // nobody may be there any more
                None
            }
            End::Leaving => {
                // A pipe that is closed at one end may be open at the other; where nothing can be written, this ends at once.
                connected.driver.with(|machine, now| machine.handle_leaving(now, key));
                let _ = timeout_at(deadline, write).await; // what could not be said in time is there for a resume
                connected.driver.disconnect(key);
                Some(Goodbye::Answer)
            }
            End::Failed => Some(Goodbye::Say(Close::Internal)),
            End::Closing => timeout_at(deadline, write).await.ok().flatten(),
        };
        (goodbye, deadline)
    };
    // From here on nothing is read but what the closing handshake needs.
    if let Some(goodbye) = goodbye
        && let Ok(Err(error)) = timeout_at(deadline, leave(&mut sink, goodbye)).await
    {
        tracing::debug!(%error, "connection was not closed in order");
    }
}

/// What makes a connection end.
enum End {
    /// The writer has come to the close, or cannot go on.
    Written(Option<Goodbye>),
    /// The link is cut.
    Gone,
    /// The peer takes its leave, and waits for ours.
    Leaving,
    /// The machine closes; the writer has a little time to carry what comes before.
    Closing,
    /// The machine has promises to keep that nobody can keep: it is not asked any more.
    Failed,
}

/// How a link that still works is ended.
enum Goodbye {
    /// With our close frame.
    Say(Close),
    /// With the answer to the peer's.
    Answer,
}

async fn read(connected: &Connected, stream: SplitStream<BoxTransport>) -> End {
    let Connected { driver, key, signals } = connected;
    let mut inbound = Inbound::new(driver, *key, stream);
    let mut introduced = false;
    let mut read = 0_u64;
    loop {
        if !driver.with(|machine, _| machine.wants_frames(*key)) {
            signals.read.notified().await;
            continue;
        }
        let incoming = match inbound.next().await {
            Ok(incoming) => incoming,
            Err(Last::Gone) => return End::Gone,
            Err(Last::Leaving) => return End::Leaving,
            Err(Last::Broken(broken)) => {
                driver.with(|machine, now| machine.handle_broken_frame(now, *key, broken));
                return End::Closing;
            }
        };
        // Who has not said anything yet is not let in, and costs no agent a thought.
        let incoming = if introduced { incoming.checked(driver.inventory()) } else { incoming };
        introduced = true;
        if driver.receive(*key, incoming) {
            signals.answer.store(true, Ordering::Relaxed);
        }
        read += 1;
        if read.is_multiple_of(TURN) {
            tokio::task::yield_now().await; // who sends much at once does not keep others waiting
        }
    }
}

/// Writes until the machine closes the connection, or it cannot be written to.
async fn write(connected: &Connected, sink: &mut SplitSink<BoxTransport, Frame>) -> Option<Goodbye> {
    let Connected { driver, key, signals } = connected;
    let (mut taken, mut encoder) = (Vec::with_capacity(TAKE), Encoder::default());
    loop {
        driver.with(|machine, now| machine.poll_transmit(now, *key, TAKE, &mut taken));
        let more = taken.len() >= TAKE;
        match carry(sink, taken.drain(..), &mut encoder, more).await {
            Ok(Some(close)) => return Some(Goodbye::Say(close)),
            Ok(None) if more => {}
            Ok(None) => {
                signals.due().await;
                // What a job says as it begins, and as it ends, mostly goes out together.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "connection cannot be written to");
                return None;
            }
        }
    }
}

/// Ends a link in order, and waits until the peer has seen it.
async fn leave(sink: &mut SplitSink<BoxTransport, Frame>, goodbye: Goodbye) -> Result<(), TransportError> {
    if let Goodbye::Say(close) = goodbye {
        let close = CloseFrame::new(CloseCode(close.code()), close.reason());
        sink.send(Frame::Close(close)).await?;
    }
    sink.close().await
}

/// Encodes and writes what was taken. Flushes unless there is more to come.
async fn carry(
    sink: &mut SplitSink<BoxTransport, Frame>,
    taken: impl Iterator<Item = Transmit>,
    encoder: &mut Encoder,
    more: bool,
) -> Result<Option<Close>, TransportError> {
    for transmit in taken {
        let text = match transmit {
            Transmit::Frame(text) => text,
            Transmit::Entry(entry) => encoder.encode(&entry),
            Transmit::Listing(mut listing) => loop {
                match listing.encode_some() {
                    Ok(Some(text)) => break text,
                    Ok(None) => tokio::task::yield_now().await,
                    Err(error) => {
                        tracing::error!(%error, "a listing cannot be encoded");
                        return Ok(Some(Close::Internal));
                    }
                }
            },
            Transmit::Close(close) => return Ok(Some(close)),
        };
        sink.feed(Frame::Text(text)).await?;
    }
    if !more {
        sink.flush().await?;
    }
    Ok(None)
}
