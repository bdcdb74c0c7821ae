//! Counting lines, words and bytes of a text that comes in pieces.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The most frequent words that a report names.
const FREQUENT: usize = 10;
/// Bytes of a word that are kept; longer words are told apart by these.
const MAX_WORD: usize = 100;

/// What is in a text.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    pub(crate) different_words: u64,
    /// The most frequent words, most frequent first, then by alphabet.
    pub(crate) frequent: Vec<(String, u64)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lines  {}\nwords  {}\nbytes  {}", self.lines, self.words, self.bytes)?;
        if !self.frequent.is_empty() {
            writeln!(f, "\nmost frequent words")?;
        }
        let width = self.frequent.first().map_or(0, |(_, count)| count.to_string().len());
        self.frequent.iter().try_for_each(|(word, count)| writeln!(f, "{count:>width$}  {word}"))
    }
}

/// The text is not text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary;

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is binary: it is not UTF-8 text, or has NUL bytes in it")
    }
}

/// Counts a text piece by piece.
#[derive(Default)]
pub(crate) struct Counter {
    bytes: u64,
    lines: u64,
    words: u64,
    counts: HashMap<String, u64>,
    /// The word that the last piece ended in.
    word: String,
    /// Whether the last line has not ended.
    open_line: bool,
    /// Bytes of a character that the last piece cut off.
    partial: Vec<u8>,
}

impl Counter {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts a piece, which may begin and end within a character.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), Binary> {
        self.bytes += piece.len() as u64;
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(piece);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                let (text, partial) = bytes.split_at(error.valid_up_to());
                self.partial = partial.to_vec();
                std::str::from_utf8(text).map_err(|_| Binary)?
            }
            Err(_) => return Err(Binary),
        };
        for character in text.chars() {
            self.count(character)?;
        }
        Ok(())
    }

    /// The report, once the text has ended.
    pub(crate) fn finish(mut self) -> Result<Report, Binary> {
        if !self.partial.is_empty() {
            return Err(Binary);
        }
        self.end_word();
        let mut frequent: Vec<_> = self.counts.into_iter().collect();
        let different_words = frequent.len() as u64;
        frequent.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        frequent.truncate(FREQUENT);
        let lines = self.lines + u64::from(self.open_line);
        Ok(Report { lines, words: self.words, bytes: self.bytes, different_words, frequent })
    }

    fn count(&mut self, character: char) -> Result<(), Binary> {
        self.open_line = character != '\n';
        match character {
            '\0' => return Err(Binary),
            '\n' => self.lines += 1,
            _ => {}
        }
        if character.is_alphanumeric() {
            if self.word.len() < MAX_WORD {
                self.word.extend(character.to_lowercase());
            }
        } else {
            self.end_word();
        }
        Ok(())
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        self.words += 1;
        let word = std::mem::take(&mut self.word);
        if let Some(count) = self.counts.get_mut(&word) {
            *count += 1;
        } else {
            self.counts.insert(word, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pieces: &[&[u8]]) -> Result<Report, Binary> {
        let mut counter = Counter::default();
        pieces.iter().try_for_each(|piece| counter.take(piece))?;
        counter.finish()
    }

    #[test]
    fn pieces_do_not_matter() {
        let text = "Ünïcode is ünïcode.\nThe end".as_bytes();
        let whole = report(&[text]).unwrap();
        assert_eq!((whole.lines, whole.words, whole.bytes), (2, 5, text.len() as u64));
        assert_eq!(whole.frequent[0], ("ünïcode".to_owned(), 2));
        for cut in 0..text.len() {
            assert_eq!(report(&[&text[..cut], &text[cut..]]).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn very_long_words_are_words_too() {
        let long = "a".repeat(1_000_000);
        let report = report(&[long.as_bytes(), b" a"]).unwrap();
        assert_eq!((report.words, report.frequent[1].0.len()), (2, MAX_WORD));
    }

    #[test]
    fn binary_is_told() {
        assert_eq!(report(&[b"a\0b"]), Err(Binary));
        assert_eq!(report(&[b"\xff\xfe"]), Err(Binary));
        assert_eq!(report(&["é".as_bytes().split_at(1).0]), Err(Binary));
        assert_eq!(report(&[]).unwrap().lines, 0);
    }
}
