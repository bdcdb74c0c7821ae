//! The limits of one WebSocket link. Limits of sessions and of HTTP handshakes are elsewhere.

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A frame header at its longest: two bytes, a 64-bit length, a mask.
const MAX_HEADER: usize = 14;

/// The longest control frame.
pub(crate) const MAX_CONTROL: usize = MAX_HEADER + 125;

/// The limits of one link, all in bytes.
///
/// Start from [`WsConfig::server`] or [`WsConfig::client`] and change what you must:
///
/// ```
/// use arcp_transport_ws::WsConfig;
///
/// let config = WsConfig { max_frame_bytes: 64 * 1024, ..WsConfig::server() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsConfig {
    /// The longest frame taken from the peer. A longer one is
    /// [`FrameTooLarge`](arcp_transport::TransportError::FrameTooLarge), found by its header, before
    /// memory is spent on it. Fragments of one message count together.
    pub max_frame_bytes: usize,
    /// How much is read at a time, and what an idle link costs.
    ///
    /// 8 KiB by default for a server: some twenty events of the usual size in one system call, while
    /// ten thousand idle links cost 80 MB and not the gigabyte of a 128 KiB buffer, which is moreover
    /// filled with zeros before each read. A client has few links, over which much more comes than
    /// goes: 32 KiB. A short frame keeps the block that it was read into alive while it is held.
    pub read_buffer_bytes: usize,
    /// How much is gathered before it is written without waiting for a flush. 32 KiB by default.
    pub write_buffer_bytes: usize,
    /// The most that waits for a peer who does not read, and so also the longest frame (with its
    /// header) that can be sent; at least 139 bytes and more than `write_buffer_bytes`.
    /// Memory is taken only when it is needed.
    pub max_write_buffer_bytes: usize,
}

impl WsConfig {
    /// For links that a runtime accepts: frames up to 1 MiB come in, up to 4 MiB go out.
    pub const fn server() -> Self {
        Self {
            max_frame_bytes: MIB,
            read_buffer_bytes: 8 * KIB,
            write_buffer_bytes: 32 * KIB,
            max_write_buffer_bytes: 4 * MIB,
        }
    }

    /// For links that a client opens: frames up to 16 MiB either way, since a runtime is trusted
    /// with longer ones than a stranger is.
    pub const fn client() -> Self {
        Self {
            max_frame_bytes: 16 * MIB,
            read_buffer_bytes: 32 * KIB,
            max_write_buffer_bytes: 16 * MIB,
            ..Self::server()
        }
    }

    /// The longest payload that fits the write buffer.
    pub(crate) fn max_sent_bytes(&self) -> usize {
        self.write_limit() - MAX_HEADER
    }

    /// `max_write_buffer_bytes` as tungstenite can take it: it panics unless this is above the
    /// write buffer, and a pong or a close frame must always fit.
    fn write_limit(&self) -> usize {
        self.max_write_buffer_bytes.max(self.write_threshold() + 1).max(MAX_CONTROL)
    }

    fn write_threshold(&self) -> usize {
        self.write_buffer_bytes.min(usize::MAX - 1)
    }

    pub(crate) fn to_tungstenite(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .max_message_size(Some(self.max_frame_bytes))
            .max_frame_size(Some(self.max_frame_bytes))
            .read_buffer_size(self.read_buffer_bytes)
            .write_buffer_size(self.write_threshold())
            .max_write_buffer_size(self.write_limit())
    }
}
