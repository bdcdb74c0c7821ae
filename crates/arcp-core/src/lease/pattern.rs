//! What a lease grants: patterns, and which targets they match (§9.2). Which patterns others cover is in `subset.rs`.

use std::fmt;

use super::target::{BadTarget, Kind, Letter, Target, canonical_path, check_name, letters};
use super::url;

/// The longest pattern that is taken, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4_096;

/// A text that is no pattern of its capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadPattern {
    /// More than [`MAX_PATTERN_BYTES`].
    #[error("longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// What no target of the capability may have, a pattern may not have either.
    #[error(transparent)]
    Form(#[from] BadTarget),
    /// A wildcard in a host where it may match more than it seems to.
    #[error(
        "a wildcard in the host that is `**`, in its last label, in an internationalised label or in an address"
    )]
    HostWildcard,
    /// A fragment, which is never part of what is fetched.
    #[error("a fragment in a URL pattern")]
    Fragment,
}

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This letter.
    Letter(Letter),
    /// One character.
    Any,
    /// Any number of characters.
    Run,
    /// Any number of characters and separators.
    Cross,
    /// Either this letter and then the step that follows, or neither.
    Open(Letter),
}

impl Token {
    /// Which step is next if this one, at `at`, takes `letter`.
    pub(super) fn take(self, at: usize, letter: Letter) -> Option<usize> {
        match (self, letter) {
            (Self::Letter(own) | Self::Open(own), letter) => (own == letter).then_some(at + 1),
            (Self::Any, Letter::Char(_) | Letter::Other) => Some(at + 1),
            (Self::Run | Self::Cross, Letter::Char(_) | Letter::Other) | (Self::Cross, Letter::Separator) => {
                Some(at)
            }
            _ => None,
        }
    }

    /// Which step is next if this one, at `at`, takes nothing.
    pub(super) fn skip(self, at: usize) -> Option<usize> {
        match self {
            Self::Letter(_) | Self::Any => None,
            Self::Run | Self::Cross => Some(at + 1),
            Self::Open(_) => Some(at + 2),
        }
    }
}

/// A pattern of a lease (§9.2): what a job may do, as the targets that it matches, from their first character to their last.
///
/// - `*` matches any characters within a segment, also none; as a whole segment it matches one segment with at least one
///   character. Segments are divided by `/`; `.` does not divide, so `search.*` matches `search.web.images`.
/// - `**` matches any characters, `/` included; as a whole segment it matches zero or more segments, so `/a/**` matches
///   `/a`, and `/a**` matches `/ab/c` as well. More than two `*` in a row are two.
/// - Everything else stands for itself: there is no `?`, no `[…]`, no `{…}` and no escape.
///
/// A pattern is canonicalised like a [`Target`], except that dot segments `..` are refused everywhere.
///
/// In a URL pattern the scheme is `http` or `https`, the port is absent (the default), a number or `*`. `*` in the host
/// crosses `.` but never leaves the host, so `https://*.example.com/` is about all hosts below `example.com`, and not about
/// `example.com` itself. The last label has no wildcard, unless the host is `*` alone. A query can change what
/// is done as much as a path can, so it must be granted: either the pattern ends in `**`, which covers whatever query
/// follows, or it spells the query, as in `https://a.example/search?q=*`. A pattern without a path is about `/` alone.
///
/// An agent pattern without `@` covers every version and the name without one; with `@`, a version must be there and match.
#[derive(Clone)]
pub struct Pattern {
    kind: Kind,
    text: String,
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern of `capability`.
    ///
    /// # Errors
    /// Says what is wrong, without repeating the pattern.
    pub fn parse(capability: &str, text: &str) -> Result<Self, BadPattern> {
        Self::read(Kind::of(capability).ok_or(BadTarget::Capability)?, text)
    }

    /// Reads a pattern of a kind.
    pub(super) fn read(kind: Kind, text: &str) -> Result<Self, BadPattern> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(BadPattern::TooLong);
        }
        let text = two_stars_at_most(text);
        let (text, tokens) = match kind {
            Kind::Path => path_pattern(&text)?,
            Kind::Url => url_pattern(&text)?,
            Kind::Name | Kind::Model => name_pattern(&text)?,
            Kind::Agent => agent_pattern(&text)?,
        };
        if text.len() > MAX_PATTERN_BYTES {
            return Err(BadPattern::TooLong);
        }
        Ok(Self { kind, text, tokens })
    }

    /// The pattern in the form in which it is compared.
    pub fn canonical(&self) -> &str {
        &self.text
    }

    /// What its targets are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the pattern matches all of `target`. Takes at most time in proportion to the length of both, multiplied.
    pub fn matches(&self, target: &Target) -> bool {
        self.kind == target.kind() && self.follow(target.word()).1
    }

    /// How much of `target` the pattern goes along with, for choosing among those that do not match.
    pub(super) fn reach(&self, target: &Target) -> usize {
        if self.kind == target.kind() { self.follow(target.word()).0 } else { 0 }
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// How many letters can be taken, and whether they are all of `word` and end the pattern. All steps at which the
    /// pattern can be after a letter are followed at once, each one time.
    fn follow(&self, word: &[Letter]) -> (usize, bool) {
        let mut reached = vec![0; self.tokens.len() + 1];
        let mut here = Vec::new();
        self.enter(0, 1, &mut reached, &mut here);
        for (index, letter) in word.iter().enumerate() {
            let mut next = Vec::with_capacity(here.len());
            for at in here {
                let token = self.tokens.get(at);
                if let Some(to) = token.and_then(|token| token.take(at, *letter)) {
                    self.enter(to, index + 2, &mut reached, &mut next);
                }
            }
            if next.is_empty() {
                return (index, false);
            }
            here = next;
        }
        (word.len(), here.contains(&self.tokens.len()))
    }

    fn enter(&self, at: usize, round: usize, reached: &mut [usize], here: &mut Vec<usize>) {
        for at in self.skips(at) {
            if std::mem::replace(&mut reached[at], round) == round {
                break;
            }
            here.push(at);
        }
    }

    /// The steps at which the pattern is when it is at `at`: this one, and those after steps that may take nothing.
    pub(super) fn skips(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(at), |at| self.tokens.get(*at)?.skip(*at))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.text) == (other.kind, &other.text)
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind, self.text)
    }
}

fn two_stars_at_most(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '*' || !out.ends_with("**") {
            out.push(c);
        }
    }
    out
}

/// A segment `**` after another says nothing new.
fn without_repeated_crossings(text: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        if segment != "**" || out.last() != Some(&"**") {
            out.push(segment);
        }
    }
    out.join("/")
}

fn path_pattern(text: &str) -> Result<(String, Vec<Token>), BadTarget> {
    let text = without_repeated_crossings(&canonical_path(text)?);
    let mut segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    // Segments of a path have characters, so `**/*` and `*/**` are the same: of the two, the second needs no look ahead.
    for run in segments.chunk_by_mut(|a, b| is_wild(a) && is_wild(b)) {
        run.sort_by_key(|segment| *segment == "**");
    }
    Ok((text.clone(), joined(segments)))
}

fn is_wild(segment: &str) -> bool {
    matches!(segment, "*" | "**")
}

fn name_pattern(text: &str) -> Result<(String, Vec<Token>), BadTarget> {
    check_name(text)?;
    let text = without_repeated_crossings(text);
    let tokens = joined(text.split('/'));
    Ok((text, tokens))
}

fn agent_pattern(text: &str) -> Result<(String, Vec<Token>), BadTarget> {
    // There is nothing in the name of an agent that `**` could cross.
    let text = text.replace("**", "*");
    let (name, version) =
        text.split_once('@').map_or((&*text, None), |(name, version)| (name, Some(version)));
    // A name with each `*` taken for a letter is one by the grammar, or no name could match.
    let agent = format!("{}{}", name.replace('*', "a"), if version.is_some() { "@" } else { "" });
    let agent = version.map_or(agent.clone(), |version| agent + &version.replace('*', "a"));
    agent.parse::<arcp_proto::AgentRef>().map_err(|_| BadTarget::Agent)?;
    let tokens = joined([name, version.unwrap_or("**")]);
    Ok((text, tokens))
}

fn url_pattern(text: &str) -> Result<(String, Vec<Token>), BadPattern> {
    let split = url::split(text)?;
    if split.fragment.is_some() {
        return Err(BadPattern::Fragment);
    }
    let host = host_pattern(split.host)?;
    let port = match split.port {
        Some("*") => "*".to_owned(),
        Some(port) => url::canonical_port(port)?.to_string(),
        None => split.scheme.default_port().to_string(),
    };
    if split.path.split('/').any(|segment| segment == "..") {
        return Err(BadTarget::DotDot.into());
    }
    let (path, query) = url::canonical_rest(split.path, split.query)?;
    let path = without_repeated_crossings(&path);
    let scheme = split.scheme.as_str();
    let mut text = format!("{scheme}://{host}");
    if port != split.scheme.default_port().to_string() {
        text = format!("{text}:{port}");
    }
    text.push_str(&path);
    let mut tokens = joined([scheme, &host, &port].into_iter().chain(path.split('/').skip(1)));
    match query {
        Some(query) => {
            text = format!("{text}?{query}");
            tokens.push(Token::Letter(Letter::Query));
            push_within(&mut tokens, &query);
        }
        None if path.ends_with("**") => tokens.extend([Token::Open(Letter::Query), Token::Cross]),
        None => {}
    }
    Ok((text, tokens))
}

/// The host of a URL pattern. Each label with a wildcard is read as if it were a plain one.
fn host_pattern(host: &str) -> Result<String, BadPattern> {
    if !host.contains('*') {
        return Ok(url::canonical_host(host)?);
    }
    if host == "*" {
        return Ok(host.to_owned());
    }
    let lower = host.to_ascii_lowercase();
    let labels: Vec<&str> = lower.split('.').collect();
    let wild = |label: &&str| label.contains('*');
    let odd = |label: &&str| wild(label) && (!label.is_ascii() || label.starts_with("xn--"));
    if host.contains("**") || host.contains('[') || labels.last().is_some_and(wild) || labels.iter().any(odd)
    {
        return Err(BadPattern::HostWildcard);
    }
    let stand_in: Vec<String> = labels.iter().map(|label| label.replace('*', "a")).collect();
    let read = url::canonical_host(&stand_in.join("."))?;
    let read: Vec<&str> = read.split('.').collect();
    if read.len() != labels.len() {
        return Err(BadTarget::Host.into());
    }
    let labels = labels.into_iter().zip(read).map(|(own, read)| if wild(&own) { own } else { read });
    Ok(labels.collect::<Vec<_>>().join("."))
}

/// The steps of a text that is made of these segments.
fn joined<'a>(segments: impl IntoIterator<Item = &'a str>) -> Vec<Token> {
    let mut tokens = Vec::new();
    for segment in segments {
        match segment {
            "**" => tokens.extend([Token::Open(Letter::Separator), Token::Cross]),
            "*" => tokens.extend([Token::Letter(Letter::Separator), Token::Any, Token::Run]),
            _ => {
                tokens.push(Token::Letter(Letter::Separator));
                push_within(&mut tokens, segment);
            }
        }
    }
    tokens
}

/// The steps of a text in which `*` is no whole segment.
fn push_within(tokens: &mut Vec<Token>, text: &str) {
    let mut chars = letters(text, '/').peekable();
    while let Some(letter) = chars.next() {
        tokens.push(match letter {
            Letter::Char('*') if chars.next_if_eq(&Letter::Char('*')).is_some() => Token::Cross,
            Letter::Char('*') => Token::Run,
            letter => Token::Letter(letter),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(capability: &str, pattern: &str, target: &str) -> bool {
        let target = Target::parse(capability, target).expect(target);
        Pattern::parse(capability, pattern).expect(pattern).matches(&target)
    }

    #[test]
    fn a_pattern_is_about_one_kind_of_target() {
        let tool = Pattern::parse("tool.call", "**").unwrap();
        assert!(tool.matches(&Target::parse("x-vendor.a", "a").unwrap()));
        assert!(!tool.matches(&Target::parse("model.use", "a").unwrap()));
        assert!(!tool.matches(&Target::parse("fs.read", "/a").unwrap()));
    }

    #[test]
    fn many_wildcards_against_a_long_target_take_no_time() {
        let long = "a".repeat(8_000);
        for pattern in ["a*".repeat(14) + "b", "**/".repeat(1_000) + "b", "*a".repeat(2_000) + "b"] {
            assert!(!matches("tool.call", &pattern, &long), "{pattern}");
        }
        let deep = format!("/{}c", "a/".repeat(4_000));
        assert!(!matches("fs.read", &format!("/{}b", "**/*/".repeat(14)), &deep));
        assert!(!matches("fs.read", &format!("/{}b", "**/a/".repeat(800)), &deep));
    }

    #[test]
    fn what_a_pattern_reaches_is_how_far_it_goes_along() {
        let reach = |pattern| {
            let target = Target::parse("fs.read", "/a/b").unwrap();
            Pattern::parse("fs.read", pattern).unwrap().reach(&target)
        };
        assert_eq!([reach("/x"), reach("/a"), reach("/a/*c"), reach("/a/b")], [1, 2, 4, 4]);
    }

    #[test]
    fn the_length_of_a_pattern_is_bounded() {
        let long = "a".repeat(MAX_PATTERN_BYTES + 1);
        assert_eq!(Pattern::parse("tool.call", &long), Err(BadPattern::TooLong));
        assert!(Pattern::parse("tool.call", &long[1..]).is_ok());
        let encoded = format!("https://a/{}", "é".repeat(2_000));
        assert_eq!(Pattern::parse("net.fetch", &encoded), Err(BadPattern::TooLong));
    }
}
