//! The runtime's side: one machine, fed by one channel. Agents are threads, and the store is nothing: what is written is gone with
//! the process.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;

use arcp::proto::event::{EventKind, Log, LogLevel};
use arcp::proto::session::Peer;
use arcp::proto::{ErrorCode, ErrorPayload, Json};
use arcp_core::runtime::{
    Agents, AuthenticationError, Config, ConnectionKey, Draft, Event, JobKey, JobSpec, Outcome,
    ResolvedAgent, Runtime, Transmit,
};
use arcp_core::{Incoming, Principal};

use crate::wire::{self, Clock};

/// What can happen.
enum Input {
    Frame(Option<String>),
    Says(JobKey, String),
    Ends(JobKey, Outcome),
}

/// Serves one connection to its end.
pub(crate) fn serve_one(listener: &TcpListener) -> anyhow::Result<()> {
    let clock = Clock::start();
    let mut agents = Agents::new();
    agents.register(ResolvedAgent { name: "sum".parse()?, version: "1.0.0".parse()? })?;
    let identity = Peer { name: "by-hand".to_owned(), version: "1".to_owned() };
    let mut machine = Runtime::new(Config::new(identity, agents), wire::random());

    let (mut stream, peer) = listener.accept()?;
    let (sender, inputs) = mpsc::channel();
    wire::read(stream.try_clone()?, sender.clone(), Input::Frame);
    // Lines over TCP can be read by others, but for those who stay on this machine.
    let connection = machine.handle_connected(clock.now(), peer.ip().is_loopback());
    loop {
        drain(&mut machine, &clock, connection, &mut stream, &sender)?;
        match clock.wait(&inputs, machine.poll_timeout())? {
            Some(Input::Frame(Some(frame))) => {
                machine.handle_frame(clock.now(), connection, Incoming::text(frame));
            }
            Some(Input::Frame(None)) => {
                machine.handle_disconnected(clock.now(), connection);
                return Ok(());
            }
            Some(Input::Says(job, message)) => {
                let log = Log { level: LogLevel::Info, message };
                let draft = Draft::new(EventKind::Log, clock.now().wall, &log)?;
                // A driver that hosts agents worth the name has them wait when this says so.
                let _ = machine.emit(clock.now(), job, draft);
            }
            Some(Input::Ends(job, outcome)) => machine.finish(clock.now(), job, outcome),
            None => machine.handle_timeout(clock.now()),
        }
    }
}

/// Does what the machine asks for, until it asks for nothing more.
fn drain(
    machine: &mut Runtime,
    clock: &Clock,
    connection: ConnectionKey,
    stream: &mut TcpStream,
    sender: &Sender<Input>,
) -> anyhow::Result<()> {
    loop {
        // Nothing is sent of what is not written: with no store, all of it is written at once.
        while let Some(batch) = machine.poll_write() {
            machine.handle_committed(batch.position);
        }
        let Some(event) = machine.poll_event() else { return Ok(()) };
        match event {
            Event::Authenticate { connection, token, .. } => {
                let known = token.expose() == "s3cret";
                let outcome = known.then(|| Principal::new("alice")).ok_or(AuthenticationError::Invalid);
                machine.handle_authenticated(clock.now(), connection, outcome);
            }
            Event::Transmit(_) => {
                let mut taken = Vec::new();
                machine.poll_transmit(clock.now(), connection, 64, &mut taken);
                for transmit in taken {
                    match transmit {
                        Transmit::Frame(frame) => wire::write(stream, &frame)?,
                        Transmit::Entry(entry) => wire::write(stream, &entry.encode())?,
                        Transmit::Listing(page) => wire::write(stream, &page.encode()?)?,
                        Transmit::Close(_) => stream.shutdown(Shutdown::Write)?,
                    }
                }
            }
            Event::Start(spec) => {
                let sender = sender.clone();
                thread::spawn(move || run(&spec, &sender));
            }
            _ => {} // nothing is stopped, delegated or provisioned here
        }
    }
}

/// The agent.
fn run(spec: &JobSpec, sender: &Sender<Input>) {
    let outcome = match spec.input.decode::<Vec<i64>>() {
        Ok(numbers) => {
            let _ = sender.send(Input::Says(spec.job, format!("adding {} numbers", numbers.len())));
            Outcome::Success(Json::encode(&numbers.iter().sum::<i64>()).unwrap_or_default())
        }
        Err(error) => {
            Outcome::Failure(ErrorPayload::new(ErrorCode::InvalidRequest, error.within("input").to_string()))
        }
    };
    let _ = sender.send(Input::Ends(spec.job, outcome)); // if nobody listens any more, nobody wants to know
}
