//! The hot paths of the machines, again and again, without sockets, threads or clocks: what they cost is counted in instructions,
//! which are the same in every run. `cargo xtask instructions` counts them and compares.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use arcp_core::client::{Config as ClientConfig, Event as Told, Session, Transmit as Said};
use arcp_core::runtime::{
    Agents, Config, ConnectionKey, Draft, Encoder, Event, JobKey, Outcome, ResolvedAgent, Runtime, Transmit,
};
use arcp_core::{Caller, Incoming, Instant, Now, Principal};
use arcp_proto::event::{Body, EventKind};
use arcp_proto::job::{Submit, Subscribe};
use arcp_proto::session::Peer;
use arcp_proto::{BearerToken, ByteString, JobId, Json, Reader, Timestamp};
use clap::ValueEnum;
use serde::Serialize;

use crate::frame::MESSAGE_BYTES;

/// Messages that are taken from a machine at a time, as drivers do.
const BATCH: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which
    path: Path,
    /// How often
    count: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Path {
    /// An event of a job, from its agent to the frame that one session is sent
    Emit,
    /// The same for a hundred sessions; counted for each
    FanOut,
    /// A frame with an event, to the typed event that an application takes
    Read,
    /// A job from its submit to its result, with one event, both sides
    Job,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let count = options.count;
    match options.path {
        Path::Emit => emit(1, count),
        Path::FanOut => emit(100, count / 100),
        Path::Read => read(count),
        Path::Job => jobs(count),
    }
}

/// One agent says `count` things, and each goes out to so many sessions.
fn emit(sessions: usize, count: u64) -> Result<()> {
    let mut pair = Pair::new()?;
    let (job_id, job) = pair.submit()?;
    for _ in 1..sessions {
        let watcher = pair.join()?;
        let subscribe = Subscribe { job_id: job_id.clone(), from_event_seq: None, history: false };
        let _ = pair.links[watcher].client.subscribe(pair.now, &subscribe);
        pair.settle()?;
    }
    pair.carries = false;
    for number in 0..count {
        pair.emit(job, number)?;
        if number % BATCH == BATCH - 1 {
            pair.settle()?;
        }
    }
    pair.settle()?;
    ensure!(pair.written >= count * sessions as u64, "{} frames were written", pair.written);
    Ok(())
}

/// A client reads `count` events, each in a text of its own, as they come from a socket.
fn read(count: u64) -> Result<()> {
    let mut pair = Pair::new()?;
    let (_, job) = pair.submit()?;
    pair.carries = false;
    pair.emit(job, 0)?;
    pair.settle()?;
    let frame = pair.last.take().context("nothing was sent")?;
    let (head, rest) = frame.split_once("\"event_seq\":").context("an event has no number")?;
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let (mut told, mut reader) = (0, Reader::default());
    for number in 1..=count {
        let frame = ByteString::from(format!("{head}\"event_seq\":{number}{rest}"));
        let (client, now) = (&mut pair.links[0].client, pair.now);
        client.handle_frame(now, Incoming::read(&mut reader, frame));
        while client.poll_transmit().is_some() {}
        while let Some(event) = client.poll_event() {
            match event {
                Told::Job { event, .. } => told += u64::from(matches!(event.body()?, Body::Log(_))),
                Told::AcknowledgeDue => client.acknowledge(now, number),
                _ => {}
            }
        }
    }
    ensure!(told == count, "{told} of {count} events were told");
    Ok(())
}

/// Jobs one after the other, each with one event.
fn jobs(count: u64) -> Result<()> {
    let mut pair = Pair::new()?;
    for number in 0..count {
        let (_, job) = pair.submit()?;
        pair.emit(job, number)?;
        pair.settle()?;
        pair.runtime.finish(pair.now, job, Outcome::Success(Json::empty_object()));
        pair.settle()?;
    }
    ensure!(pair.ended == count, "{} of {count} jobs have ended", pair.ended);
    Ok(())
}

/// A runtime and its clients, with everything between them carried by hand.
struct Pair {
    runtime: Runtime,
    links: Vec<Link>,
    now: Now,
    message: String,
    /// Whether what the runtime says reaches its clients.
    carries: bool,
    /// Frames that the runtime has written.
    written: u64,
    /// The last of them.
    last: Option<ByteString>,
    started: Option<(JobId, JobKey)>,
    /// Jobs whose ends clients were told.
    ended: u64,
}

struct Link {
    key: ConnectionKey,
    client: Session,
    encoder: Encoder,
}

#[derive(Serialize)]
struct Log<'a> {
    level: &'static str,
    message: &'a str,
}

impl Pair {
    /// A runtime, and one client with an open session.
    fn new() -> Result<Self> {
        let agent = ResolvedAgent { name: "bench".parse()?, version: "1.0.0".parse()? };
        let mut agents = Agents::new();
        agents.register(agent).map_err(|_| anyhow!("agent is there already"))?;
        let mut config = Config::new(identity(), agents);
        config.limits.sessions_per_principal = 1_000;
        let wall = Timestamp::from_millis(1_700_000_000_000);
        let mut pair = Self {
            runtime: Runtime::new(config, Box::new(counting())),
            links: Vec::new(),
            now: Now { monotonic: Instant::after_origin(Duration::from_secs(1)), wall },
            message: ".".repeat(MESSAGE_BYTES),
            carries: true,
            written: 0,
            last: None,
            started: None,
            ended: 0,
        };
        pair.join()?;
        Ok(pair)
    }

    fn join(&mut self) -> Result<usize> {
        let key = self.runtime.handle_connected(self.now, true);
        let config = ClientConfig::new(identity(), BearerToken::new("token"));
        let mut client = Session::new(config, Box::new(counting()));
        client.handle_connected(self.now);
        self.links.push(Link { key, client, encoder: Encoder::default() });
        self.settle()?;
        ensure!(self.links.iter().all(|link| link.client.features().is_some()), "a session is not open");
        Ok(self.links.len() - 1)
    }

    fn submit(&mut self) -> Result<(JobId, JobKey)> {
        let submit = Submit::new("bench".parse()?, Json::null());
        let _ = self.links[0].client.submit(self.now, &submit, None);
        self.settle()?;
        self.started.take().context("a job has not begun")
    }

    fn emit(&mut self, job: JobKey, number: u64) -> Result<()> {
        // As much as differs from event to event.
        let message = format!("event {number}{}", self.message);
        let draft = Draft::new(EventKind::Log, self.now.wall, &Log { level: "info", message: &message })?;
        self.runtime.emit(self.now, job, draft).map_err(|error| anyhow!("event was refused: {error:?}"))?;
        Ok(())
    }

    /// Does what both sides ask for until they ask for nothing more.
    fn settle(&mut self) -> Result<()> {
        loop {
            let mut idle = true;
            for index in 0..self.links.len() {
                while let Some(said) = self.links[index].client.poll_transmit() {
                    let Said::Frame(frame) = said else { bail!("a client leaves") };
                    self.runtime.handle_frame(self.now, self.links[index].key, Incoming::text(frame));
                    idle = false;
                }
            }
            while let Some(batch) = self.runtime.poll_write() {
                self.runtime.handle_committed(batch.position);
            }
            while let Some(event) = self.runtime.poll_event() {
                idle = false;
                match event {
                    Event::Transmit(key) => self.transmit(key)?,
                    Event::Start(spec) => self.started = Some((spec.job_id, spec.job)),
                    Event::Authenticate { connection, .. } => {
                        let caller = Caller::new(Principal::new("bench"));
                        self.runtime.handle_authenticated(self.now, connection, Ok(caller));
                    }
                    _ => {}
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn transmit(&mut self, key: ConnectionKey) -> Result<()> {
        let mut taken = Vec::new();
        let link = self.links.iter_mut().find(|link| link.key == key).context("no such link")?;
        loop {
            self.runtime.poll_transmit(self.now, key, BATCH as usize, &mut taken);
            let more = taken.len() as u64 == BATCH;
            for transmit in taken.drain(..) {
                let frame = match transmit {
                    Transmit::Frame(frame) => frame,
                    Transmit::Entry(entry) => link.encoder.encode(&entry),
                    Transmit::Listing(_) | Transmit::Close(_) => bail!("this was not asked for"),
                };
                self.written += 1;
                if !self.carries {
                    self.last = Some(frame);
                    continue;
                }
                link.client.handle_frame(self.now, Incoming::text(frame));
                while let Some(event) = link.client.poll_event() {
                    self.ended += u64::from(matches!(event, Told::JobEnded { .. }));
                }
            }
            if !more {
                return Ok(());
            }
        }
    }
}

fn identity() -> Peer {
    Peer { name: "bench".to_owned(), version: "0".to_owned() }
}

/// Bits that are not random, and the same in every run.
fn counting() -> impl FnMut() -> u128 + Send {
    let mut count = 0;
    move || {
        count += 1;
        count
    }
}
