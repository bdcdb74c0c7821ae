//! The connector of honest clients: it can be cut, and it keeps a ledger of what a session is told over all its connections.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arcp::transport::{BoxFuture, BoxTransport, ConnectError, Connector, Frame, TransportError};
use arcp::ws::WsConnector;
use futures_util::{Sink, Stream};
use serde::Deserialize;
use tokio::sync::watch;

use crate::world::{World, lock};

/// What a session was told.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) name: String,
    session: Option<String>,
    /// The last number.
    last: u64,
    jobs: HashMap<String, Told>,
    /// Connections that were welcomed.
    pub(crate) connections: u64,
}

/// What a session was told of one job.
#[derive(Debug, Default)]
struct Told {
    /// How often its acceptance, or that it was subscribed to.
    acceptances: u64,
    /// How often its end.
    ends: u64,
    /// Over which connection anything was told of it first, and whether that was not its acceptance, which was lost.
    first: u64,
    late: bool,
    /// Over which connection its end was told last.
    last: u64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    r#type: &'a str,
    session_id: Option<&'a str>,
    job_id: Option<&'a str>,
    event_seq: Option<u64>,
}

impl Ledger {
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    fn hear(&mut self, text: &str, world: &World) {
        let envelope: Envelope<'_> = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                return world.problem(format!("{}: a frame that is no envelope: {error}", self.name));
            }
        };
        if envelope.r#type == "session.welcome" {
            self.connections += 1;
            let session = envelope.session_id.map(str::to_owned);
            if self.session.is_some() && self.session != session {
                world.problem(format!("{}: its session is gone, and it has another", self.name));
                self.last = 0;
            }
            self.session = session;
        }
        if let Some(event_seq) = envelope.event_seq {
            if event_seq <= self.last {
                return; // said again after a resume
            }
            if event_seq != self.last + 1 {
                world.problem(format!("{}: {event_seq} comes after {}", self.name, self.last));
            }
            self.last = event_seq;
        }
        let Some(job) = envelope.job_id else { return };
        let connection = self.connections;
        let accepts = matches!(envelope.r#type, "job.accepted" | "job.subscribed");
        let ends = matches!(envelope.r#type, "job.result" | "job.error");
        if accepts || ends || envelope.event_seq.is_some() {
            let first = || Told { first: connection, late: !accepts, ..Told::default() };
            let told = self.jobs.entry(job.to_owned()).or_insert_with(first);
            told.acceptances += u64::from(accepts);
            told.ends += u64::from(ends);
            told.last = connection;
        }
    }

    /// Whether every job has come to one end. Only where a request was made again, as the connection was lost over which it was
    /// answered, it may have been told again: once for each connection.
    pub(crate) fn check(&self) -> Result<u64, String> {
        for (job, told) in &self.jobs {
            let most = told.acceptances + told.last - told.first + u64::from(told.late);
            if told.ends == 0 || told.ends > most {
                return Err(format!("{}: {job} did not end once: {told:?}", self.name));
            }
        }
        Ok(self.jobs.len() as u64)
    }
}

pub(crate) struct Tap {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// Each change cuts what is connected.
    pub(crate) cuts: watch::Receiver<u64>,
}

impl Connector for Tap {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async move {
            let mut cuts = self.cuts.clone();
            cuts.mark_unchanged();
            let transport = WsConnector::new(&self.world.url())?.connect().await?;
            let cut = Box::pin(async move {
                if cuts.changed().await.is_err() {
                    std::future::pending::<()>().await; // nobody will cut it any more
                }
            });
            let (world, ledger) = (Arc::clone(&self.world), Arc::clone(&self.ledger));
            let tapped: BoxTransport = Box::pin(Tapped { transport, world, ledger, cut });
            Ok(tapped)
        })
    }
}

struct Tapped {
    transport: BoxTransport,
    world: Arc<World>,
    ledger: Arc<Mutex<Ledger>>,
    cut: BoxFuture<'static, ()>,
}

impl Stream for Tapped {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            self.cut = Box::pin(std::future::ready(()));
            return Poll::Ready(None);
        }
        let polled = self.transport.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(Frame::Text(text)))) = &polled {
            lock(&self.ledger).hear(text, &self.world);
        }
        polled
    }
}

impl Sink<Frame> for Tapped {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        self.transport.as_mut().start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_close(cx)
    }
}
