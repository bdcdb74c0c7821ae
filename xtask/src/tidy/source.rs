//! A Rust file taken apart into code, comments and literals, so that a rule on code does not trip over a
//! word in a string. It is a lexer only as far as that needs.

/// What a byte of a Rust file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// The views of a Rust file that the rules read. All have the same lines, and blanks for what is left out.
#[derive(Debug)]
pub(super) struct Source {
    /// Neither comments nor literals.
    pub(super) code: String,
    /// Comments alone.
    pub(super) comments: String,
    /// Code and comments: comments hold examples, which are code too.
    pub(super) without_literals: String,
    /// Code and literals.
    pub(super) without_comments: String,
    /// The lines, from 1, that stand under `#[cfg(test)]`.
    test_lines: Vec<bool>,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let parts = parts(text.as_bytes());
        let view = |wanted: &[Part]| {
            let kept = text.bytes().zip(&parts);
            let bytes =
                kept.map(|(byte, part)| if byte == b'\n' || wanted.contains(part) { byte } else { b' ' });
            String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
        };
        let code = view(&[Part::Code]);
        Self {
            comments: view(&[Part::Comment]),
            without_literals: view(&[Part::Code, Part::Comment]),
            without_comments: view(&[Part::Code, Part::Literal]),
            test_lines: test_lines(&code),
            code,
        }
    }

    /// Whether a line, counted from 1, stands under `#[cfg(test)]`.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line).copied().unwrap_or(false)
    }
}

fn parts(bytes: &[u8]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(bytes.len());
    while parts.len() < bytes.len() {
        let at = parts.len();
        let (part, end) = part(bytes, at);
        parts.resize(end.clamp(at + 1, bytes.len()), part);
    }
    parts
}

/// What starts at `at`, and where it ends.
fn part(bytes: &[u8], at: usize) -> (Part, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n');
        return (Part::Comment, length.map_or(bytes.len(), |length| at + length));
    }
    if rest.starts_with(b"/*") {
        return (Part::Comment, block_comment(bytes, at));
    }
    match rest[0] {
        b'"' => (Part::Literal, string(bytes, at)),
        b'\'' => match character(rest) {
            Some(length) => (Part::Literal, at + length),
            None => (Part::Code, at + 1),
        },
        b'r' if !follows_a_name(bytes, at) => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) == Some(&b'"') {
                let close = [b"\"", "#".repeat(hashes).as_bytes()].concat();
                let body = at + hashes + 2;
                (Part::Literal, find(bytes, body, &close).map_or(bytes.len(), |end| end + close.len()))
            } else {
                (Part::Code, at + 1)
            }
        }
        _ => (Part::Code, at + 1),
    }
}

/// Whether the `r` at `at` is the end of a name, and not of the prefix of a raw string.
fn follows_a_name(bytes: &[u8], at: usize) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let prefix = at.checked_sub(1).filter(|before| matches!(bytes[*before], b'b' | b'c')).unwrap_or(at);
    prefix > 0 && is_name(bytes[prefix - 1])
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of the character literal that starts here, if it is one and not a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return find(rest, 3, b"'").map(|end| end + 1);
    }
    let length = rest.get(1..)?.iter().skip(1).take_while(|byte| **byte & 0xC0 == 0x80).count() + 1;
    (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let found = bytes.get(from..)?.windows(what.len()).position(|window| window == what)?;
    Some(from + found)
}

/// For each line, whether it stands in an item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count() + 2];
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let from = start + attribute.len();
        let end = item_end(code.as_bytes(), from);
        let line_of = |at: usize| code[..at].matches('\n').count() + 1;
        let last = line_of(end).min(lines.len() - 1);
        lines[line_of(start)..=last].fill(true);
    }
    lines
}

/// Where the item that starts at `from` ends: at its `;`, or at the brace that closes its first one.
fn item_end(code: &[u8], from: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' if depth <= 1 => return at,
            b'}' | b')' | b']' => depth -= 1,
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let source = Source::new("a \"b // c\" // d \"e\"\n/* f /* g */ h */ i");
        assert_eq!(source.code.split_whitespace().collect::<Vec<_>>(), ["a", "i"]);
        assert_eq!(
            source.without_comments.split_whitespace().collect::<Vec<_>>(),
            ["a", "\"b", "//", "c\"", "i"]
        );
        assert_eq!(source.code.find('\n'), source.without_comments.find('\n'));
        assert_eq!(source.comments.lines().next().map(str::trim), Some("// d \"e\""));
        assert!(!source.without_literals.contains('b') && source.without_literals.contains('h'));
    }

    #[test]
    fn raw_strings_end_where_they_end() {
        let code = |text: &str| Source::new(text).code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code(r####"a r##"b"# c"## d"####), "a d");
        assert_eq!(code(r#"br"a\" b"#), "b b");
        assert_eq!(code("r#type for"), "r#type for");
        assert_eq!(code(r#"a "\"" b "\\" c"#), "a b c");
    }

    #[test]
    fn characters_are_no_lifetimes() {
        let code = |text: &str| Source::new(text).code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code("f::<'a>('\"', b) 'é' '\\'' '\\u{1F600}' '\\\\' c"), "f::<'a>( , b) c");
    }

    #[test]
    fn lines_of_tests_are_known() {
        let text = "a\n#[cfg(test)]\nmod tests {\n{}\n\"}\"\n}\nb\n#[cfg(test)]\nuse c;\nd\n";
        let source = Source::new(text);
        let tests: Vec<_> = (1..=10).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 6, 8, 9]);
    }
}
