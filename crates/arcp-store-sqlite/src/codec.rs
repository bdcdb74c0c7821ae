//! The bytes of what is stored in a form of its own: numbers of any length, text with its length before it, and a sum over the whole.

use crate::error::Damage;

/// The version of every such form, its first byte.
const VERSION: u8 = 1;

/// Bytes before the content: the version and the sum.
const HEADER: usize = 5;

/// Writes a form.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + capacity);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        Self(bytes)
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the low ones first; the highest bit says that more follow.
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Small numbers of either sign are short.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// The form with its sum, which is also over what stands beside it and belongs to it.
    pub(crate) fn finish(mut self, beside: &[i64]) -> Vec<u8> {
        let sum = sum(&self.0[HEADER..], beside);
        self.0[1..HEADER].copy_from_slice(&sum.to_le_bytes());
        self.0
    }
}

fn sum(content: &[u8], beside: &[i64]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(content);
    beside.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    hasher.finalize()
}

/// Reads a form.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks the version and the sum.
    pub(crate) fn new(bytes: &'a [u8], beside: &[i64]) -> Result<Self, Damage> {
        let Some((header, content)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Damage("is cut off"));
        };
        let [version, expected @ ..] = header;
        if *version != VERSION {
            return Err(Damage("is of a version that this program does not know"));
        }
        if sum(content, beside) != u32::from_le_bytes(*expected) {
            return Err(Damage("does not have the checksum that it was written with"));
        }
        Ok(Self(content))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        let (byte, rest) = self.0.split_first().ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damage("holds a number that is too long"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damage> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damage> {
        let len = usize::try_from(self.number()?).map_err(|_| CUT_OFF)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(CUT_OFF)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Damage("holds text that is not UTF-8"))
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const CUT_OFF: Damage = Damage("is cut off");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX / 2, u64::MAX];
        let signed = [0, -1, 1, 63, -64, i64::MIN, i64::MAX];
        let mut writer = Writer::with_capacity(0);
        numbers.iter().for_each(|number| writer.number(*number));
        signed.iter().for_each(|number| writer.signed(*number));
        writer.text("日本");
        let bytes = writer.finish(&[7]);
        let mut reader = Reader::new(&bytes, &[7]).unwrap();
        for number in numbers {
            assert_eq!(reader.number().unwrap(), number);
        }
        for number in signed {
            assert_eq!(reader.signed().unwrap(), number);
        }
        assert_eq!(reader.text().unwrap(), "日本");
        assert!(reader.is_empty() && reader.byte().is_err());
    }

    #[test]
    fn no_byte_can_change_unnoticed() {
        let mut writer = Writer::with_capacity(0);
        writer.text("something");
        let good = writer.finish(&[1, 2]);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(Reader::new(&bad, &[1, 2]).is_err(), "byte {at}");
            }
            assert!(Reader::new(&good[..at], &[1, 2]).is_err());
        }
        assert!(Reader::new(&good, &[1, 3]).is_err(), "it belongs to its row");
    }

    #[test]
    fn a_number_that_is_too_long_is_refused() {
        for bytes in [&[0xff; 10][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], &[0x80]]
        {
            assert!(Reader(bytes).number().is_err());
        }
        assert!(Reader(&[0x7f, b'a']).text().is_err());
    }
}
