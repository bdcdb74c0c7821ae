//! A replay: frames that are there already, sent as fast as they are taken.

use anyhow::Result;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::frame::{Frame, MESSAGE_BYTES};
use crate::socket::{BATCH, READ_BUFFER, Socket};

/// A client says how many frames there are to be, is told once they are made, and says when it wants them.
pub(super) async fn serve(tcp: TcpStream) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    let count: u64 = socket.text().await?.parse()?;
    let message = ".".repeat(MESSAGE_BYTES);
    let frames: Vec<Utf8Bytes> =
        (1..=count).map(|number| Frame::event(number, &message).encode().into()).collect();
    socket.send("made").await?;
    socket.text().await?;
    for batch in frames.chunks(BATCH) {
        for frame in batch {
            socket.feed(frame.clone()).await?;
        }
        socket.flush().await?;
    }
    socket.next().await; // until the client has read it all
    Ok(())
}
