//! Reading JSON that is plainly well-formed, fast: in one pass, without copying, at the speed at which quotes are found.
//!
//! The reader answers `None` to whatever it is not sure of, an error as well as anything unusual, and the caller then asks serde, whose
//! word is final. So it need not know every form of JSON and has no errors of its own; what it accepts, serde accepts, as the same value.

use crate::decode::LARGEST;
use crate::json::Json;

/// How deep values may nest before they are left to serde.
const DEPTH: usize = 32;

/// Gives a value to a field that has none; a second one is unusual.
pub(crate) fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// A place in a text.
pub(crate) struct Plain<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Whether the text is JSON: then no string of it has a control character.
    is_json: bool,
}

impl<'a> Plain<'a> {
    /// The beginning of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, is_json: false }
    }

    /// The beginning of a text that is known to be JSON.
    pub(crate) fn of_json(json: &'a Json) -> Self {
        Self { is_json: true, ..Self::of(json.as_str()) }
    }

    /// An object: each of its members once is given to `member`, which reads the value. Names with escapes are unusual.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<&'a str> {
        let begin = self.begin(b'{')?;
        if !self.takes(b'}') {
            loop {
                let name = self.string()?;
                self.takes(b':').then_some(())?;
                member(self, name)?;
                if !self.takes(b',') {
                    break;
                }
            }
            self.takes(b'}').then_some(())?;
        }
        self.depth -= 1;
        self.text.get(begin..self.at)
    }

    /// A string without escapes: what is between its quotes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.takes(b'"').then_some(())?;
        let rest = self.text.get(self.at..)?;
        let len = if self.is_json {
            memchr::memchr2(b'"', b'\\', rest.as_bytes())?
        } else {
            special(rest.as_bytes())?
        };
        (rest.as_bytes().get(len) == Some(&b'"')).then_some(())?;
        self.at += len + 1;
        rest.get(..len)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word("true").map(|_| true),
            b'f' => self.word("false").map(|_| false),
            _ => None,
        }
    }

    /// A whole number that is not negative, up to the largest that is read.
    pub(crate) fn integer(&mut self) -> Option<u64> {
        let number = self.number()?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().ok())?.filter(|number| *number <= LARGEST)
    }

    /// Any value, as its text.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        match self.peek()? {
            b'"' => self.escaped(),
            b'{' => self.object(|this, _| this.value().map(drop)),
            b'[' => self.array(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    /// This text and no other, right here.
    pub(crate) fn literal(&mut self, text: &str) -> Option<()> {
        let is = self.text.as_bytes().get(self.at..)?.starts_with(text.as_bytes());
        self.at += text.len();
        is.then_some(())
    }

    /// Whether there is nothing more.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn array(&mut self) -> Option<&'a str> {
        let begin = self.begin(b'[')?;
        if !self.takes(b']') {
            loop {
                self.value()?;
                if !self.takes(b',') {
                    break;
                }
            }
            self.takes(b']').then_some(())?;
        }
        self.depth -= 1;
        self.text.get(begin..self.at)
    }

    /// A string with or without escapes, as its text with the quotes.
    fn escaped(&mut self) -> Option<&'a str> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            self.at += special(bytes.get(self.at..)?)? + 1;
            match bytes.get(self.at - 1)? {
                b'"' => return self.text.get(begin..self.at),
                b'\\' => {}
                _ => return None,
            }
            let escape = bytes.get(self.at)?;
            // Escapes by number come in pairs, or should: that is serde's to judge.
            matches!(escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't').then_some(())?;
            self.at += 1;
        }
    }

    /// A number, as its text.
    fn number(&mut self) -> Option<&'a str> {
        self.peek()?;
        let begin = self.at;
        self.is(b'-');
        if !self.is(b'0') {
            self.digits()?;
        }
        if self.is(b'.') {
            self.digits()?;
        }
        if self.is(b'e') || self.is(b'E') {
            let _ = self.is(b'+') || self.is(b'-');
            self.digits()?;
        }
        self.text.get(begin..self.at)
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += len;
        (len > 0).then_some(())
    }

    fn word(&mut self, word: &'static str) -> Option<&'a str> {
        let found = self.text.get(self.at..self.at + word.len())?;
        self.at += word.len();
        (found == word).then_some(found)
    }

    /// Goes into an object or array. Returns where it begins.
    fn begin(&mut self, bracket: u8) -> Option<usize> {
        self.takes(bracket).then_some(())?;
        self.depth += 1;
        (self.depth <= DEPTH).then_some(self.at - 1)
    }

    /// Takes a byte, if it is the next one after spaces.
    fn takes(&mut self, byte: u8) -> bool {
        self.peek() == Some(byte) && self.is(byte)
    }

    /// Takes a byte, if it is the next one.
    fn is(&mut self, byte: u8) -> bool {
        let is = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }
}

/// The first byte that a string of JSON does not have as it is: a quote, a backslash, or a control character.
pub(crate) fn special(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks();
    for (index, word) in words.iter().take(NEAR / 8).enumerate() {
        let found = special_of(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let from = bytes.len().min(NEAR) / 8 * 8;
    let rest = bytes.get(from..)?;
    if bytes.len() < NEAR {
        return rest.iter().position(is_special).map(|place| from + place);
    }
    // Of what is long, many bytes are looked at together: twice, while they are near.
    rest.chunks(BLOCK).enumerate().find_map(|(index, block)| {
        let end = memchr::memchr2(b'"', b'\\', block);
        let before = block.get(..end.unwrap_or(block.len()))?;
        let has_control = before.iter().fold(false, |found, byte| found | (*byte < b' '));
        let place = if has_control { before.iter().position(is_special) } else { end };
        place.map(|place| from + index * BLOCK + place)
    })
}

/// Bytes that are looked at eight at a time.
const NEAR: usize = 64;

/// Bytes that are looked at together, once for quotes and once for control characters.
const BLOCK: usize = 4096;

/// The highest bit of each byte that is special, the lowest of which can be relied on.
fn special_of(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    (quote | backslash | control) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// The whole of a text, if it is one value that is plain.
    fn read(text: &str) -> Option<&str> {
        let mut plain = Plain::of(text);
        let value = plain.value()?;
        plain.is_at_end().then_some(value)
    }

    #[test]
    fn what_peers_write_is_plain() {
        for text in [
            r#"{"a":1,"b":[true,false,null,-0.5e+10,"x"],"c":{}}"#,
            r#"{"a": [1, 2, []], "message": "a \"quoted\" line\n of ümlauts \\"}"#,
            r#""""#,
            "0",
            "  {} ",
        ] {
            assert_eq!(read(text), Some(text.trim()), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_not() {
        for text in [
            "",
            "{",
            "}",
            "{,}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "nul",
            "truex",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "{} {}",
            "[1 2]",
            "{\"a\" 1}",
            "'a'",
            "\u{feff}{}",
            "\u{a0}1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_others() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for text in ["{\n}", "[\t1]", r#""\u00fc""#, r#"{"\u0061":1}"#, r#"{"a\\b":1}"#, deep.as_str()] {
            assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "{text}");
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn members_are_told_in_order_and_with_their_names() {
        let mut plain = Plain::of(r#"{ "id" : "m1" , "event_seq":7,"payload":{"a":[1]} }x"#);
        let mut told = Vec::new();
        let object = plain.object(|plain, name| {
            told.push((name, plain.value()?));
            Some(())
        });
        assert!(object.is_some_and(|object| object.ends_with("} }")));
        assert_eq!(told, [("id", "\"m1\""), ("event_seq", "7"), ("payload", r#"{"a":[1]}"#)]);
        assert!(!plain.is_at_end());
    }

    #[test]
    fn integers_are_whole_and_fit() {
        let integer = |text| Plain::of(text).integer();
        assert_eq!((integer("0"), integer("9223372036854775807")), (Some(0), Some(LARGEST)));
        for text in ["-1", "1.0", "1e3", "9223372036854775808", "18446744073709551616", "\"1\""] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found_wherever_it_is(
            length in prop_oneof![0..200_usize, BLOCK..BLOCK + 200],
            places in prop::collection::vec((prop_oneof![0..200_usize, BLOCK..BLOCK + 200], prop::sample::select(b"\"\\\0\n\x1f".to_vec())), 0..4),
            filler in prop::sample::select(b" !#[]~\x7f\x80\xff".to_vec()),
        ) {
            let mut bytes = vec![filler; length];
            for (place, byte) in places {
                if let Some(there) = bytes.get_mut(place) {
                    *there = byte;
                }
            }
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(special(&bytes), expected);
        }

        /// Made of what JSON is made of, so that much of it is JSON, or almost.
        #[test]
        fn serde_accepts_whatever_is_accepted(text in r#"([\[\]{},:"\\/ntu0-9.eE+ a-c\-]|true|false|null|"a":|é){0,24}"#) {
            if let Some(value) = read(&text) {
                let raw = serde_json::from_str::<&RawValue>(&text);
                prop_assert_eq!(raw.map(RawValue::get).ok(), Some(value), "{}", text);
            }
        }

        /// And of values that are JSON, all that have nothing unusual in them.
        #[test]
        fn values_are_accepted(numbers in prop::collection::vec(any::<i64>(), 0..5), word in "[ -~]{0,20}", part in any::<f64>()) {
            let value = serde_json::json!({ "numbers": numbers, "word": word, "in": { "part": part, "all": [null, true] } });
            let text = value.to_string();
            prop_assert_eq!(read(&text), Some(text.as_str()));
        }
    }
}
