//! Both machines on one clock, with a link between them that takes its time and can be cut.

use std::collections::VecDeque;
use std::time::Duration;

use arcp_core::Incoming;
use arcp_core::client::{Backoff, Config, Event, Session, Transmit};
use arcp_core::runtime::ConnectionKey;
use arcp_proto::BearerToken;
use arcp_proto::job::{Submit, Subscribe};
use arcp_proto::session::Peer as Identity;
use arcp_proto::{Json, Reader, TraceContext};
use serde_json::{Value, json};

use crate::host::{Clock, Host, seconds, seeded};
use crate::played::in_words;

/// A client and a runtime. Frames are on their way for `delay`, each way.
pub(crate) struct Pair {
    pub(crate) host: Host,
    pub(crate) client: Session,
    reader: Reader,
    pub(crate) delay: Duration,
    connection: Option<ConnectionKey>,
    /// Whether a connection can be made.
    pub(crate) reachable: bool,
    /// The application takes nothing, and nothing is read for it.
    pub(crate) unread: bool,
    to_host: VecDeque<(Duration, Option<String>)>,
    to_client: VecDeque<(Duration, Option<String>)>,
    told: Vec<String>,
    /// The numbers of the events that the application was told, in that order.
    pub(crate) seen: Vec<u64>,
    /// What those events say.
    pub(crate) heard: Vec<String>,
    /// Every frame, either way, in the order in which it was sent.
    pub(crate) transcript: Vec<String>,
}

impl Pair {
    pub(crate) fn new(delay: Duration) -> Self {
        Self::seeded(1, delay)
    }

    pub(crate) fn seeded(seed: u64, delay: Duration) -> Self {
        Self::with(seed, delay, |_| {})
    }

    /// A pair with an open session, whose client comes back after a cut.
    pub(crate) fn resilient(seed: u64, delay: Duration) -> Self {
        Self::resilient_with(seed, delay, |_| {})
    }

    /// The same, with a runtime that is not the default one.
    pub(crate) fn resilient_with(
        seed: u64,
        delay: Duration,
        configure: impl FnOnce(&mut arcp_core::runtime::Config),
    ) -> Self {
        let mut pair = Self::with(seed, delay, |config| config.reconnect = Some(Backoff::default()));
        pair.host = Host::seeded(seed, configure);
        pair.connect();
        pair.run_for(seconds(1));
        assert!(pair.is_told()[0].starts_with("opened sess_"));
        pair
    }

    fn with(seed: u64, delay: Duration, configure: impl FnOnce(&mut Config)) -> Self {
        let identity = Identity { name: "client".to_owned(), version: "0".to_owned() };
        let mut config = Config::new(identity, BearerToken::new("alice-token"));
        configure(&mut config);
        Self {
            host: Host::seeded(seed, |_| {}),
            client: Session::new(config, Box::new(seeded(seed ^ 0xff))),
            reader: Reader::default(),
            delay,
            connection: None,
            reachable: true,
            unread: false,
            to_host: VecDeque::new(),
            to_client: VecDeque::new(),
            told: Vec::new(),
            seen: Vec::new(),
            heard: Vec::new(),
            transcript: Vec::new(),
        }
    }

    /// A pair with an open session.
    pub(crate) fn open(delay: Duration) -> Self {
        let mut pair = Self::new(delay);
        pair.connect();
        pair.run_for(seconds(1));
        assert!(pair.is_told()[0].starts_with("opened sess_"));
        pair
    }

    pub(crate) fn connect(&mut self) {
        self.connection = Some(self.host.connect().key);
        self.client.handle_connected(self.host.now());
        self.exchange();
    }

    /// The link is gone, and with it everything that was on its way; both sides learn of it now.
    pub(crate) fn cut(&mut self) {
        self.to_host.clear();
        self.to_client.clear();
        if let Some(connection) = self.connection.take() {
            self.host.machine.handle_disconnected(self.host.now(), connection);
            self.client.handle_disconnected(self.host.now());
            self.host.settle();
        }
    }

    pub(crate) fn submit(&mut self, agent: &str, trace: Option<&TraceContext>) {
        let submit = Submit::new(agent.parse().unwrap(), Json::from(json!({ "n": 1 })));
        self.client.submit(self.host.now(), &submit, trace);
        self.exchange();
    }

    /// The application takes nothing from now on, or takes what comes again.
    pub(crate) fn pause(&mut self, unread: bool) {
        self.unread = unread;
        self.client.handle_reading(self.host.now(), !unread);
    }

    pub(crate) fn cancel(&mut self, job: &str) {
        self.client.cancel(self.host.now(), job.parse().unwrap(), None);
        self.exchange();
    }

    /// Subscribes to a job, with its history after a number or without.
    pub(crate) fn subscribe(&mut self, job: &str, from_event_seq: Option<u64>) {
        let job_id = job.parse().unwrap();
        let history = from_event_seq.is_some();
        self.client.subscribe(self.host.now(), &Subscribe { job_id, from_event_seq, history });
        self.exchange();
    }

    pub(crate) fn close(&mut self) {
        self.client.close(self.host.now(), None);
        self.exchange();
    }

    /// The job that was started last.
    pub(crate) fn job(&self) -> String {
        self.host.started.keys().next_back().unwrap().clone()
    }

    /// Lets time pass, with everything that falls into it: arrivals and timers of both sides.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.host.clock.after(duration).0;
        loop {
            self.exchange();
            let timers = [self.host.machine.poll_timeout(), self.client.poll_timeout()];
            let timers = timers.into_iter().flatten().map(|at| at.since_origin());
            let unread = self.unread;
            let arrivals = [self.to_host.front(), self.to_client.front().filter(|_| !unread)];
            let arrivals = arrivals.into_iter().flatten().map(|(at, _)| *at);
            match timers.chain(arrivals).min().filter(|at| *at <= end) {
                None => break,
                Some(at) => self.host.clock = Clock(at.max(self.host.clock.0)),
            }
            let now = self.host.now();
            self.host.machine.handle_timeout(now);
            self.client.handle_timeout(now);
            self.arrive();
        }
        self.host.clock = Clock(end);
    }

    fn arrive(&mut self) {
        let now = self.host.clock.0;
        while let Some(frame) = arrived(&mut self.to_host, now) {
            let Some(connection) = self.connection else { return };
            match frame {
                Some(frame) => self.host.frame(connection, Incoming::text(frame)),
                None => return self.cut(),
            }
        }
        while !self.unread
            && let Some(frame) = arrived(&mut self.to_client, now)
        {
            match frame {
                Some(frame) => {
                    let incoming = Incoming::read(&mut self.reader, frame);
                    self.client.handle_frame(self.host.clock.now(), incoming);
                }
                None => return self.cut(),
            }
        }
    }

    /// Puts what both sides have to send on its way.
    fn exchange(&mut self) {
        self.host.settle();
        while let Some(event) = self.client.poll_event() {
            match &event {
                Event::Connect => self.dial(),
                Event::AcknowledgeDue => {
                    let seq = self.client.last_event_seq();
                    self.client.acknowledge(self.host.now(), seq);
                }
                Event::Job { event_seq, event: said, .. } => {
                    self.seen.push(event_seq.expect("our runtime numbers its events"));
                    let body: Value = said.body.decode().unwrap();
                    self.heard.push(body["text"].as_str().unwrap_or_default().to_owned());
                    self.told.push(in_words(&event));
                }
                _ => self.told.push(in_words(&event)),
            }
        }
        let arrival = self.host.clock.0 + self.delay;
        while let Some(transmit) = self.client.poll_transmit() {
            let frame = match transmit {
                Transmit::Frame(frame) => Some(frame.to_string()),
                Transmit::Close => None,
            };
            self.transcript.push(format!("> {frame:?}"));
            self.to_host.push_back((arrival, frame));
        }
        if let Some(wire) = self.connection.and_then(|connection| self.host.wires.get_mut(&connection)) {
            let closed = wire.closed.take().map(|_| None);
            for frame in wire.inbox.drain(..).map(Some).chain(closed) {
                self.transcript.push(format!("< {frame:?}"));
                self.to_client.push_back((arrival, frame));
            }
        }
    }

    /// Makes a new connection, if one can be made. What was on its way over the old one is gone.
    fn dial(&mut self) {
        if !self.reachable {
            return self.client.handle_connect_failed(self.host.now());
        }
        self.lose_link();
        self.connect();
    }

    /// The link is gone, and neither side has learnt of it.
    pub(crate) fn lose_link(&mut self) {
        self.to_host.clear();
        self.to_client.clear();
        self.connection = None;
    }

    /// What the application is told since the last time, in words, with the job's name left out.
    pub(crate) fn is_told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        let jobs: Vec<_> = self.host.started.keys().cloned().collect();
        told.into_iter()
            .map(|words| jobs.iter().fold(words, |words, job| words.replace(job, "JOB")))
            .collect()
    }
}

/// The next frame that has arrived by now; `None` in it is the close.
fn arrived(link: &mut VecDeque<(Duration, Option<String>)>, now: Duration) -> Option<Option<String>> {
    if link.front()?.0 > now {
        return None;
    }
    link.pop_front().map(|(_, frame)| frame)
}
