//! What a connection brings, one after the other, and what of it has to wait for its principal's rate. What a frame means is decided
//! by the machine.

use std::collections::VecDeque;
use std::time::Duration;

use arcp_core::runtime::{BrokenFrame, ConnectionKey};
use arcp_core::{Incoming, Principal};
use arcp_transport::{BoxTransport, Frame, TransportError};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::time::Instant;

use crate::driver::Driver;
use crate::rates::MessageRate;

/// Messages that wait before nothing more is read.
const WAITING: usize = 256;

/// The same in bytes; the last one may go beyond it.
const WAITING_BYTES: usize = 1 << 20;

/// How long it takes until a connection may carry another urgent message.
const URGENT_INTERVAL: Duration = Duration::from_millis(10);

/// How many of those it may carry at once.
const URGENT_BURST: u32 = 1_000;

/// The last that comes of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Last {
    /// The link is cut.
    Gone,
    /// The peer takes its leave.
    Leaving,
    /// A frame that cannot be read, nor what comes after it.
    Broken(BrokenFrame),
}

/// The frames of a connection, at the pace at which they may come.
pub(crate) struct Inbound<'a> {
    driver: &'a Driver,
    key: ConnectionKey,
    stream: SplitStream<BoxTransport>,
    /// Whose session it carries, once it is open and somebody wants to know.
    principal: Option<Principal>,
    /// Whether the hello is still to be counted.
    owing: bool,
    /// What has come and has to wait, with its size.
    waiting: VecDeque<(Incoming, usize)>,
    waiting_bytes: usize,
    /// What comes after that, if nothing more does.
    last: Option<Last>,
    /// When it could carry the whole burst of urgent messages again.
    calm_at: Instant,
    /// Whether the machine was told that nothing is read.
    unread: bool,
}

impl<'a> Inbound<'a> {
    pub(crate) fn new(driver: &'a Driver, key: ConnectionKey, stream: SplitStream<BoxTransport>) -> Self {
        Self {
            driver,
            key,
            stream,
            principal: None,
            owing: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            last: None,
            calm_at: Instant::now(),
            unread: false,
        }
    }

    /// The next frame that may be handed to the machine.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Last> {
        let Some(rate) = self.driver.message_rate() else {
            return receive(&mut self.stream).await.map(|(incoming, _)| incoming);
        };
        let Some(principal) = self.principal(rate) else {
            return receive(&mut self.stream).await.map(|(incoming, _)| incoming);
        };
        loop {
            let mut due = None;
            if !self.waiting.is_empty() {
                match self.pay(rate, &principal) {
                    Ok(()) => {
                        self.tell(true);
                        let paid = self.waiting.pop_front();
                        if let Some((incoming, bytes)) = paid {
                            self.waiting_bytes -= bytes;
                            return Ok(incoming);
                        }
                    }
                    Err(wait) => due = Some(Instant::now() + wait),
                }
            } else if let Some(last) = self.last {
                return Err(last);
            }
            let reads =
                self.last.is_none() && self.waiting.len() < WAITING && self.waiting_bytes < WAITING_BYTES;
            self.tell(reads);
            tokio::select! {
                biased; // what is urgent has come before it is due that another goes on
                received = receive(&mut self.stream), if reads => match received {
                    Ok((incoming, _)) if incoming.is_urgent() => {
                        self.calm().await;
                        return Ok(incoming);
                    }
                    Ok((incoming, bytes)) => {
                        self.waiting_bytes += bytes;
                        self.waiting.push_back((incoming, bytes));
                    }
                    Err(last) => self.last = Some(last),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Whose session it is. When that is first known, its hello is counted.
    fn principal(&mut self, rate: &MessageRate) -> Option<Principal> {
        if self.principal.is_none() {
            let key = self.key;
            self.principal = self.driver.with(|machine, _| machine.principal_of(key).cloned());
            self.owing = self.principal.as_ref().is_some_and(|principal| rate.take(principal).is_err());
        }
        self.principal.clone()
    }

    /// Counts a message, or says how long it has to wait.
    fn pay(&mut self, rate: &MessageRate, principal: &Principal) -> Result<(), Duration> {
        if self.owing {
            rate.take(principal)?;
            self.owing = false;
        }
        rate.take(principal)
    }

    /// Waits until the connection may carry another urgent message.
    async fn calm(&mut self) {
        let now = Instant::now();
        self.calm_at = self.calm_at.max(now) + URGENT_INTERVAL;
        let wait = self.calm_at.duration_since(now).saturating_sub(URGENT_INTERVAL * URGENT_BURST);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells the machine whether anything is read, if that is news.
    fn tell(&mut self, reads: bool) {
        if self.unread == reads {
            let key = self.key;
            self.driver.with(|machine, now| machine.handle_reading(now, key, reads));
            self.unread = !reads;
        }
    }
}

/// Reads a frame, and tells its size.
async fn receive(stream: &mut SplitStream<BoxTransport>) -> Result<(Incoming, usize), Last> {
    let broken = match stream.next().await {
        Some(Ok(Frame::Text(text))) => {
            let bytes = text.len();
            return Ok((Incoming::text(text), bytes));
        }
        Some(Ok(Frame::Binary(bytes))) => return Ok((Incoming::binary(bytes.len()), 0)),
        Some(Ok(Frame::Close(_))) => return Err(Last::Leaving),
        None => return Err(Last::Gone),
        Some(Err(TransportError::FrameTooLarge { limit })) => BrokenFrame::TooLarge { limit },
        Some(Err(TransportError::NotUtf8)) => BrokenFrame::NotUtf8,
        Some(Err(TransportError::Protocol(_))) => BrokenFrame::Protocol,
        Some(Err(error)) => {
            tracing::debug!(%error, "connection cannot be read");
            return Err(Last::Gone);
        }
    };
    Err(Last::Broken(broken))
}
