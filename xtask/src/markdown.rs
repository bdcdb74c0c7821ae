//! As much of Markdown as the other modules need: which lines are fenced code, and where links are. It is
//! no parser: indented code and HTML are prose to it.

/// What a line of Markdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Outside every fence.
    Prose,
    /// Opens a fenced block, with its info string.
    Open(&'a str),
    /// Inside the block that opened with this info string.
    Code(&'a str),
    /// Closes the block that opened with this info string.
    Close(&'a str),
}

/// Every line with what it is, in order.
pub(crate) fn lines(text: &str) -> Vec<(&str, Line<'_>)> {
    let mut open: Option<(&str, &str)> = None;
    let mut out = Vec::new();
    for line in text.lines() {
        let (mark, info) = fence(line);
        let kind = match open {
            None if mark.len() >= 3 && !info.contains('`') => {
                open = Some((mark, info));
                Line::Open(info)
            }
            None => Line::Prose,
            Some((opening, opened)) if info.is_empty() && mark.starts_with(opening) => {
                open = None;
                Line::Close(opened)
            }
            Some((_, opened)) => Line::Code(opened),
        };
        out.push((line, kind));
    }
    out
}

/// The run of backticks or tildes that a line begins with, and what follows it.
fn fence(line: &str) -> (&str, &str) {
    let line = line.trim();
    let rest = match line.chars().next() {
        Some(mark @ ('`' | '~')) => line.trim_start_matches(mark),
        _ => line,
    };
    (&line[..line.len() - rest.len()], rest.trim())
}

/// Whether rustdoc compiles a block with this info string, whatever it does with the result.
pub(crate) fn is_rust(info: &str) -> bool {
    words(info).all(|word| {
        matches!(word, "rust" | "no_run" | "ignore" | "should_panic" | "compile_fail")
            || matches!(word, "standalone_crate" | "test_harness")
            || word.starts_with("ignore-")
            || word.starts_with("edition20")
            || word.strip_prefix('E').is_some_and(|code| code.parse::<u32>().is_ok())
    })
}

/// Whether a block with this info string is one that nothing compiles although it is Rust.
pub(crate) fn is_ignored(info: &str) -> bool {
    is_rust(info) && words(info).any(|word| word == "ignore" || word.starts_with("ignore-"))
}

fn words(info: &str) -> impl Iterator<Item = &str> {
    info.split([',', ' ']).filter(|word| !word.is_empty())
}

/// Where a `[…]` points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// `[text](target)`, and the title after it when there is one.
    Inline(&'a str),
    /// `[text][label]`, or `[label][]`.
    Reference(&'a str),
    /// `[label]`.
    Shortcut,
    /// `[label]: target`.
    Definition(&'a str),
}

/// A `[…]` outside code spans, with what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// The byte at which it starts, an image's `!` not counted.
    pub(crate) start: usize,
    /// The byte after its end.
    pub(crate) end: usize,
    /// What stands in the brackets.
    pub(crate) text: &'a str,
    /// Where it points.
    pub(crate) target: Target<'a>,
    /// Whether it is an image.
    pub(crate) image: bool,
}

/// The outermost links of a stretch of prose, which may run over several lines.
pub(crate) fn links(prose: &str) -> Vec<Link<'_>> {
    let bytes = prose.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'`' => at = after_code_span(bytes, at),
            b'[' => match link(prose, at) {
                Some(link) => {
                    at = link.end;
                    out.push(link);
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    out
}

fn link(prose: &str, start: usize) -> Option<Link<'_>> {
    let bytes = prose.as_bytes();
    let close = matching(bytes, start, b'[', b']')?;
    let text = &prose[start + 1..close];
    let image = start > 0 && bytes[start - 1] == b'!';
    let (end, target) = match bytes.get(close + 1) {
        Some(b'(') => {
            let end = matching(bytes, close + 1, b'(', b')')?;
            (end + 1, Target::Inline(first_word(&prose[close + 2..end])))
        }
        Some(b'[') => {
            let end = matching(bytes, close + 1, b'[', b']')?;
            let label = &prose[close + 2..end];
            (end + 1, Target::Reference(if label.is_empty() { text } else { label }))
        }
        Some(b':') if starts_line(prose, start) => {
            let end = prose[close..].find('\n').map_or(prose.len(), |length| close + length);
            (end, Target::Definition(first_word(&prose[close + 2..end])))
        }
        _ => (close + 1, Target::Shortcut),
    };
    Some(Link { start, end, text, target, image })
}

fn first_word(target: &str) -> &str {
    target.split_whitespace().next().unwrap_or("").trim_matches(['<', '>'])
}

fn starts_line(prose: &str, at: usize) -> bool {
    prose[..at].rsplit('\n').next().is_some_and(|before| before.trim().is_empty())
}

/// The byte of the bracket that closes the one at `start`.
fn matching(bytes: &[u8], start: usize, open: u8, close: u8) -> Option<usize> {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'`' => {
                at = after_code_span(bytes, at);
                continue;
            }
            byte if byte == open => depth += 1,
            byte if byte == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The byte after the code span that starts at `at`, or after its backticks when nothing closes it.
fn after_code_span(bytes: &[u8], at: usize) -> usize {
    let run = |from: usize| bytes[from..].iter().take_while(|byte| **byte == b'`').count();
    let ticks = run(at);
    let mut next = at + ticks;
    while next < bytes.len() {
        match run(next) {
            0 => next += 1,
            count if count == ticks => return next + count,
            count => next += count,
        }
    }
    at + ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_know_where_they_end() {
        let text = "a\n````md\n```rust\n```\n````\nb";
        let kinds: Vec<_> = lines(text).into_iter().map(|(_, kind)| kind).collect();
        let code = Line::Code("md");
        assert_eq!(kinds, [Line::Prose, Line::Open("md"), code, code, Line::Close("md"), Line::Prose]);
    }

    #[test]
    fn inline_code_in_three_backticks_opens_no_fence() {
        assert_eq!(lines("``` x ``` y"), [("``` x ``` y", Line::Prose)]);
    }

    #[test]
    fn rust_is_what_rustdoc_takes_for_rust() {
        for info in ["", "rust", "rust,no_run", "no_run", "should_panic", "compile_fail,E0277", "edition2024"]
        {
            assert!(is_rust(info), "{info}");
        }
        for info in ["text", "json", "toml", "sh", "rust,text"] {
            assert!(!is_rust(info), "{info}");
        }
        assert!(is_ignored("rust,ignore") && is_ignored("ignore-windows") && !is_ignored("no_run"));
    }

    #[test]
    fn links_of_every_kind_are_found() {
        let found = |text| links(text).first().map(|link| (link.text, link.target));
        assert_eq!(found("see [a](b.md \"t\")."), Some(("a", Target::Inline("b.md"))));
        assert_eq!(found("see [a [b] c](d)"), Some(("a [b] c", Target::Inline("d"))));
        assert_eq!(found("[a][b]"), Some(("a", Target::Reference("b"))));
        assert_eq!(found("[a][]"), Some(("a", Target::Reference("a"))));
        assert_eq!(found("[`A`] and"), Some(("`A`", Target::Shortcut)));
        assert_eq!(found("[a]: b::c"), Some(("a", Target::Definition("b::c"))));
        assert_eq!(found("two\nlines [of\ntext](x)"), Some(("of\ntext", Target::Inline("x"))));
    }

    #[test]
    fn code_spans_and_escapes_hold_no_links() {
        assert!(links("`[a](b)` and \\[c](d) and ``e`[f](g)``").is_empty());
    }
}
