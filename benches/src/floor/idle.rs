//! Connections on which nothing is said: what a WebSocket alone costs.

use anyhow::Result;
use tokio::net::TcpStream;

use crate::socket::Socket;

/// Small, as many are open.
pub(crate) const READ_BUFFER: usize = 4 << 10;

pub(super) async fn serve(tcp: TcpStream) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    while let Some(text) = socket.next().await {
        socket.send(text?).await?;
    }
    Ok(())
}
