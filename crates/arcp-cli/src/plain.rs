//! Text of others as a terminal may have it: nothing in it moves the cursor, changes colours, or turns how the rest is read. What a
//! result, a message or a line of JSON is printed with goes through [`stdout`], whose bytes are exact where it is no terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, StdoutLock, Write};

/// A name or an error: one line, with a space for whatever is not seen or would change how it is read.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_hidden(c) { ' ' } else { c }).collect()
}

/// The same for a screen that is drawn: what is not seen is shown as what it is, and the text ends after so many characters.
pub(crate) fn escaped(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        match c {
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || is_hidden(c) => escape(c, &mut out),
            c => out.push(c),
        }
    }
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

/// A text of several lines: what steers a terminal is shown as what it is, and the rest stays as it is.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match steers(c) {
            true => escape(c, &mut out),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// What is printed for whoever asked for it.
pub(crate) fn stdout() -> Out<StdoutLock<'static>> {
    let out = io::stdout().lock();
    Out { is_terminal: out.is_terminal(), out }
}

/// Writes bytes as they are, or, to a terminal, text as [`lines`] has it. Each write is of whole characters.
pub(crate) struct Out<W> {
    out: W,
    is_terminal: bool,
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        self.out.write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// As JSON escapes it, so that JSON stays the same value.
fn escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

/// Whether a character makes a terminal do something, or turns the direction of others.
fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Whether a character is not seen, or changes how others are read.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_cannot_steer_the_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\r\nc\u{7}"), "a [2Jb  c ");
    }

    #[test]
    fn what_cannot_be_seen_is_shown_as_what_it_is() {
        assert_eq!(escaped("a\u{1b}[2J\u{202e}b\nc", 100), "a\\u001b[2J\\u202eb c");
        assert_eq!(escaped("abc", 2), "ab…");
    }

    #[test]
    fn text_of_several_lines_keeps_its_lines() {
        assert_eq!(lines("a\n\tb 👩‍💻 é"), "a\n\tb 👩‍💻 é");
        assert_eq!(lines("\u{9b}2J\r\u{7f}\u{2067}"), "\\u009b2J\\u000d\\u007f\\u2067");
    }

    #[test]
    fn only_a_terminal_is_spared_what_was_said() {
        let text = "{\"a\":\"\u{9b}31m\u{202e}\"}\n";
        let written = |is_terminal| {
            let mut out = Out { out: Vec::new(), is_terminal };
            write!(out, "{text}").unwrap();
            String::from_utf8(out.out).unwrap()
        };
        assert_eq!(written(false), text);
        let shown = written(true);
        assert_eq!(shown, "{\"a\":\"\\u009b31m\\u202e\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text), "it is the same JSON");
    }
}
