//! WebSockets as bare as they come: what the floor's servers and clients speak over, and what drives a runtime without a client.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Bytes that are read at a time, at most: what suits a stream of events. A round trip wants less.
pub(crate) const READ_BUFFER: usize = 32 << 10;

/// Frames after which a writer that has more to write flushes.
pub(crate) const BATCH: usize = 64;

/// One end of a WebSocket over TCP.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

fn config(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(64 << 10)
        .max_write_buffer_size(64 << 20)
        .max_frame_size(Some(64 << 20))
}

impl Socket {
    /// Opens one to a `ws://` URL.
    pub(crate) async fn connect(url: &str, read_buffer: usize) -> Result<Self> {
        let host = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let host = host.with_context(|| format!("{url} is no ws:// URL"))?;
        // A listener's backlog may be full when very many come at once.
        let mut tries = 0;
        let tcp = loop {
            match TcpStream::connect(host).await {
                Ok(tcp) => break tcp,
                Err(error) if tries == 10 => return Err(error).context("server cannot be reached"),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tcp.set_nodelay(true)?;
        let config = Some(config(read_buffer));
        let (socket, _) = tokio_tungstenite::client_async_with_config(url, tcp, config).await?;
        Ok(Self(socket))
    }

    /// Takes one that has come in.
    pub(crate) async fn accept(tcp: TcpStream, read_buffer: usize) -> Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self(tokio_tungstenite::accept_async_with_config(tcp, Some(config(read_buffer))).await?))
    }

    /// The next text; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Utf8Bytes>> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(Ok(text)),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next text, if it is there already.
    pub(crate) fn next_now(&mut self) -> Option<Utf8Bytes> {
        self.next().now_or_never().flatten().and_then(Result::ok)
    }

    /// The next text, which must come.
    pub(crate) async fn text(&mut self) -> Result<Utf8Bytes> {
        match self.next().await {
            Some(text) => text,
            None => bail!("connection was closed too early"),
        }
    }

    /// Writes without flushing.
    pub(crate) async fn feed(&mut self, text: impl Into<Utf8Bytes>) -> Result<()> {
        Ok(self.0.feed(Message::Text(text.into())).await?)
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush().await?)
    }

    /// Writes and flushes.
    pub(crate) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<()> {
        Ok(self.0.send(Message::Text(text.into())).await?)
    }
}

/// Listens at a free port and says so as `arcp serve` does.
pub(crate) async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on ws://{}/arcp", listener.local_addr()?);
    Ok(listener)
}
