//! The limits of one link over pipes. Limits of sessions, and the patience with a child, are elsewhere.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How much is gathered before it is written without waiting for a flush.
const GATHERED: usize = 32 * KIB;

/// The limits of one link, all in bytes.
///
/// Start from [`StdioConfig::server`] or [`StdioConfig::client`] and change what you must:
///
/// ```
/// use arcp_transport_stdio::StdioConfig;
///
/// let config = StdioConfig { max_frame_bytes: 64 * 1024, ..StdioConfig::server() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StdioConfig {
    /// The longest frame taken from the peer, without the end of its line. A longer one is
    /// [`FrameTooLarge`](arcp_transport::TransportError::FrameTooLarge) as soon as so much of it has
    /// come, and is thrown away. Memory is taken only as the line comes, at most twice its length.
    pub max_frame_bytes: usize,
    /// The longest line, with its end, that can be sent. A frame is taken while less than 32 KiB (or
    /// less than this, if this is less) wait to be written, so a peer who does not read costs no
    /// more than both together. Memory is taken only when it is needed.
    pub max_write_buffer_bytes: usize,
}

impl StdioConfig {
    /// For a runtime that is started by its client: frames up to 1 MiB come in, up to 4 MiB go out.
    pub const fn server() -> Self {
        Self { max_frame_bytes: MIB, max_write_buffer_bytes: 4 * MIB }
    }

    /// For a client that starts its runtime: frames up to 16 MiB either way, since a runtime is
    /// trusted with longer ones than a stranger is.
    pub const fn client() -> Self {
        Self { max_frame_bytes: 16 * MIB, max_write_buffer_bytes: 16 * MIB }
    }

    /// The longest payload that can be sent.
    pub(crate) fn max_sent_bytes(&self) -> usize {
        self.max_write_buffer_bytes.saturating_sub(1)
    }

    /// A frame is taken while less than this waits to be written.
    pub(crate) fn gathered_bytes(&self) -> usize {
        self.max_write_buffer_bytes.clamp(1, GATHERED)
    }
}
