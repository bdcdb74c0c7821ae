//! A peer made by hand, which can break every rule of WebSocket. It is a client.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The first byte of a frame that others follow.
pub(crate) const CONTINUED: u8 = 0x80;

pub(crate) const UPGRADE: &str = "GET /arcp HTTP/1.1\r\nHost: runtime\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked frame, as clients send; the mask is zero, so that the payload stays readable.
/// `opcode` may carry [`CONTINUED`] to say that the message is not over.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let fin = !opcode & 0x80;
    let mut frame = vec![fin | (opcode & 0x7f), 0x80 | 127];
    frame.extend((payload.len() as u64).to_be_bytes());
    if payload.len() < 126 {
        frame.truncate(1);
        frame.push(0x80 | payload.len() as u8);
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Sends bytes and returns everything that comes back until the connection ends.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A client past the handshake.
pub(crate) struct RawClient<S = TcpStream> {
    pub(crate) stream: S,
}

impl RawClient {
    /// Connects, asks, and sends `behind` without waiting for the answer.
    pub(crate) async fn connect(address: SocketAddr, behind: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[UPGRADE.as_bytes(), behind].concat()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawClient<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame: its opcode and payload.
    pub(crate) async fn receive(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.stream.read_u8().await.unwrap() & 0x0f;
        let length = match self.stream.read_u8().await.unwrap() {
            126 => self.stream.read_u16().await.unwrap().into(),
            127 => self.stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }

    /// The close code that comes next, and then the end of the connection: an end, not a reset.
    pub(crate) async fn receive_close(&mut self) -> u16 {
        let (opcode, payload) = self.receive().await;
        assert_eq!(opcode, CLOSE);
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        assert_eq!(self.stream.read(&mut [0]).await.unwrap(), 0, "nothing follows a close frame");
        code
    }
}
