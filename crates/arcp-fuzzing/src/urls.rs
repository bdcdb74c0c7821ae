//! URLs as targets: one that is allowed means the same to whoever reads it.

use std::net::Ipv6Addr;

use arcp_core::lease::Target;
use url::{Host, Url};

/// A URL.
pub fn net_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(target) = Target::parse("net.fetch", text) else { return };
    let canonical = target.canonical();
    assert_eq!(Target::parse("net.fetch", canonical).as_ref(), Ok(&target), "{text:?}");
    let read = Url::parse(canonical).unwrap_or_else(|error| panic!("{canonical:?} is no URL: {error}"));
    assert_eq!(read.as_str(), canonical, "who fetches {text:?} writes it otherwise");
    let original = Url::parse(text).unwrap_or_else(|error| panic!("{text:?} is no URL: {error}"));
    let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
    assert_eq!(place(&read), place(&original), "{text:?} is somewhere else than {canonical:?}");
    assert_eq!(read.query(), original.query(), "{text:?} asks for something else than {canonical:?}");
    assert_eq!((read.username(), read.password(), read.fragment()), ("", None, None));
    for text in [text, canonical] {
        let (authority, path) = by_rfc(text).unwrap_or_else(|| panic!("{text:?} has no authority"));
        assert!(!authority.contains(['@', '\\', '%']), "{authority:?}");
        let host = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let host = host.map_or(authority, |(host, _)| host);
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let address: Ipv6Addr = address.parse().unwrap_or_else(|_| panic!("{host:?} is no address"));
            assert_eq!(read.host(), Some(Host::Ipv6(address)), "{text:?}");
        } else if host.is_ascii() {
            assert_eq!(Some(host.to_ascii_lowercase().as_str()), read.host_str(), "{text:?}");
        }
        assert!(!path.contains('\\'), "{text:?}");
    }
    // Nothing is left that a reader might take for another path.
    let path = read.path().to_ascii_lowercase();
    assert!(!["/./", "/../", "%2e", "%2f", "%5c"].iter().any(|part| path.contains(part)), "{path:?}");
    assert!(!path.ends_with("/..") && !path.ends_with("/."), "{path:?}");
    // Dots stand where a query was.
    if let Some(query) = read.query().filter(|query| !"...".starts_with(query)) {
        let printed = format!("{target} {target:?}");
        assert!(!printed.contains(&format!("?{query}")), "a query is printed: {printed}");
    }
}

/// Authority and path as appendix B of RFC 3986 takes a URL apart.
fn by_rfc(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    Some((authority, &rest[..rest.find(['?', '#']).unwrap_or(rest.len())]))
}
