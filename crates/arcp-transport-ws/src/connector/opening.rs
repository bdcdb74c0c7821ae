//! The stream under a handshake: it gives out no byte beyond the end of the answer's head. tungstenite would put such bytes into a read
//! buffer that never grows again, and read a few hundred bytes at a time from then on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A stream whose first bytes are the head of an HTTP answer.
pub(super) struct Opening<S> {
    io: S,
    /// What has been read and not been given out.
    ahead: Vec<u8>,
    /// How many bytes of the end of the head the last bytes that were given out are.
    matched: usize,
}

impl<S> Opening<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, ahead: Vec::new(), matched: 0 }
    }

    /// The stream, and what has been read of it behind the head.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.io, self.ahead)
    }

    /// How many of the bytes that are there may be given out, if there is room for so many.
    fn due(&mut self, room: usize) -> usize {
        for (at, byte) in self.ahead.iter().take(room).enumerate() {
            self.matched = match byte {
                byte if *byte == HEAD_END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.matched == HEAD_END.len() {
                return at + 1;
            }
        }
        self.ahead.len().min(room)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.matched == HEAD_END.len() {
            // Nobody who is through with the head asks for more of it.
            return Poll::Ready(Ok(()));
        }
        if this.ahead.is_empty() {
            let mut bytes = [0; 1024];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
            this.ahead.extend_from_slice(read.filled());
        }
        let due = this.due(out.remaining());
        out.put_slice(&this.ahead[..due]);
        this.ahead.drain(..due);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_stands_behind_the_head_is_kept_wherever_reads_end() {
        let sent = b"HTTP/1.1 101 \r\r\n\n\r\nA: b\r\n\r\nframes\r\n\r\n";
        let head = sent.len() - b"frames\r\n\r\n".len();
        for first in 1..sent.len() {
            for room in 1..sent.len() {
                let io = sent[..first].chain(&sent[first..]);
                let mut opening = Opening::new(io);
                let (mut read, mut chunk) = (Vec::new(), vec![0; room]);
                while read.len() < head {
                    let bytes = opening.read(&mut chunk).await.unwrap();
                    assert!(bytes > 0);
                    read.extend_from_slice(&chunk[..bytes]);
                }
                assert_eq!(read, sent[..head]);
                let (mut io, mut rest) = opening.into_parts();
                io.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, sent[head..]);
            }
        }
    }
}
