//! One WebSocket link as a [`Transport`](arcp_transport::Transport): reading and writing. How it is
//! closed is `transport/close.rs`, what its frames and errors are called is `transport/convert.rs`.

mod close;
mod convert;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arcp_transport::{Frame, TransportError};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::Role},
};

use self::close::Closing;
use crate::WsConfig;

/// One WebSocket link over a stream that is already open and upgraded.
///
/// Pings are answered while the link is being read, without anybody writing.
///
/// After a frame that is too large, not UTF-8 or broken, the stream ends, but frames can still be
/// sent: an error and a close frame reach a peer that is still busy sending, because
/// `close()` goes on reading (and throwing away) until the peer ends the connection. It does so after
/// every closing handshake, as a connection with unread bytes is reset when it is dropped, and a
/// reset destroys what the peer has not read yet. So give `close()` a deadline.
///
/// Dropping the link closes the connection without a close frame.
pub struct WsTransport<S> {
    socket: WebSocketStream<S>,
    max_sent_bytes: usize,
    /// Waits for the write buffer to be empty: a close frame, which cannot be tried twice, or a frame
    /// that found it filled with pongs.
    unsent: Option<Message>,
    reading: Reading,
    sent_close: bool,
    received_close: bool,
    closing: Closing,
}

/// Where the incoming half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Frames may come.
    Open,
    /// The last thing read was no frame. What follows cannot be told from noise.
    Broken,
    /// The peer has ended it.
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsTransport<S> {
    /// The runtime's end, over a stream on which the [handshake](crate::handshake) is done.
    ///
    /// Ready at once: it is `async` only because the stream is first touched inside a task.
    pub async fn server(io: S, config: WsConfig) -> Self {
        Self::over(io, Vec::new(), Role::Server, config).await
    }

    /// The client's end, over a stream on which the handshake is done.
    pub async fn client(io: S, config: WsConfig) -> Self {
        Self::over(io, Vec::new(), Role::Client, config).await
    }

    /// Either end, when the first bytes behind the handshake have been read with it.
    pub(crate) async fn over(io: S, mut read: Vec<u8>, role: Role, config: WsConfig) -> Self {
        let config_inside = Some(config.to_tungstenite());
        let socket = if read.is_empty() {
            WebSocketStream::from_raw_socket(io, role, config_inside).await
        } else {
            // The read buffer takes this allocation over, and is never larger than it was at first.
            read.reserve_exact(config.read_buffer_bytes);
            WebSocketStream::from_partially_read(io, read, role, config_inside).await
        };
        Self {
            socket,
            max_sent_bytes: config.max_sent_bytes(),
            unsent: None,
            reading: Reading::Open,
            sent_close: false,
            received_close: false,
            closing: Closing::Sending,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, TransportError>>> {
        while self.reading == Reading::Open {
            let Some(read) = ready!(Pin::new(&mut self.socket).poll_next(cx)) else {
                self.reading = Reading::Ended;
                break;
            };
            let frame = match read {
                Ok(Message::Close(close)) => {
                    self.received_close = true;
                    Ok(Frame::Close(convert::received_close(close)))
                }
                Ok(Message::Text(text)) => convert::received_text(text),
                Ok(Message::Binary(bytes)) => Ok(Frame::Binary(bytes)),
                // tungstenite has queued the pong; asking it for the next frame writes it out.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(error) if self.received_close || convert::is_cut(&error) => {
                    self.reading = Reading::Ended;
                    break;
                }
                Err(error) => Err(convert::error(error)),
            };
            if frame.is_err() {
                self.reading = Reading::Broken;
            }
            return Poll::Ready(Some(frame));
        }
        Poll::Ready(None)
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.unsent.is_some() {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(convert::error)?;
        }
        let Some(message) = self.unsent.take() else { return Poll::Ready(Ok(())) };
        if self.received_close {
            // The close frame of the peer came first, and its answer is on its way.
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Pin::new(&mut self.socket).start_send(message).map_err(convert::error))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx).map_err(convert::error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WsTransport<S> {
    type Item = Result<Frame, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_frame(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for WsTransport<S> {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.sent_close || self.received_close {
            return Poll::Ready(Err(TransportError::Closed));
        }
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.socket).poll_ready(cx).map_err(convert::error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if self.sent_close || self.received_close {
            return Err(TransportError::Closed);
        }
        let (length, message) = match frame {
            Frame::Text(text) => (text.len(), convert::sent_text(text)),
            Frame::Binary(bytes) => (bytes.len(), Message::Binary(bytes)),
            Frame::Close(close) => {
                self.sent_close = true;
                self.unsent = Some(convert::sent_close(close));
                return Ok(());
            }
        };
        if length > self.max_sent_bytes {
            return Err(TransportError::FrameTooLarge { limit: self.max_sent_bytes });
        }
        match Pin::new(&mut self.socket).start_send(message) {
            Err(tungstenite::Error::WriteBufferFull(message)) => self.unsent = Some(*message),
            sent => sent.map_err(convert::error)?,
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_written(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_closed(cx)
    }
}

impl<S> fmt::Debug for WsTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsTransport")
            .field("reading", &self.reading)
            .field("sent_close", &self.sent_close)
            .field("received_close", &self.received_close)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::ReadBuf;

    use super::*;

    /// Frames without end, and how often they were read.
    struct Frames {
        bytes: Vec<u8>,
        at: usize,
        reads: usize,
    }

    impl AsyncRead for Frames {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let end = self.bytes.len().min(self.at + out.remaining());
            out.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            self.reads += 1;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Frames {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Ok(b.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn much_is_read_at_a_time_whatever_came_with_the_handshake_and_whoever_holds_frames() {
        let mut frame = vec![0x81, 126, 1, 134];
        frame.resize(4 + 390, b'.');
        let config = WsConfig::client();
        for ahead in [0, 1, 1_000] {
            let bytes = frame.repeat(1_000);
            let frames = Frames { at: ahead, reads: 0, bytes };
            let ahead = frames.bytes[..ahead].to_vec();
            let mut link = WsTransport::over(frames, ahead, Role::Client, config).await;
            let mut held = Vec::new();
            while held.len() < 1_000 {
                held.push(link.next().await.unwrap().unwrap());
            }
            let Frames { bytes, reads, .. } = link.socket.into_inner();
            let least = bytes.len() / config.read_buffer_bytes;
            assert!(reads <= 3 * least, "{reads} reads for {least} buffers");
        }
    }
}
