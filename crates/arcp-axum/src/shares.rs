//! How many connections each address has that nobody has introduced yet.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// What all addresses have.
#[derive(Debug)]
pub(crate) struct Shares {
    limit: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Shares {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::default() })
    }

    /// One more connection of an address, unless it has too many.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let of = neighbourhood(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(of).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Share(Arc::new(Held { shares: Arc::clone(self), of })))
    }
}

/// A connection's place among those of its address, until all clones are dropped. It travels with the request that it came with,
/// and is let go of once a session is open.
#[derive(Clone, Debug)]
pub(crate) struct Share(#[allow(dead_code, reason = "it is there to be dropped")] Arc<Held>);

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
        let shares = Shares::new(2);
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
