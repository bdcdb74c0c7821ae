//! What both sides share: the clock, random bits, and frames as lines over TCP.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Instant, SystemTime};

use arcp_core::{Drawn, Now, Origin, Random};

/// Both clocks, read together. A machine reads neither.
pub(crate) struct Clock(Origin);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Origin::new(Instant::now()))
    }

    pub(crate) fn now(&self) -> Now {
        self.0.now(Instant::now(), SystemTime::now())
    }

    /// Waits for what comes next, or until a machine wants to be called back: then there is nothing.
    pub(crate) fn wait<T>(
        &self,
        inputs: &Receiver<T>,
        until: Option<arcp_core::Instant>,
    ) -> Result<Option<T>, RecvTimeoutError> {
        let Some(at) = until.and_then(|until| self.0.when(until)) else {
            return inputs.recv().map(Some).map_err(RecvTimeoutError::from);
        };
        match inputs.recv_timeout(at.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => Ok(None),
            other => other.map(Some),
        }
    }
}

pub(crate) fn random() -> Box<dyn Random> {
    Box::new(Drawn::from(|bytes: &mut [u8]| getrandom::fill(bytes).expect("the system has random bits")))
}

/// Reads lines in a thread of its own, and passes each on; nothing at the end.
pub(crate) fn read<T: Send + 'static>(
    stream: TcpStream,
    to: Sender<T>,
    input: impl Fn(Option<String>) -> T + Send + 'static,
) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if to.send(input(Some(line))).is_err() {
                return;
            }
        }
        let _ = to.send(input(None)); // nobody waits for it any more
    });
}

pub(crate) fn write(stream: &mut TcpStream, frame: &str) -> std::io::Result<()> {
    stream.write_all(format!("{frame}\n").as_bytes())
}
