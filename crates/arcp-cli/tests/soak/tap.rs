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
#[derive(Default)]
struct Told {
    /// How often its acceptance, or that it was subscribed to.
    acceptances: u64,
    /// How often its end.
    ends: u64,
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
        match envelope.r#type {
            "job.accepted" | "job.subscribed" => {
                self.jobs.entry(job.to_owned()).or_default().acceptances += 1;
            }
            "job.result" | "job.error" => self.jobs.entry(job.to_owned()).or_default().ends += 1,
            _ => {}
        }
    }

    /// Whether every job has come to one end. Only a submit that was made again, as its connection was lost, may have been told
    /// it again.
    pub(crate) fn check(&self) -> Result<u64, String> {
        for (job, told) in &self.jobs {
            let most = if self.connections > 1 { told.acceptances + 1 } else { told.acceptances };
            if told.ends == 0 || told.ends > most {
                let Told { acceptances, ends } = told;
                return Err(format!(
                    "{}: {job} was accepted {acceptances} times and ended {ends} times over {} connections",
                    self.name, self.connections
                ));
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
