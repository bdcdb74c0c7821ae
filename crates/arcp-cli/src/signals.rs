//! The signals that ask the program to stop.

use anyhow::Context;

use crate::exit::{self, Failure};

/// SIGINT and SIGTERM. From when it is made they do not end the program by themselves any more.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        let both = listen(SignalKind::interrupt())
            .and_then(|interrupt| Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? }));
        both.map_err(|error| Failure::new(exit::JOB, error))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(windows)]
pub(crate) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = tokio::signal::windows::ctrl_c().context("signals cannot be listened to");
        listen.map(Self).map_err(|error| Failure::new(exit::JOB, error))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// SIGINT alone, or Ctrl-C. From when it is made that does not end the program by itself any more.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    #[cfg(windows)]
    signal: tokio::signal::windows::CtrlC,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, Failure> {
        #[cfg(unix)]
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        #[cfg(windows)]
        let signal = tokio::signal::windows::ctrl_c();
        let signal = signal.context("signals cannot be listened to");
        Ok(Self { signal: signal.map_err(|error| Failure::new(exit::JOB, error))? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.signal.recv().await;
    }
}
