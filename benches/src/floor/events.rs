//! Events to one client: each is serialised from a typed struct, and what is written is flushed in batches.

use anyhow::Result;
use tokio::net::TcpStream;

use crate::frame::{Frame, MESSAGE_BYTES};
use crate::socket::{BATCH, READ_BUFFER, Socket};

pub(super) async fn serve(tcp: TcpStream) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    while let Some(asked) = socket.next().await {
        let count: u64 = asked?.parse()?;
        let message = ".".repeat(MESSAGE_BYTES);
        for number in 1..=count {
            socket.feed(Frame::event(number, &message).encode()).await?;
            if number.is_multiple_of(BATCH as u64) {
                socket.flush().await?;
            }
        }
        socket.flush().await?;
    }
    Ok(())
}
