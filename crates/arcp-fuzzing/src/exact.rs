//! Decimal numbers by hand: what the project's amounts are compared with. Slow, and without a limit on digits.

use std::cmp::Ordering;

/// A decimal number: `digits` times ten to the power of `exponent`, without zeros at either end. Zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Exact {
    /// Reads `-1.5e3`; `None` for what is no such number, or has an exponent beyond all reason.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        Some(Self::of(negative, digits, i64::from(exponent) - fraction.len() as i64))
    }

    fn of(negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        Self { negative, digits, exponent }
    }

    /// How many digits it has that count.
    pub(crate) fn precision(&self) -> usize {
        self.digits.len()
    }

    /// How many of them stand behind the point.
    pub(crate) fn scale(&self) -> i64 {
        (-self.exponent).max(0)
    }

    /// How many digits it takes to write it out without an exponent.
    pub(crate) fn width(&self) -> i64 {
        self.digits.len() as i64 + self.exponent.max(0)
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    /// The sum of two numbers whose exponents are not far apart.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (one, two) = (self.shifted(exponent), other.shifted(exponent));
        if self.negative == other.negative {
            return Self::of(self.negative, add(&one, &two), exponent);
        }
        match magnitude(&one, &two) {
            Ordering::Less => Self::of(other.negative, subtract(&two, &one), exponent),
            _ => Self::of(self.negative, subtract(&one, &two), exponent),
        }
    }

    pub(crate) fn negated(mut self) -> Self {
        self.negative = !self.negative && !self.digits.is_empty();
        self
    }

    /// The digits, written with this exponent, which must not be above its own.
    fn shifted(&self, exponent: i64) -> Vec<u8> {
        let mut digits = self.digits.clone();
        if !digits.is_empty() {
            digits.resize(digits.len() + (self.exponent - exponent) as usize, 0);
        }
        digits
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        // With no zeros at either end, the larger number has the higher first place or the larger digits from there on.
        let height = |number: &Self| number.digits.len() as i64 + number.exponent;
        let larger = || height(self).cmp(&height(other)).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => larger(),
            _ => larger().reverse(),
        })
    }
}

fn add(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut sum = Vec::new();
    let mut carry = 0;
    let (mut one, mut two) = (one.iter().rev(), two.iter().rev());
    loop {
        let digits = (one.next(), two.next());
        if digits == (None, None) {
            break;
        }
        let digit = digits.0.unwrap_or(&0) + digits.1.unwrap_or(&0) + carry;
        sum.push(digit % 10);
        carry = digit / 10;
    }
    sum.push(carry);
    sum.reverse();
    sum
}

/// The first number must not be below the second.
fn subtract(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut difference = Vec::new();
    let mut borrow = 0;
    let mut two = two.iter().rev();
    for digit in one.iter().rev() {
        let less = two.next().unwrap_or(&0) + borrow;
        borrow = u8::from(*digit < less);
        difference.push(digit + 10 * borrow - less);
    }
    difference.reverse();
    difference
}

/// Compares digits that may begin with zeros.
fn magnitude(one: &[u8], two: &[u8]) -> Ordering {
    let bare = |digits: &[u8]| digits.iter().skip_while(|digit| **digit == 0).copied().collect::<Vec<_>>();
    let (one, two) = (bare(one), bare(two));
    one.len().cmp(&two.len()).then_with(|| one.cmp(&two))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Exact::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_what_they_say() {
        assert_eq!(exact("1.50"), exact("0015e-1"));
        assert_eq!(exact("-0.0"), exact("0"));
        assert_eq!(exact("99.9").plus(&exact("0.1")), exact("1e2"));
        assert_eq!(exact("1").plus(&exact("-1.25")), exact("-0.25"));
        assert_eq!(exact("-3").plus(&exact("5")).negated(), exact("-2"));
        assert!(exact("-1e9") < exact("-2") && exact("0.09") < exact("0.1") && exact("-1") < exact("0"));
        assert_eq!((exact("1.203").precision(), exact("1.203").scale(), exact("12e3").width()), (4, 3, 5));
        assert_eq!(Exact::parse(".5"), None);
    }
}
