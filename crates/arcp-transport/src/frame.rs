//! What travels on a link: frames, close frames and close codes. How they get there is `transport.rs`.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

/// One message on a link (§4).
///
/// Cloning is cheap: the contents are shared. `Debug` shows lengths and never contents, because a
/// frame can hold a bearer token or a provisioned credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// One envelope, as JSON text. The only kind of frame that ARCP sends.
    Text(ByteString),
    /// Bytes that the peer sent where text was expected. They are passed up, so that the protocol
    /// can refuse them by name instead of the link breaking without a word.
    Binary(Bytes),
    /// The peer closes the link, or we do. Nothing follows it in its direction.
    Close(CloseFrame),
}

impl Frame {
    /// A text frame.
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::Text(text.into())
    }

    /// A close frame.
    pub fn close(code: CloseCode, reason: impl Into<ByteString>) -> Self {
        Self::Close(CloseFrame::new(code, reason))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Close(close) => f.debug_tuple("Close").field(close).finish(),
        }
    }
}

/// Why a link is being closed.
///
/// `Debug` shows the length of the reason, not its text: it comes from the peer.
#[derive(Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// The reason, for programs.
    pub code: CloseCode,
    /// The reason, for people. A WebSocket has room for 123 bytes and is given no more than that.
    pub reason: ByteString,
}

impl CloseFrame {
    /// A close frame of a code and a reason.
    pub fn new(code: CloseCode, reason: impl Into<ByteString>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseFrame")
            .field("code", &self.code.0)
            .field("reason", &format_args!("{} bytes", self.reason.len()))
            .finish()
    }
}

/// A close code: those of WebSocket (RFC 6455, section 7.4), used by every kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the session was closed in good order.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the runtime shuts down, or the client leaves.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the rules of the link itself, below ARCP.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1005: the peer gave no code. It is only ever received; sent, it closes without a code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1007: a text frame was not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a handshake was refused; a `session.error` before it says why (§6).
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a frame was longer than the receiver takes.
    pub const TOO_LARGE: Self = Self(1009);
    /// 1011: the sender failed.
    pub const INTERNAL: Self = Self(1011);
    /// 4408: two heartbeat intervals passed in silence; the session is kept for resuming (§6.4).
    pub const HEARTBEAT_LOST: Self = Self(4408);
    /// 4409: the session was resumed over another link (§6.3).
    pub const RESUMED_ELSEWHERE: Self = Self(4409);
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_lengths_and_never_contents() {
        let frames = [
            Frame::text("tok_secret"),
            Frame::Binary(Bytes::from_static(b"tok_secret")),
            Frame::close(CloseCode::POLICY_VIOLATION, "tok_secret"),
        ];
        let shown = format!("{frames:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(
            shown,
            "[Text(10 bytes), Binary(10 bytes), Close(CloseFrame { code: 1008, reason: 10 bytes })]"
        );
    }
}
