//! Where a runtime takes links from. Who may open a session over one is not decided here.

use std::{io, net::SocketAddr};

use crate::{BoxFuture, BoxTransport};

/// Where links to a runtime arrive.
///
/// A listener hands over links that are ready for frames: whatever handshake the link has is done,
/// and one peer that dawdles over its handshake keeps no other from being accepted.
pub trait Listener: Send {
    /// The next link.
    ///
    /// Dropping the future loses no link: the next call goes on from there. A listener may stop
    /// taking links while nobody waits in `accept`.
    ///
    /// # Errors
    ///
    /// An error means that this listener will yield nothing more. Whatever passes by itself
    /// (a peer that gave up, a shortage of file descriptors) is waited out inside.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxTransport, Peer)>>;
}

/// Who is at the other end of a link, as far as the link knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its network address, which may be that of a proxy; `None` where links have no addresses.
    pub address: Option<SocketAddr>,
    /// Whether nobody between the two ends can read the link: it is encrypted, or never leaves this
    /// machine. A runtime provisions credentials (§9.8) over nothing else.
    pub secure: bool,
}

impl Peer {
    /// A peer on this machine that is reached without the network: in this process, or over a pipe.
    pub const LOCAL: Self = Self { address: None, secure: true };
}
