//! What two patterns allow both, written as patterns (§9.3). Whether one of them covers the other is in `subset.rs`.

use std::collections::HashMap;
use std::rc::Rc;

use super::pattern::{Pattern, Token};
use super::subset::covers_within;
use super::target::Kind;

/// The most patterns that stand for what two allow both.
const MAX_ALTERNATIVES: usize = 32;

/// The longest run of segments, or of characters of a segment with a wildcard, that is looked into.
const MAX_STEPS: usize = 256;

/// How many pairs of steps are looked at, in all proofs for one lease. Who asks for a lease chooses one side of them, and a runtime
/// does nothing else meanwhile.
const MAX_PROOFS: usize = 1 << 21;

/// How many steps are written, into patterns that may come of it, for one lease.
const MAX_WORK: usize = 1 << 18;

/// What two patterns allow both need not be what a few patterns allow; and whether it is may be too much to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what both patterns allow cannot be written as a few patterns")]
pub struct NotExpressible;

/// The patterns that together match what both of these match, and nothing else; none if there is nothing.
///
/// ```
/// use arcp_core::lease::{Pattern, intersection};
///
/// let pattern = |text| Pattern::parse("fs.read", text).unwrap();
/// let both = |a, b| intersection(&pattern(a), &pattern(b)).unwrap();
/// assert_eq!(both("/**", "/data/**"), [pattern("/data/**")]);
/// assert_eq!(both("/data/*/x", "/data/a/*"), [pattern("/data/a/x")]);
/// assert_eq!(both("/data/**", "/etc/*"), []);
/// ```
///
/// # Errors
/// [`NotExpressible`], for patterns with `**` inside of a segment that meet others than those that they cover or are covered by,
/// and where it would take more than 32 patterns.
pub fn intersection(a: &Pattern, b: &Pattern) -> Result<Vec<Pattern>, NotExpressible> {
    Meeting::new().of(a, b)
}

/// What may still be spent on the patterns of one lease.
pub(super) struct Meeting {
    work: usize,
    proofs: usize,
}

impl Meeting {
    pub(super) fn new() -> Self {
        Self { work: MAX_WORK, proofs: MAX_PROOFS }
    }

    pub(super) fn covers(&mut self, parent: &Pattern, child: &Pattern) -> bool {
        covers_within(parent, child, &mut self.proofs)
    }

    /// See [`intersection`].
    pub(super) fn of(&mut self, a: &Pattern, b: &Pattern) -> Result<Vec<Pattern>, NotExpressible> {
        if a.kind() != b.kind() || are_apart(a, b) {
            return Ok(Vec::new());
        }
        if self.covers(a, b) {
            return Ok(vec![b.clone()]);
        }
        if self.covers(b, a) {
            return Ok(vec![a.clone()]);
        }
        let (first, second) = (Shape::of(a)?, Shape::of(b)?);
        let mut query_ends = Vec::new();
        match (&first.query, &second.query) {
            (Query::Any, other) | (other, Query::Any) => query_ends.push(other.text().map(str::to_owned)),
            (Query::None, Query::None) => query_ends.push(None),
            (Query::Text(one), Query::Text(other)) => {
                query_ends.extend(self.queries(one, other)?.into_iter().map(Some));
            }
            (Query::None, Query::Text(_)) | (Query::Text(_), Query::None) => {}
        }
        if query_ends.is_empty() {
            return Ok(Vec::new());
        }
        let paths =
            Self::sequences(&mut self.work, &first.segments, &second.segments, &mut |work, one, other| {
                one.meet(other, work)
            })?;
        let mut found: Vec<Pattern> = Vec::new();
        for path in paths {
            for query in &query_ends {
                let Some(text) = text_of(a.kind(), &path, query.as_deref()) else { continue };
                // What is written is read again, and must be what was meant.
                let pattern = Pattern::read(a.kind(), &text).map_err(|_| NotExpressible)?;
                if pattern.canonical() != text || !self.covers(a, &pattern) || !self.covers(b, &pattern) {
                    return Err(NotExpressible);
                }
                self.add(&mut found, pattern);
            }
        }
        if found.len() > MAX_ALTERNATIVES { Err(NotExpressible) } else { Ok(found) }
    }

    /// Adds a pattern to others, unless they cover it; those that it covers go.
    pub(super) fn add(&mut self, patterns: &mut Vec<Pattern>, pattern: Pattern) {
        if patterns.iter().any(|other| self.covers(other, &pattern)) {
            return;
        }
        patterns.retain(|other| !self.covers(&pattern, other));
        patterns.push(pattern);
    }

    /// Of queries: `*` does not cross `/`, and there are no whole segments.
    fn queries(&mut self, one: &str, other: &str) -> Result<Vec<String>, NotExpressible> {
        if one == other {
            return Ok(vec![one.to_owned()]);
        }
        if one.contains("**") || other.contains("**") {
            return Err(NotExpressible);
        }
        if one.split('/').count() != other.split('/').count() {
            return Ok(Vec::new());
        }
        let mut all: Option<Vec<String>> = None;
        for (one, other) in one.split('/').zip(other.split('/')) {
            let pieces = texts(one, other, &mut self.work)?;
            all = Some(match all {
                None => pieces,
                Some(before) => {
                    let joined = before
                        .iter()
                        .flat_map(|before| pieces.iter().map(move |piece| format!("{before}/{piece}")));
                    joined.take(MAX_ALTERNATIVES + 1).collect()
                }
            });
        }
        let all = all.unwrap_or_default();
        if all.len() > MAX_ALTERNATIVES { Err(NotExpressible) } else { Ok(all) }
    }

    /// The sequences that stand for what two stand for both.
    fn sequences<T: Clone + PartialEq>(
        work: &mut usize,
        a: &[Step<T>],
        b: &[Step<T>],
        both: Both<'_, T>,
    ) -> Result<Sequences<T>, NotExpressible> {
        if a.len() > MAX_STEPS || b.len() > MAX_STEPS {
            return Err(NotExpressible);
        }
        let mut walk = Walk { a, b, both, work, known: HashMap::new() };
        walk.from(0, 0).map(|all| all.to_vec())
    }
}

/// Whether one begins, or ends, with other letters than the other must begin, or end, with.
fn are_apart(a: &Pattern, b: &Pattern) -> bool {
    fn differ<'t>(mut pairs: impl Iterator<Item = (&'t Token, &'t Token)>) -> bool {
        pairs.find_map(|pair| match pair {
            (Token::Letter(own), Token::Letter(other)) if own == other => None,
            (Token::Letter(_), Token::Letter(_)) => Some(true),
            _ => Some(false),
        }) == Some(true)
    }
    differ(a.tokens().iter().zip(b.tokens())) || differ(a.tokens().iter().rev().zip(b.tokens().iter().rev()))
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq)]
enum Step<T> {
    /// Any number of anything.
    Many,
    /// One of these.
    One(T),
}

/// Sequences that together stand for something.
type Sequences<T> = Vec<Vec<Step<T>>>;

/// What two single steps stand for both.
type Both<'a, T> = &'a mut dyn FnMut(&mut usize, &T, &T) -> Result<Vec<T>, NotExpressible>;

/// A walk through two sequences at once.
///
/// What `Many` takes in both sequences ends in one of them first: then what is left of that one meets the other, `Many` included.
/// Every other pair of steps begins with one item that both take.
struct Walk<'a, T> {
    a: &'a [Step<T>],
    b: &'a [Step<T>],
    both: Both<'a, T>,
    work: &'a mut usize,
    known: HashMap<(usize, usize), Rc<Sequences<T>>>,
}

impl<T: Clone + PartialEq> Walk<'_, T> {
    /// What is left of both from these places on.
    fn from(&mut self, i: usize, j: usize) -> Result<Rc<Sequences<T>>, NotExpressible> {
        if let Some(known) = self.known.get(&(i, j)) {
            return Ok(Rc::clone(known));
        }
        let mut all = Vec::new();
        match (self.a.get(i), self.b.get(j)) {
            (None, None) => all.push(Vec::new()),
            (Some(Step::Many), Some(Step::Many)) => {
                put_before(&mut all, &Step::Many, &self.from(i + 1, j)?)?;
                put_before(&mut all, &Step::Many, &self.from(i, j + 1)?)?;
            }
            (Some(Step::Many), Some(one)) => {
                let one = one.clone();
                all.clone_from(&*self.from(i + 1, j)?);
                put_before(&mut all, &one, &self.from(i, j + 1)?)?;
            }
            (Some(one), Some(Step::Many)) => {
                let one = one.clone();
                all.clone_from(&*self.from(i, j + 1)?);
                put_before(&mut all, &one, &self.from(i + 1, j)?)?;
            }
            (Some(Step::Many), None) => all.clone_from(&*self.from(i + 1, j)?),
            (None, Some(Step::Many)) => all.clone_from(&*self.from(i, j + 1)?),
            (Some(Step::One(one)), Some(Step::One(other))) => {
                for both in (self.both)(self.work, one, other)? {
                    put_before(&mut all, &Step::One(both), &self.from(i + 1, j + 1)?)?;
                }
            }
            (Some(Step::One(_)), None) | (None, Some(Step::One(_))) => {}
        }
        let written = all.iter().map(Vec::len).sum::<usize>() + 1;
        *self.work = self.work.checked_sub(written).ok_or(NotExpressible)?;
        let all = Rc::new(all);
        self.known.insert((i, j), Rc::clone(&all));
        Ok(all)
    }
}

/// Adds each of the rests, with a step before it.
fn put_before<T: Clone + PartialEq>(
    all: &mut Sequences<T>,
    step: &Step<T>,
    rests: &[Vec<Step<T>>],
) -> Result<(), NotExpressible> {
    for rest in rests {
        let mut whole = Vec::with_capacity(rest.len() + 1);
        whole.push(step.clone());
        whole.extend_from_slice(rest);
        if !all.contains(&whole) {
            all.push(whole);
        }
    }
    if all.len() > MAX_ALTERNATIVES { Err(NotExpressible) } else { Ok(()) }
}

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq)]
enum Segment {
    /// `*`: any, of one character at least.
    Whole,
    /// A text, with any characters for each `*` in it.
    Text(String),
}

impl Segment {
    fn meet(&self, other: &Self, work: &mut usize) -> Result<Vec<Self>, NotExpressible> {
        match (self, other) {
            (Self::Whole, Self::Text(text)) | (Self::Text(text), Self::Whole) if text.is_empty() => {
                Ok(Vec::new())
            }
            // A text that is not empty and not `*` has a character.
            (Self::Whole, one) | (one, Self::Whole) => Ok(vec![one.clone()]),
            (Self::Text(one), Self::Text(other)) => {
                Ok(texts(one, other, work)?.into_iter().map(Self::Text).collect())
            }
        }
    }
}

/// What two texts without separators stand for both, with any characters for each `*`.
fn texts(one: &str, other: &str, work: &mut usize) -> Result<Vec<String>, NotExpressible> {
    if one == other {
        return Ok(vec![one.to_owned()]);
    }
    if !one.contains('*') && !other.contains('*') {
        return Ok(Vec::new());
    }
    let steps = |text: &str| -> Vec<Step<char>> {
        text.chars().map(|c| if c == '*' { Step::Many } else { Step::One(c) }).collect()
    };
    let mut same = |_: &mut usize, a: &char, b: &char| Ok(if a == b { vec![*a] } else { Vec::new() });
    let found = Meeting::sequences(work, &steps(one), &steps(other), &mut same)?;
    let text = |steps: Vec<Step<char>>| {
        steps.iter().map(|step| if let Step::One(c) = step { *c } else { '*' }).collect()
    };
    Ok(found.into_iter().map(text).collect())
}

/// What a pattern says of queries.
enum Query<'a> {
    /// There is none. So it is where there are no queries.
    None,
    /// There may be any, or none.
    Any,
    /// One of these.
    Text(&'a str),
}

impl<'a> Query<'a> {
    /// What is written of it.
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::None | Self::Any => None,
            Self::Text(text) => Some(text),
        }
    }
}

/// A pattern as a sequence of segments. A URL begins with its scheme, its host and its port; an agent is a name and a version.
struct Shape<'a> {
    segments: Vec<Step<Segment>>,
    query: Query<'a>,
}

impl<'a> Shape<'a> {
    fn of(pattern: &'a Pattern) -> Result<Self, NotExpressible> {
        let text = pattern.canonical();
        let mut query = Query::None;
        let segments: Vec<&str> = match pattern.kind() {
            Kind::Path => text.split('/').filter(|segment| !segment.is_empty()).collect(),
            Kind::Name | Kind::Model => text.split('/').collect(),
            Kind::Agent => {
                let (name, version) = text.split_once('@').unwrap_or((text, "**"));
                vec![name, version]
            }
            Kind::Url => {
                let (whole, asked) =
                    text.split_once('?').map_or((text, None), |(whole, query)| (whole, Some(query)));
                let (scheme, rest) = whole.split_once("://").ok_or(NotExpressible)?;
                let (authority, path) = rest.split_once('/').ok_or(NotExpressible)?;
                let (host, port) = match authority.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => (host, port),
                    _ => (authority, default_port(scheme)),
                };
                query = match asked {
                    Some(query) => Query::Text(query),
                    None if path.ends_with("**") => Query::Any,
                    None => Query::None,
                };
                [scheme, host, port].into_iter().chain(path.split('/')).collect()
            }
        };
        let segment = |text: &str| match text {
            "**" => Ok(Step::Many),
            "*" => Ok(Step::One(Segment::Whole)),
            text if text.contains("**") => Err(NotExpressible),
            text => Ok(Step::One(Segment::Text(text.to_owned()))),
        };
        Ok(Self { segments: segments.into_iter().map(segment).collect::<Result<_, _>>()?, query })
    }
}

fn default_port(scheme: &str) -> &'static str {
    if scheme == "http" { "80" } else { "443" }
}

/// How a sequence of segments is written; `None` if no target is like it.
fn text_of(kind: Kind, segments: &[Step<Segment>], query: Option<&str>) -> Option<String> {
    let texts: Vec<&str> = segments
        .iter()
        .map(|segment| match segment {
            Step::Many => "**",
            Step::One(Segment::Whole) => "*",
            Step::One(Segment::Text(text)) => text,
        })
        .collect();
    let is_dots = |text: &&str| matches!(*text, "." | "..");
    match kind {
        Kind::Path => (!texts.iter().any(is_dots)).then(|| format!("/{}", texts.join("/"))),
        Kind::Name | Kind::Model => Some(texts.join("/")).filter(|text| !text.is_empty()),
        Kind::Agent => match texts[..] {
            [name] | [name, "**"] => Some(name.to_owned()),
            [name, version] => Some(format!("{name}@{version}")),
            _ => None,
        },
        Kind::Url => {
            let [scheme, host, port, path @ ..] = &texts[..] else { return None };
            if path.is_empty() || path.iter().any(is_dots) {
                return None;
            }
            let port = if *port == default_port(scheme) { String::new() } else { format!(":{port}") };
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Some(format!("{scheme}://{host}{port}/{}{query}", path.join("/")))
        }
    }
}
