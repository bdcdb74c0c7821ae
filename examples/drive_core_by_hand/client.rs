//! The client's side: one session, which submits one job.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;

use anyhow::{Context, bail};
use arcp::proto::Json;
use arcp::proto::job::Submit;
use arcp::proto::session::Peer;
use arcp_core::Incoming;
use arcp_core::client::{Config, Event, JobEnd, Session, Transmit};

use crate::wire::{self, Clock};

/// Has the runtime add up some numbers.
pub(crate) fn sum(address: SocketAddr, numbers: &[i64]) -> anyhow::Result<i64> {
    let clock = Clock::start();
    let identity = Peer { name: "by-hand".to_owned(), version: "1".to_owned() };
    let mut session = Session::new(Config::new(identity, "s3cret".into()), wire::random());
    let mut stream = TcpStream::connect(address)?;
    let (sender, inputs) = mpsc::channel();
    wire::read(stream.try_clone()?, sender, |frame| frame);

    session.handle_connected(clock.now());
    let submit = Submit::new("sum".parse()?, Json::encode(numbers)?);
    session.submit(clock.now(), &submit, None); // waits for the session to be open
    let mut sum = None;
    loop {
        // Mutate, then drain: what is to be sent, what has happened.
        while let Some(transmit) = session.poll_transmit() {
            match transmit {
                Transmit::Frame(frame) => wire::write(&mut stream, &frame)?,
                Transmit::Close => stream.shutdown(Shutdown::Write)?,
            }
        }
        let mut acted = false;
        while let Some(event) = session.poll_event() {
            match event {
                Event::Opened(opened) => println!("open, with {}", opened.agents[0].name),
                Event::Job { event, .. } => println!("event {}", event.body.as_str()),
                Event::AcknowledgeDue => session.acknowledge(clock.now(), session.last_event_seq()),
                Event::JobEnded { end: JobEnd::Success(result), .. } => {
                    sum = result.result;
                    session.close(clock.now(), None);
                }
                Event::Ended(_) => return Ok(sum.context("there is no result")?.decode()?),
                Event::Refused { error, .. } | Event::HandshakeRefused(error) => bail!("refused: {error}"),
                Event::JobEnded { end, .. } => bail!("the job failed: {end:?}"),
                _ => {}
            }
            acted = true;
        }
        if acted {
            continue;
        }
        match clock.wait(&inputs, session.poll_timeout())? {
            Some(Some(frame)) => session.handle_frame(clock.now(), Incoming::text(frame)),
            Some(None) => session.handle_disconnected(clock.now()),
            None => session.handle_timeout(clock.now()),
        }
    }
}
