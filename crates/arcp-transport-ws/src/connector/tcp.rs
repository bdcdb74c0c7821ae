//! One TCP connection to any of the addresses that a host name has. No TLS, no HTTP.

use std::{io, time::Duration};

use arcp_transport::ConnectError;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};

use super::address::Address;

/// Tries one address after the other. An address that does not answer gets its share of what is left
/// of `limit`, so that a dead first address does not use up the time of a live second one.
pub(super) async fn connect(to: &Address, limit: Duration) -> Result<TcpStream, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { target: to.target(), source };
    let started = Instant::now();
    let addresses: Vec<_> = lookup_host((&*to.host, to.port)).await.map_err(unreachable)?.collect();

    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no addresses");
    for (tried, address) in addresses.iter().enumerate() {
        let left = limit.saturating_sub(started.elapsed());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Else a frame may wait 40 ms for the acknowledgement of the one before it.
                stream.set_nodelay(true).map_err(unreachable)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(unreachable(last))
}
