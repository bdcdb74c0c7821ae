//! Whom an address belongs to, and so which ones a request may go to. No name is resolved here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whom an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody can reach it.
    Public,
    /// A network of one's own: loopback, private, shared by a carrier's customers, unique local.
    Private,
    /// Nothing that a name should lead to: link-local, where the metadata services of clouds are, unspecified, multicast,
    /// broadcast, for documentation, for tests, reserved.
    Special,
}

/// Who may be reached by way of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// Public addresses alone: a wildcard has granted the host.
    Public,
    /// Private ones as well: a grant names the host.
    Named,
}

impl Rule {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Private => self == Self::Named,
            Reach::Special => false,
        }
    }
}

/// Whom `address` belongs to; an IPv4 address in an IPv6 one is what it is by itself.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [10, ..] | [127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
        [100, 64..=127, ..] => Reach::Private, // carrier-grade NAT
        [0, ..] | [169, 254, ..] => Reach::Special,
        [192, 0, 0, _] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Special,
        [192, 88, 99, _] => Reach::Special,   // relays of 6to4
        [198, 18..=19, ..] => Reach::Special, // benchmarks
        [224..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Private;
    }
    match address.segments() {
        // An IPv4 address by another name is what it is by its own: mapped, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            reach_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => reach_v4(embedded(high, low)),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Assignments for protocols, Teredo among them; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Special,
        [0x2000..=0x3fff, ..] => Reach::Public,
        // What is not assigned to anybody: unspecified, IPv4-compatible, translated, discarded, link-local, site-local, multicast.
        _ => Reach::Special,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Whether a grant of `net.fetch` names this host, with no wildcard in it. The port does not matter: it was compared already.
pub(super) fn names_host(grant: &str, host: &str) -> bool {
    let Some((_, rest)) = grant.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rfind(']').map_or(0, |at| at + 1);
    let named = authority[port..].find(':').map_or(authority, |at| &authority[..port + at]);
    named.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(expected: Reach, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn addresses_of_everybody_are_public() {
        all(Reach::Public, &["1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0"]);
        all(
            Reach::Public,
            &["172.15.255.255", "172.32.0.0", "192.167.0.1", "192.169.0.1", "223.255.255.255"],
        );
        all(Reach::Public, &["11.0.0.0", "126.255.255.255", "128.0.0.0", "198.17.0.1", "198.20.0.1"]);
        all(
            Reach::Public,
            &["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2001:200::1"],
        );
        all(Reach::Public, &["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"]);
    }

    #[test]
    fn networks_of_ones_own_are_private() {
        all(Reach::Private, &["127.0.0.1", "127.255.255.255", "::1"]);
        all(Reach::Private, &["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"]);
        all(Reach::Private, &["100.64.0.0", "100.127.255.255"]);
        all(Reach::Private, &["fc00::1", "fd12:3456::1", "fd00:ec2::254"]);
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_address_is_what_it_is() {
        all(
            Reach::Private,
            &["::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:192.168.1.1", "::ffff:100.64.0.1"],
        );
        all(Reach::Private, &["64:ff9b::127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1"]);
        all(Reach::Special, &["::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::"]);
        all(Reach::Special, &["::ffff:0.0.0.0", "::ffff:255.255.255.255", "::ffff:224.0.0.1"]);
        all(Reach::Special, &["::127.0.0.1", "::10.0.0.1", "::1.1.1.1", "::ffff:0:127.0.0.1"]);
        all(Reach::Special, &["64:ff9b:1::127.0.0.1", "2001:0:4136:e378:8000:63bf:80ff:fffe"]);
    }

    #[test]
    fn what_no_name_should_lead_to_is_special() {
        all(Reach::Special, &["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::1"]);
        all(Reach::Special, &["0.0.0.0", "0.255.255.255", "::"]);
        all(Reach::Special, &["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"]);
        all(Reach::Special, &["240.0.0.0", "255.255.255.254", "255.255.255.255"]);
        all(Reach::Special, &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"]);
        all(Reach::Special, &["192.0.0.8", "192.88.99.1", "198.18.0.1", "198.19.255.255"]);
        all(Reach::Special, &["fec0::1", "100::1", "4000::1", "5f00::1", "2001::1", "2001:1ff::1"]);
    }

    #[test]
    fn a_rule_allows_what_it_says() {
        let allowed = |rule: Rule| {
            ["1.1.1.1", "127.0.0.1", "169.254.169.254"].map(|address| rule.allows(address.parse().unwrap()))
        };
        assert_eq!(allowed(Rule::Public), [true, false, false]);
        assert_eq!(allowed(Rule::Named), [true, true, false]);
    }

    #[test]
    fn a_grant_names_a_host_only_as_it_is() {
        for grant in
            ["http://localhost:8080/**", "http://localhost/**", "https://LOCALHOST", "http://localhost:*/**"]
        {
            assert!(names_host(grant, "localhost"), "{grant}");
        }
        for grant in ["http://[::1]:80/**", "http://[::1]/"] {
            assert!(names_host(grant, "[::1]"), "{grant}");
        }
        let others = ["**", "http://**", "http://*/**", "http://*host/**", "http://localhost.example/**"];
        for grant in
            [&others[..], &["http://a/localhost", "http://?localhost", "localhost", "http://"]].concat()
        {
            assert!(!names_host(grant, "localhost"), "{grant}");
        }
    }
}
