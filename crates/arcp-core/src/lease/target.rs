//! What an operation is about, in the one form in which it is compared (§9.3). What covers it is in `pattern.rs`.

use std::fmt;

use arcp_proto::{AgentRef, namespace};

use super::url;

/// The longest target that is looked at, in bytes.
pub const MAX_TARGET_BYTES: usize = 8_192;

/// What the targets and patterns of a capability are (§9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Absolute paths: `fs.read`, `fs.write`.
    Path,
    /// Absolute `http` and `https` URLs: `net.fetch`.
    Url,
    /// Names, compared as written: `tool.call` and vendors' capabilities.
    Name,
    /// `name` or `name@version` by the grammar of §7.5: `agent.delegate`.
    Agent,
    /// Names of models, compared as written: `model.use`.
    Model,
}

impl Kind {
    /// The kind of `capability`; `None` for one that is not known, and for `cost.budget`, which has amounts.
    pub fn of(capability: &str) -> Option<Self> {
        Some(match capability {
            namespace::FS_READ | namespace::FS_WRITE => Self::Path,
            namespace::NET_FETCH => Self::Url,
            namespace::TOOL_CALL => Self::Name,
            namespace::AGENT_DELEGATE => Self::Agent,
            namespace::MODEL_USE => Self::Model,
            vendor if vendor.len() > namespace::VENDOR_PREFIX.len() => {
                vendor.starts_with(namespace::VENDOR_PREFIX).then_some(Self::Name)?
            }
            _ => return None,
        })
    }

    /// Whether targets of this kind may have segments without a character, as in `a//b`.
    pub(super) fn has_empty_segments(self) -> bool {
        !matches!(self, Self::Path | Self::Agent)
    }
}

/// A text that is no target, or one that may mean different things to different readers. It is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadTarget {
    /// The capability has no targets: it is not known, or it is `cost.budget`.
    #[error("no capability with targets")]
    Capability,
    /// There is no text.
    #[error("empty")]
    Empty,
    /// More than [`MAX_TARGET_BYTES`].
    #[error("longer than {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// A control character, NUL among them.
    #[error("a control character")]
    Control,
    /// White space in a URL, at its ends too.
    #[error("white space in a URL")]
    WhiteSpace,
    /// `\`, which some readers take for `/`.
    #[error("a backslash")]
    Backslash,
    /// A path that does not begin with `/`.
    #[error("not an absolute path")]
    Relative,
    /// A segment `..` where it may lead out: in a path, in a pattern, beside empty segments.
    #[error("a segment `..`")]
    DotDot,
    /// A percent-encoded dot, slash or backslash, encoded once or more often.
    #[error("a percent-encoded dot or slash")]
    Encoded,
    /// A `%` in the path of a URL that no two hexadecimal digits follow.
    #[error("a broken percent-encoding")]
    Percent,
    /// Not `http:` or `https:`.
    #[error("not an http or https URL")]
    Scheme,
    /// No `//` after the scheme.
    #[error("no `//` after the scheme")]
    NoAuthority,
    /// A user name or password before the host.
    #[error("a user before the host")]
    Userinfo,
    /// No host, or one that is none.
    #[error("not a host name")]
    Host,
    /// A percent-encoding in the host.
    #[error("a percent-encoding in the host")]
    HostPercent,
    /// A host that begins or ends with a dot, has two in a row, or a dot of another script.
    #[error("a stray dot in the host")]
    HostDot,
    /// A host with characters that readers map to others, or leave out.
    #[error("an internationalised host that is not in its canonical form")]
    HostForm,
    /// An IPv4 address that is not four decimal numbers without leading zeros.
    #[error("an IPv4 address in an odd notation")]
    Address,
    /// A port that is no plain decimal number up to 65535.
    #[error("not a port")]
    Port,
    /// Not `name` or `name@version` (§7.5).
    #[error("not an agent name")]
    Agent,
}

/// One letter of what patterns are matched against: a target is a word of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// What stands before each segment.
    Separator,
    /// What stands before the query of a URL.
    Query,
    /// A character of a segment.
    Char(char),
    /// A character that no pattern names. Only proofs have it, no target.
    Other,
}

/// What an operation is about, canonicalised.
///
/// An operation is carried out on [`canonical`](Self::canonical), not on the text that the target was made of: only
/// that is what was allowed.
///
/// - Paths are absolute; `.`, empty segments and a slash at the end go; `..` is denied.
/// - URLs are read by a URL parser. Scheme and host are in lower case, default ports and fragments go, dot segments are
///   resolved, internationalised hosts are in punycode. Percent-encoded letters, digits, `-`, `_` and `~` of the path
///   are decoded, other encodings are in upper case. Slashes are kept: to a server `/a`, `/a/` and `/a//` may differ. The
///   query is kept and is part of the target. A URL that parsers disagree about is denied.
/// - Names are compared as written, code point by code point.
///
/// `Display` and `Debug` leave the query of a URL out, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    text: String,
    /// Where in the text the query of a URL begins, if it has one.
    query: Option<usize>,
    word: Vec<Letter>,
}

impl Target {
    /// Reads what an operation that needs `capability` is about.
    ///
    /// # Errors
    /// Says why the target is denied, without repeating it.
    pub fn parse(capability: &str, text: &str) -> Result<Self, BadTarget> {
        let kind = Kind::of(capability).ok_or(BadTarget::Capability)?;
        if text.len() > MAX_TARGET_BYTES {
            return Err(BadTarget::TooLong);
        }
        let mut query = None;
        let (text, word) = match kind {
            Kind::Path => {
                let path = canonical_path(text)?;
                let word = if path == "/" { Vec::new() } else { letters(&path, '/').collect() };
                (path, word)
            }
            Kind::Url => {
                let url = url::parse(text)?;
                let text = url.to_string();
                query = url.query.as_ref().map(|query| text.len() - query.len() - 1);
                (text, url.word())
            }
            Kind::Name | Kind::Model => {
                check_name(text)?;
                (text.to_owned(), after_separator(text, '/'))
            }
            Kind::Agent => {
                let agent: AgentRef = text.parse().map_err(|_| BadTarget::Agent)?;
                let text = agent.to_string();
                let word = after_separator(&text, '@');
                (text, word)
            }
        };
        if text.len() > MAX_TARGET_BYTES {
            return Err(BadTarget::TooLong);
        }
        Ok(Self { kind, text, query, word })
    }

    /// The text that patterns are matched against, and that the operation is to be carried out on.
    pub fn canonical(&self) -> &str {
        &self.text
    }

    /// What kind of target it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn word(&self) -> &[Letter] {
        &self.word
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.query {
            None => f.write_str(&self.text),
            Some(at) => write!(f, "{}?...", &self.text[..at]),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

/// The letters of a text whose segments begin with `separator`.
pub(super) fn letters(text: &str, separator: char) -> impl Iterator<Item = Letter> {
    text.chars().map(move |c| if c == separator { Letter::Separator } else { Letter::Char(c) })
}

fn after_separator(text: &str, separator: char) -> Vec<Letter> {
    std::iter::once(Letter::Separator).chain(letters(text, separator)).collect()
}

/// The path without `.`, empty segments and a slash at its end. Also for patterns: `*` is left as it is.
pub(super) fn canonical_path(text: &str) -> Result<String, BadTarget> {
    if text.is_empty() {
        return Err(BadTarget::Empty);
    }
    if text.contains('\0') {
        return Err(BadTarget::Control);
    }
    if text.contains('\\') {
        return Err(BadTarget::Backslash);
    }
    if !text.starts_with('/') {
        return Err(BadTarget::Relative);
    }
    if url::hides_a_dot_or_slash(text) {
        return Err(BadTarget::Encoded);
    }
    let mut out = String::with_capacity(text.len());
    for segment in text.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." {
            return Err(BadTarget::DotDot);
        }
        out.push('/');
        out.push_str(segment);
    }
    Ok(if out.is_empty() { "/".to_owned() } else { out })
}

pub(super) fn check_name(text: &str) -> Result<(), BadTarget> {
    if text.is_empty() {
        return Err(BadTarget::Empty);
    }
    if text.contains(char::is_control) {
        return Err(BadTarget::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_with_patterns_has_a_kind() {
        for name in namespace::RESERVED {
            assert_eq!(Kind::of(name).is_none(), name == namespace::COST_BUDGET, "{name}");
        }
        assert_eq!(Kind::of("x-vendor.acme.db"), Some(Kind::Name));
        for name in ["", "fs", "fs.delete", "x-vendor.", "x-vendor", "X-VENDOR.a", "x-vendox.aa"] {
            assert_eq!(Kind::of(name), None, "{name}");
            assert_eq!(Target::parse(name, "/a"), Err(BadTarget::Capability));
        }
    }

    #[test]
    fn names_are_taken_as_written() {
        for text in ["search.web", "mcp:github/list issues", "a//b", "../x", "*", "Größe"] {
            assert_eq!(Target::parse("tool.call", text).unwrap().canonical(), text);
            assert_eq!(Target::parse("model.use", text).unwrap().canonical(), text);
        }
        for text in ["a\0", "a\nb", "\u{85}"] {
            assert_eq!(Target::parse("tool.call", text), Err(BadTarget::Control));
        }
        assert_eq!(Target::parse("x-vendor.a", ""), Err(BadTarget::Empty));
    }

    #[test]
    fn an_agent_is_one_by_the_grammar() {
        for text in ["code-refactor", "code-refactor@2.0.0"] {
            assert_eq!(Target::parse("agent.delegate", text).unwrap().canonical(), text);
        }
        for text in ["", "A", "a@", "a@1@2", "a/b", "*"] {
            assert_eq!(Target::parse("agent.delegate", text), Err(BadTarget::Agent), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_denied_before_and_after_it_is_encoded() {
        let path = format!("/{}", "a".repeat(MAX_TARGET_BYTES));
        assert!(Target::parse("fs.read", &path[1..]).is_err());
        assert!(Target::parse("fs.read", &path[..MAX_TARGET_BYTES]).is_ok());
        assert_eq!(Target::parse("fs.read", &path), Err(BadTarget::TooLong));
        let url = format!("https://a/{}", "é".repeat(MAX_TARGET_BYTES / 2 - 10));
        assert_eq!(Target::parse("net.fetch", &url), Err(BadTarget::TooLong));
    }

    #[test]
    fn what_is_shown_has_no_query() {
        let target = Target::parse("net.fetch", "https://a.example/x?token=secret#part").unwrap();
        assert_eq!(target.canonical(), "https://a.example/x?token=secret");
        assert_eq!(target.to_string(), "https://a.example/x?...");
        assert_eq!(format!("{target:?}"), "Url(https://a.example/x?...)");
    }
}
