//! What holds for connections on a port before anybody is known to be at their other ends: for
//! [`WsListener`](crate::WsListener), and for servers that accept connections themselves.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, header};
use tokio::time::Instant;

/// How many connections one address may have at the door, if nothing is said, or a quarter of all.
const PER_ADDRESS: usize = 256;

/// How often it is said that addresses have too many connections.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How many connections each address has that nobody has introduced yet.
#[derive(Debug)]
pub struct Shares {
    /// Any number if `None`.
    limit: Option<usize>,
    held: Mutex<HashMap<IpAddr, usize>>,
    said: Mutex<Option<Instant>>,
}

impl Shares {
    /// Allows each address as many connections as `limit` says, one at least; any number if it is `None`. A /64 of IPv6 counts as one
    /// address.
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = limit.map(|limit| limit.max(1));
        Arc::new(Self { limit, held: Mutex::default(), said: Mutex::default() })
    }

    /// How many connections one address may have where nobody has said so, and all together may have `all`: 256, or a quarter if
    /// that is less.
    pub fn default_limit(all: usize) -> usize {
        PER_ADDRESS.min(all.div_ceil(4)).max(1)
    }

    /// One more connection of an address; `None` if it has too many, and the connection is to be closed. That is logged, once in a
    /// minute as a warning.
    pub fn admit(self: &Arc<Self>, address: SocketAddr) -> Option<Share> {
        let share = self.take(address.ip());
        if share.is_none() {
            tracing::debug!(%address, "connection closed: its address has too many");
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                *said = Some(Instant::now());
                tracing::warn!(%address, limit = self.limit, "an address has as many connections at the door as it may, more are closed");
            }
        }
        share
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let Some(limit) = self.limit else { return Some(Share(None)) };
        let of = neighbourhood(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(of).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Share(Some(Arc::new(Held { shares: Arc::clone(self), of }))))
    }
}

/// The web pages that may reach a runtime through their visitors' browsers, by their origins: none, if nothing is said. Programs send no
/// `Origin`.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Lets the pages of this origin in, such as `https://console.example.com`.
    pub fn allow(&mut self, origin: impl AsRef<str>) {
        self.0.push(origin.as_ref().trim_end_matches('/').to_owned());
    }

    /// Whether whoever sends these headers is a program, or such a page.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.to_str();
            origin.is_ok_and(|origin| self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
        })
    }
}

/// What a page that is not let in is told, with status 403.
pub const FOREIGN_PAGE: &str = "this origin is not allowed to reach the runtime";

/// Whether a failed accept is only about the connection that it would have accepted. Everything else
/// (no file descriptors, no memory) passes with time, and would spin until then.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection's place among those of its address, until all clones are dropped. Among the extensions of the request that the
/// connection came with it is let go of once a session is open.
#[derive(Clone, Debug)]
pub struct Share(#[allow(dead_code, reason = "it is there to be dropped")] Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    shares: Arc<Shares>,
    of: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.of);
            }
        }
    }
}

/// What one customer of a network has: an address of IPv4, a /64 of IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_and_strangers_do_not() {
        let shares = Shares::new(Some(2));
        let take = |address: &str| shares.take(address.parse().unwrap());
        for (one, other, stranger) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"),
        ] {
            let held = (take(one).unwrap(), take(other).unwrap());
            assert!(take(one).is_none() && take(other).is_none());
            assert!(take(stranger).is_some());
            let (one_more, _) = (held.0.clone(), drop(held.0));
            assert!(take(one).is_none(), "a clone holds the place");
            drop(one_more);
            assert!(take(other).is_some());
        }
        assert!(shares.held.lock().unwrap().is_empty(), "nothing stays behind");
    }
}
