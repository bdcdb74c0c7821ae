//! Answers: two raw frames, made beforehand, for each that comes in. Each is answered on its own, as soon as it has come.

use anyhow::Result;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::frame::{Frame, MESSAGE_BYTES};
use crate::socket::Socket;

/// What is read at a time where round trips count: a larger buffer is filled with zeros each time.
pub(crate) const READ_BUFFER: usize = 4 << 10;

pub(super) async fn serve(tcp: TcpStream) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    let answer = Utf8Bytes::from(Frame::event(1, &".".repeat(MESSAGE_BYTES)).encode());
    while let Some(submit) = socket.next().await {
        submit?;
        socket.feed(answer.clone()).await?;
        socket.send(answer.clone()).await?;
    }
    Ok(())
}
