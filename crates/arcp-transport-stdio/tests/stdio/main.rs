//! Links over pipes, used as clients and runtimes use them. One file a topic.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod any;
mod child;
mod close;
mod flow;
mod lines;
mod listener;
mod pieces;
mod sending;

use arcp_transport::{Frame, Transport, TransportError};
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

type Link = StdioTransport<DuplexStream, DuplexStream>;

/// The end of two pipes without a link on it.
struct Raw {
    reader: DuplexStream,
    writer: DuplexStream,
}

impl Raw {
    /// Everything that comes until the other end closes.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).await.unwrap();
        rest
    }
}

/// Both ends of two pipes that hold so many bytes each.
fn raw_pair(capacity: usize) -> (Raw, Raw) {
    let (left_writer, right_reader) = duplex(capacity);
    let (right_writer, left_reader) = duplex(capacity);
    (Raw { reader: left_reader, writer: left_writer }, Raw { reader: right_reader, writer: right_writer })
}

fn over(end: Raw, config: StdioConfig) -> Link {
    StdioTransport::new(end.reader, end.writer, config)
}

/// Both ends of a link: the client's, then the runtime's.
fn pair(capacity: usize) -> (Link, Link) {
    let (left, right) = raw_pair(capacity);
    (over(left, StdioConfig::client()), over(right, StdioConfig::server()))
}

/// A peer without manners, and a link to it.
fn raw_link(capacity: usize, config: StdioConfig) -> (Raw, Link) {
    let (left, right) = raw_pair(capacity);
    (left, over(right, config))
}

/// What a future says if it is asked once: `None` means that it waits.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

async fn frame(link: &mut (impl Transport + Unpin)) -> Frame {
    link.next().await.expect("the link goes on").expect("a frame")
}

async fn error(link: &mut (impl Transport + Unpin)) -> TransportError {
    link.next().await.expect("the link goes on").expect_err("an error")
}

/// What the end of a pipe is taken for.
fn closed() -> Frame {
    Frame::close(arcp_transport::CloseCode::NO_STATUS, "")
}

fn numbered(number: usize) -> Frame {
    Frame::text(number.to_string())
}
