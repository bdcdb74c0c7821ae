//! The life of a child behind its link: it is reaped, however it ends. Frames are not known here.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::oneshot;
use tokio::{process::Child, task::JoinHandle, time::timeout};

/// How long what the child has started may hold its stderr open before its exit is told without the rest.
const HELD_OPEN: Duration = Duration::from_millis(500);

/// Holds a child: dropping it kills the child.
pub(super) struct Leash {
    /// Nothing is ever sent.
    hold: Option<oneshot::Sender<Infallible>>,
    /// Cancelled when the child has been reaped, and what it wrote to its stderr is logged: one for each half of a link, which may be
    /// polled by different tasks.
    reaped: [oneshot::Receiver<Infallible>; 2],
}

/// A half of a link.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Reading,
    Writing,
}

impl Leash {
    /// Leaves a task behind that waits for the end of the child, and then for that of its `stderr`.
    pub(super) fn new(child: Child, pid: u32, stderr: JoinHandle<()>) -> Self {
        let (hold, held) = oneshot::channel();
        let (reads, reader) = oneshot::channel();
        let (writes, writer) = oneshot::channel();
        tokio::spawn(watch(child, pid, stderr, held, [reads, writes]));
        Self { hold: Some(hold), reaped: [reader, writer] }
    }

    /// Whether the child has not been told to die.
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Kills the child, if it still runs.
    pub(super) fn kill(&mut self) {
        self.hold = None;
    }

    /// Waits until the child has exited, has been reaped, and what it wrote to its stderr is logged.
    pub(super) fn poll_reaped(&mut self, half: Half, cx: &mut Context<'_>) -> Poll<()> {
        let [reader, writer] = &mut self.reaped;
        let reaped = match half {
            Half::Reading => reader,
            Half::Writing => writer,
        };
        Pin::new(reaped).poll(cx).map(|_| ())
    }
}

async fn watch(
    mut child: Child,
    pid: u32,
    stderr: JoinHandle<()>,
    held: oneshot::Receiver<Infallible>,
    _alive: [oneshot::Sender<Infallible>; 2],
) {
    let exited = tokio::select! {
        exited = child.wait() => exited,
        _ = held => {
            // Refused only when it has exited meanwhile.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let _ = timeout(HELD_OPEN, stderr).await;
    match exited {
        Ok(status) => tracing::info!(target: "arcp::child", pid, %status, "child exited"),
        Err(error) => tracing::warn!(target: "arcp::child", pid, %error, "cannot tell how the child exited"),
    }
}
