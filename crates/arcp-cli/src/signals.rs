//! The signals that ask the program to stop, to read its files again, or to leave the terminal to others for a while.

use std::io::{self, IsTerminal};

use anyhow::Context;

use crate::exit::{self, Failure};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

#[cfg(unix)]
fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    let listen = signal(kind).context("signals cannot be listened to");
    listen.map_err(|error| Failure::new(exit::JOB, error))
}

#[cfg(windows)]
fn listen() -> Result<tokio::signal::windows::CtrlC, Failure> {
    let listen = tokio::signal::windows::ctrl_c().context("signals cannot be listened to");
    listen.map_err(|error| Failure::new(exit::JOB, error))
}

/// SIGINT and SIGTERM. From when it is made they do not end the program by themselves any more.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate })
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
        listen().map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// SIGINT, or Ctrl-C. From when it is made that does not end the program by itself any more, and each one is heard.
pub(crate) struct Interrupts(#[cfg(unix)] Signal, #[cfg(windows)] tokio::signal::windows::CtrlC);

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, Failure> {
        #[cfg(unix)]
        return listen(SignalKind::interrupt()).map(Self);
        #[cfg(windows)]
        return listen().map(Self);
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// SIGHUP, which an operator sends to have files read again, and a terminal that is closed to all that was started in it. From when
/// it is made that does not end the program by itself any more. There is none on Windows.
pub(crate) struct Hangups {
    #[cfg(unix)]
    hangup: Signal,
    /// Whether the program was started in a terminal.
    in_terminal: bool,
}

impl Hangups {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            #[cfg(unix)]
            hangup: listen(SignalKind::hangup())?,
            in_terminal: has_terminal(),
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        self.hangup.recv().await;
        #[cfg(not(unix))]
        std::future::pending().await
    }

    /// Whether the program was started in a terminal, be that still there or not.
    pub(crate) fn in_terminal(&self) -> bool {
        self.in_terminal
    }

    /// Whether that terminal has been closed since: what was one is none any more.
    pub(crate) fn terminal_is_gone(&self) -> bool {
        self.in_terminal && !has_terminal()
    }
}

fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

/// What a program is asked that has the terminal to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end: SIGINT, SIGTERM, SIGHUP, SIGQUIT.
    End,
    /// To stop until it is continued: SIGTSTP.
    #[cfg(unix)]
    Pause,
    /// Nothing: it was stopped and is continued, and others have had the terminal meanwhile.
    #[cfg(unix)]
    GoOn,
}

/// All that would end or stop such a program without giving the terminal back. From when it is made none of them does by itself.
#[cfg(unix)]
pub(crate) struct ScreenSignals {
    end: [Signal; 4],
    pause: Signal,
    go_on: Signal,
}

#[cfg(unix)]
impl ScreenSignals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let [a, b, c, d] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        Ok(Self {
            end: [listen(a)?, listen(b)?, listen(c)?, listen(d)?],
            pause: listen(number(rustix::process::Signal::TSTP))?,
            go_on: listen(number(rustix::process::Signal::CONT))?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        let [a, b, c, d] = &mut self.end;
        tokio::select! {
            _ = a.recv() => Asked::End,
            _ = b.recv() => Asked::End,
            _ = c.recv() => Asked::End,
            _ = d.recv() => Asked::End,
            _ = self.pause.recv() => Asked::Pause,
            _ = self.go_on.recv() => Asked::GoOn,
        }
    }

    /// Asks this program to pause, and whatever was started together with it, as the terminal does at ctrl-z where it is not told to
    /// leave keys alone.
    pub(crate) fn ask_to_pause() -> io::Result<()> {
        Ok(rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?)
    }

    /// Whether there can be anybody to continue it: not where no shell stands between it and the terminal.
    pub(crate) fn can_pause() -> bool {
        rustix::process::getsid(None).is_ok_and(|leader| leader != rustix::process::getpgrp())
    }

    /// Stops, and returns when it is continued.
    pub(crate) async fn pause(&mut self) -> io::Result<()> {
        use futures_util::FutureExt;
        while self.go_on.recv().now_or_never().is_some() {} // none that came before
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        self.go_on.recv().await;
        Ok(())
    }
}

#[cfg(unix)]
fn number(signal: rustix::process::Signal) -> SignalKind {
    SignalKind::from_raw(signal.as_raw())
}

/// Ctrl-C: nothing stops a program for a while there.
#[cfg(windows)]
pub(crate) struct ScreenSignals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl ScreenSignals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        listen().map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        self.0.recv().await;
        Asked::End
    }
}
