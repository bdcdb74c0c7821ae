//! A link on this process's own stdin and stdout, and the listener that yields it. How lines are read
//! and written is in `transport.rs`.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use arcp_transport::{BoxFuture, BoxTransport, Listener, Peer};
use futures_channel::oneshot;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};

use crate::{StdioConfig, StdioTransport};

/// The link on this process's own stdin and stdout, for a runtime that is started as a child.
///
/// Nothing else may write to stdout (no `println!`, no logs: those go to stderr) and nothing else may
/// read stdin. Make one link in the life of a process: what the first has read ahead, a second never sees.
///
/// **End the process when the link is over.** Stdout stays open until then, so the end of the
/// process is what the peer sees as the end of the link, and `close()` waits for the peer only until
/// everything is written. But a read of stdin that is under way cannot be cancelled: tokio does it on
/// a thread that blocks, and dropping the tokio runtime, as the end of a `#[tokio::main]` does, waits
/// for that thread until the peer writes or closes. So leave by [`std::process::exit`], or by
/// `shutdown_background` on the tokio runtime.
///
/// ```no_run
/// use arcp_transport::Frame;
/// use arcp_transport_stdio::{StdioConfig, stdio};
/// use futures_util::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), arcp_transport::TransportError> {
/// let mut client = stdio(StdioConfig::server());
/// while let Some(Ok(frame @ Frame::Text(_))) = client.next().await {
///     client.send(frame).await?;
/// }
/// client.close().await?;
/// std::process::exit(0);
/// # }
/// ```
pub fn stdio(config: StdioConfig) -> StdioTransport<Stdin, Stdout> {
    StdioTransport::new(tokio::io::stdin(), tokio::io::stdout(), config).unseen_to_close()
}

/// Yields one link, and fails when that is over. A runtime that serves all of this listener serves its
/// one client, and is then told by the error that it can go.
///
/// Its peer is [`Peer::LOCAL`]: a pipe does not leave this machine. Where a program stands at the other
/// end that carries the bytes on, see to it that it encrypts them, as `ssh` does.
pub struct StdioListener {
    /// Until it is accepted.
    link: Option<BoxTransport>,
    /// Cancelled when the link is dropped.
    over: oneshot::Receiver<()>,
}

impl StdioListener {
    /// Yields the link on this process's own stdin and stdout. What [`stdio`] asks of the process holds.
    pub fn new(config: StdioConfig) -> Self {
        Self::with(tokio::io::stdin(), |stdin| {
            StdioTransport::new(stdin, tokio::io::stdout(), config).unseen_to_close()
        })
    }

    /// Yields the link over another reader and writer.
    pub fn over<R, W>(reader: R, writer: W, config: StdioConfig) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        Self::with(reader, |reader| StdioTransport::new(reader, writer, config))
    }

    fn with<R, W>(reader: R, link: impl FnOnce(Watched<R>) -> StdioTransport<Watched<R>, W>) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (alive, over) = oneshot::channel();
        Self { link: Some(Box::pin(link(Watched { reader, _alive: alive }))), over }
    }
}

impl Listener for StdioListener {
    /// The link at first; afterwards this waits until the link is dropped.
    ///
    /// # Errors
    ///
    /// Broken pipe, once the link is over.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxTransport, Peer)>> {
        Box::pin(async {
            if let Some(link) = self.link.take() {
                return Ok((link, Peer::LOCAL));
            }
            // Nobody sends: the other end is only ever dropped.
            let _ = (&mut self.over).await;
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "the only link is over"))
        })
    }
}

impl fmt::Debug for StdioListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioListener").field("accepted", &self.link.is_none()).finish_non_exhaustive()
    }
}

/// A reader that tells when it is dropped, and with it its link.
struct Watched<R> {
    reader: R,
    _alive: oneshot::Sender<()>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}
