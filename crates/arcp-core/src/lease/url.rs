//! Reading URLs, for targets and for patterns. The text is taken apart twice, here and by the URL parser, and denied where
//! the two do not agree: whoever fetches it may read it in the third way.

use std::fmt;

use url::{Host, Url};

use super::target::{BadTarget, Letter, letters};

/// The parts of a URL, each as it was written.
pub(super) struct Split<'a> {
    pub(super) scheme: Scheme,
    pub(super) host: &'a str,
    pub(super) port: Option<&'a str>,
    /// Empty, or from its first `/`.
    pub(super) path: &'a str,
    /// What follows `?`.
    pub(super) query: Option<&'a str>,
    /// What follows `#`.
    pub(super) fragment: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL in its canonical form.
pub(super) struct Canonical {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// From its first `/`.
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Canonical {
    /// Scheme, host and port as segments, then the path, then the query.
    pub(super) fn word(&self) -> Vec<Letter> {
        let origin = format!("/{}/{}/{}", self.scheme.as_str(), self.host, self.port);
        let path = letters(&origin, '/').chain(letters(&self.path, '/'));
        let query =
            self.query.iter().flat_map(|query| [Letter::Query].into_iter().chain(letters(query, '/')));
        path.chain(query).collect()
    }
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)?;
        self.query.iter().try_for_each(|query| write!(f, "?{query}"))
    }
}

/// The canonical form of a URL that is fetched.
pub(super) fn parse(text: &str) -> Result<Canonical, BadTarget> {
    let split = split(text)?;
    let host = canonical_host(split.host)?;
    let port = split.port.map_or(Ok(split.scheme.default_port()), canonical_port)?;
    let url = Url::parse(text).map_err(|_| BadTarget::Host)?;
    let agreed = url.scheme() == split.scheme.as_str()
        && url.host_str() == Some(&host)
        && url.port_or_known_default() == Some(port)
        && url.username().is_empty()
        && url.password().is_none();
    if !agreed {
        return Err(BadTarget::Host);
    }
    let (path, query) = canonical_rest(split.path, split.query)?;
    Ok(Canonical { scheme: split.scheme, host, port, path, query })
}

/// Takes a URL apart by RFC 3986.
pub(super) fn split(text: &str) -> Result<Split<'_>, BadTarget> {
    if text.is_empty() {
        return Err(BadTarget::Empty);
    }
    for c in text.chars() {
        match c {
            '\\' => return Err(BadTarget::Backslash),
            c if c.is_control() => return Err(BadTarget::Control),
            c if c.is_whitespace() => return Err(BadTarget::WhiteSpace),
            _ => {}
        }
    }
    let (scheme, rest) = text.split_once(':').ok_or(BadTarget::Scheme)?;
    let scheme = if scheme.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else if scheme.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else {
        return Err(BadTarget::Scheme);
    };
    let rest = rest.strip_prefix("//").ok_or(BadTarget::NoAuthority)?;
    let (rest, fragment) = halves(rest, '#');
    let (rest, query) = halves(rest, '?');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(BadTarget::Userinfo);
    }
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_brackets..].find(':') {
        None => (authority, None),
        Some(at) => (&authority[..after_brackets + at], Some(&authority[after_brackets + at + 1..])),
    };
    Ok(Split { scheme, host, port, path, query, fragment })
}

fn halves(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// The longest host in ASCII, in bytes; in other scripts no character has more than four.
const MAX_HOST_BYTES: usize = 253;

/// The host in lower case and ASCII.
pub(super) fn canonical_host(host: &str) -> Result<String, BadTarget> {
    if host.is_empty() || host.len() > 4 * MAX_HOST_BYTES {
        return Err(BadTarget::Host);
    }
    if host.contains('%') {
        return Err(BadTarget::HostPercent);
    }
    let other_dot = |c| matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{2024}');
    let stray = host.starts_with('.') || host.ends_with('.') || host.contains("..");
    if stray || host.contains(other_dot) {
        return Err(BadTarget::HostDot);
    }
    // Characters that one version of the standard maps or drops, and another keeps.
    if host.contains(['\u{df}', '\u{1e9e}', '\u{3c2}', '\u{200c}', '\u{200d}']) {
        return Err(BadTarget::HostForm);
    }
    let parsed = Host::parse(host).map_err(|_| {
        let numeric = host.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | 'x' | 'X'));
        if numeric { BadTarget::Address } else { BadTarget::Host }
    })?;
    match parsed {
        Host::Ipv4(address) => {
            let text = address.to_string();
            if text == host { Ok(text) } else { Err(BadTarget::Address) }
        }
        Host::Ipv6(_) => Ok(parsed.to_string()),
        Host::Domain(domain) => {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
            let fits = |label: &str| matches!(label.len(), 1..=63);
            let shown = url::quirks::domain_to_unicode(&domain);
            let hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
            if domain.len() > MAX_HOST_BYTES || !domain.bytes().all(plain) || !domain.split('.').all(fits) {
                return Err(BadTarget::Host);
            }
            if shown.split('.').any(hyphen) {
                return Err(BadTarget::Host);
            }
            // Names with `_` are common, but no part of what names in other scripts may hold.
            if !shown.is_ascii() && shown.contains('_') {
                return Err(BadTarget::HostForm);
            }
            let unmapped = if host.is_ascii() {
                domain == host.to_ascii_lowercase()
            } else {
                shown == host.to_lowercase()
            };
            if unmapped { Ok(domain) } else { Err(BadTarget::HostForm) }
        }
    }
}

/// A port as a plain number.
pub(super) fn canonical_port(port: &str) -> Result<u16, BadTarget> {
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    if plain { port.parse().map_err(|_| BadTarget::Port) } else { Err(BadTarget::Port) }
}

/// Path and query as the URL parser writes them, of any host.
pub(super) fn canonical_rest(path: &str, query: Option<&str>) -> Result<(String, Option<String>), BadTarget> {
    let path = canonical_escapes(path)?;
    let mut segments = path.split('/').skip(1);
    let (mut dot_dot, mut empty) = (false, false);
    while let Some(segment) = segments.next() {
        let (name, parameters) = halves(segment, ';');
        // Some servers take parameters off before they resolve dot segments.
        if matches!(name, "." | "..") && parameters.is_some() {
            return Err(BadTarget::DotDot);
        }
        dot_dot |= name == "..";
        empty |= segment.is_empty() && segments.clone().next().is_some();
    }
    // `/a//../b` is `/a/b` to those who keep empty segments, and `/b` to those who do not.
    if dot_dot && empty {
        return Err(BadTarget::DotDot);
    }
    let mut text = format!("https://a{path}");
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    let url = Url::parse(&text).map_err(|_| BadTarget::Host)?;
    Ok((url.path().to_owned(), url.query().map(str::to_owned)))
}

/// The path with unreserved characters decoded (RFC 3986, section 6.2.2.2) and other encodings in upper case.
fn canonical_escapes(path: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or(BadTarget::Percent)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| BadTarget::Percent)?;
        match byte {
            b'.' | b'/' | b'\\' => return Err(BadTarget::Encoded),
            0..=0x1f | 0x7f => return Err(BadTarget::Control),
            b'-' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    if hides_a_dot_or_slash(&out) { Err(BadTarget::Encoded) } else { Ok(out) }
}

/// Whether a dot, a slash or a backslash is percent-encoded, once or more often.
pub(super) fn hides_a_dot_or_slash(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hidden = |mut at: usize| {
        while bytes.get(at..at + 2) == Some(b"25") {
            at += 2;
        }
        let digits = bytes.get(at..at + 2).map(<[u8]>::to_ascii_lowercase);
        digits.is_some_and(|digits| matches!(&digits[..], b"2e" | b"2f" | b"5c"))
    };
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && hidden(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_dots_and_slashes_are_found_however_often_they_are_encoded() {
        for text in ["%2e", "a%2Fb", "%5C", "%252e", "%25252F", "%%2e"] {
            assert!(hides_a_dot_or_slash(text), "{text}");
        }
        for text in ["", "%", "%2", "%25", "%252", "2e", "%2a", "%252a", "%e2%80%a4"] {
            assert!(!hides_a_dot_or_slash(text), "{text}");
        }
    }

    #[test]
    fn an_escape_that_decoding_would_make_is_denied() {
        assert_eq!(canonical_escapes("/%25%32%65"), Err(BadTarget::Encoded));
        assert_eq!(canonical_escapes("/%7Ea%c3%a9%41"), Ok("/~a%C3%A9A".to_owned()));
        for path in ["/%", "/%4", "/%zz", "/%4é", "/%+1"] {
            assert_eq!(canonical_escapes(path), Err(BadTarget::Percent), "{path}");
        }
    }
}
