//! Bytes as text: pieces of a large result, each coded as base64 and shipped.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::net::TcpStream;

use crate::socket::{READ_BUFFER, Socket};

/// Bytes of a piece before they are coded.
pub(crate) const PIECE: usize = 512 << 10;

/// A client says how many pieces it wants.
pub(super) async fn serve(tcp: TcpStream) -> Result<()> {
    let mut socket = Socket::accept(tcp, READ_BUFFER).await?;
    let count: u64 = socket.text().await?.parse()?;
    for letter in (b'a'..=b'z').cycle().take(count as usize) {
        let piece = vec![letter; PIECE];
        socket.send(BASE64.encode(piece)).await?;
    }
    socket.next().await; // until the client has read it all
    Ok(())
}
