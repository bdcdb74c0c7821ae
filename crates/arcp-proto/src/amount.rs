//! Money and other budgeted quantities (§9.6): decimal from the wire's own digits, never binary floating point.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decode::{DecodeError, Text, serde_by_text, unique_map};
use crate::number::Number;

/// An exact decimal quantity with up to 28 significant digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Amount(Decimal);

/// A text that is no amount, or one with more digits than an amount holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal amount of at most 28 digits")]
pub struct InvalidAmount;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Whether the amount is zero or less, which for a budget counter means exhausted.
    pub fn is_exhausted(self) -> bool {
        self.0 <= Decimal::ZERO
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// The sum, or `None` where it cannot be held exactly.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::exactly(self.0.checked_add(other.0)?, self.0.fract().checked_add(other.0.fract())?)
    }

    /// The difference, or `None` where it cannot be held exactly.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::exactly(self.0.checked_sub(other.0)?, self.0.fract().checked_sub(other.0.fract())?)
    }

    /// The sum; rounded down where it cannot be held exactly, and the largest amount where it is beyond all.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or_else(|| Self::below(self.0.checked_add(other.0), other))
    }

    /// The difference; rounded down where it cannot be held exactly, so that no cost is too small to count.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_else(|| Self::below(self.0.checked_sub(other.0), Self(-other.0)))
    }

    /// An amount at or above a number that no amount holds exactly. The nearest binary number may be off by its last digit.
    pub(crate) fn above(number: f64) -> Self {
        let raised = number + number.abs() * 4.0 * f64::EPSILON;
        let smallest = Decimal::new(1, 28);
        match Decimal::from_f64_retain(raised) {
            Some(near) => Self(near.checked_add(smallest).unwrap_or(Decimal::MAX)),
            None if number < 0.0 => Self(Decimal::MIN),
            None => Self(Decimal::MAX),
        }
    }

    /// A number at or below a rounded outcome's exact value; the outcome is `None` beyond the range, on the side of
    /// `towards`.
    fn below(outcome: Option<Decimal>, towards: Self) -> Self {
        match outcome {
            Some(outcome) => {
                let unit = Decimal::new(1, outcome.scale());
                Self(outcome.checked_sub(unit).unwrap_or(Decimal::MIN))
            }
            None if towards.is_negative() => Self(Decimal::MIN),
            None => Self(Decimal::MAX),
        }
    }

    /// `outcome`, unless digits were rounded away in it: a cost that is rounded to nothing is free.
    ///
    /// `fraction` is what the operands have behind their points, summed up in the same way. It is below two, so that it is always
    /// exact, and has as many places as the exact outcome.
    fn exactly(outcome: Decimal, fraction: Decimal) -> Option<Self> {
        (outcome.scale() >= fraction.normalize().scale()).then_some(Self(outcome))
    }

    /// The exact value of a JSON number, exponent included.
    pub(crate) fn from_json_number(text: &str) -> Result<Self, InvalidAmount> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| InvalidAmount)?),
        };
        let held = exact(digits).and_then(|mantissa| Self::scaled(mantissa, exponent));
        held.or_else(|| Self::without_zeros(digits, exponent)).map(Self).ok_or(InvalidAmount)
    }

    /// The value of digits that are too many as they are written, since zeros are among them that the exponent takes away.
    fn without_zeros(digits: &str, exponent: i32) -> Option<Decimal> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let written = format!("{whole}{fraction}");
        let significant = written.trim_end_matches('0');
        let zeros = i32::try_from(written.len() - significant.len()).ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        Self::scaled(exact(significant)?, exponent.checked_add(zeros)?.checked_sub(places)?)
    }

    fn scaled(mut mantissa: Decimal, exponent: i32) -> Option<Decimal> {
        if exponent == 0 {
            return Some(mantissa);
        }
        mantissa = mantissa.normalize();
        if mantissa.is_zero() {
            return Some(Decimal::ZERO);
        }
        if exponent < 0 {
            let scale = mantissa.scale().checked_add(exponent.unsigned_abs())?;
            mantissa.set_scale(scale).ok()?;
            return Some(mantissa);
        }
        let places = mantissa.scale().min(exponent.unsigned_abs());
        mantissa.set_scale(mantissa.scale() - places).ok()?;
        for _ in places..exponent.unsigned_abs() {
            mantissa = mantissa.checked_mul(Decimal::TEN)?; // ends early: no decimal survives 29 of these
        }
        Some(mantissa)
    }
}

/// The decimal that `digits` write, without rounding. Zeros at the end of a fraction may exceed the limit.
fn exact(digits: &str) -> Option<Decimal> {
    let decimal = Decimal::from_str_exact(digits).or_else(|error| match digits.contains('.') {
        true => Decimal::from_str_exact(digits.trim_end_matches('0').trim_end_matches('.')),
        false => Err(error),
    });
    // Zero has no sign here: `-0` would be written back as it came.
    decimal.ok().map(|decimal| if decimal.is_zero() { decimal.abs() } else { decimal })
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Reads `digits ( "." digits )?` (§9.6): no sign, no exponent, no bare point.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let shaped = match text.split_once('.') {
            None => all_digits(text),
            Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        };
        if !shaped || text.len() > 64 {
            return Err(InvalidAmount);
        }
        exact(text).map(Self).ok_or(InvalidAmount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Number::from(*self).serialize(serializer)
    }
}

/// What an amount is counted in: `USD`, `EUR`, `credits`, or a unit of the runtime's own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(Box<str>);

impl Currency {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(InvalidAmount);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(Currency, "a currency of 1 to 32 letters, digits, `.`, `_` or `-`");

/// One pattern of the capability `cost.budget`: `USD:5.00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetAmount {
    /// What is counted.
    pub currency: Currency,
    /// How much of it may be spent.
    pub amount: Amount,
}

impl FromStr for BudgetAmount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (currency, amount) = text.split_once(':').ok_or(InvalidAmount)?;
        Ok(Self { currency: currency.parse()?, amount: amount.parse()? })
    }
}

impl fmt::Display for BudgetAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.currency, self.amount)
    }
}

serde_by_text!(BudgetAmount, "an amount such as USD:5.00");

/// Counters by currency, as `job.accepted` and `job.subscribed` show them (§7.1, §7.6).
///
/// Written as JSON numbers. Read from numbers, `"5.00"`, or `"USD:5.00"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budget(BTreeMap<Currency, Amount>);

impl Budget {
    /// The counter of a currency.
    pub fn remaining(&self, currency: &str) -> Option<Amount> {
        self.iter().find(|(name, _)| name.as_str() == currency).map(|(_, amount)| amount)
    }

    /// Every counter, by currency.
    pub fn iter(&self) -> impl Iterator<Item = (&Currency, Amount)> {
        self.0.iter().map(|(currency, amount)| (currency, *amount))
    }

    /// Whether there is no counter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the counter of a currency.
    pub fn set(&mut self, currency: Currency, amount: Amount) {
        self.0.insert(currency, amount);
    }

    /// As the patterns of `cost.budget` in a lease are written (§9.6).
    pub fn patterns(&self) -> Vec<String> {
        self.iter().map(|(currency, amount)| format!("{currency}:{amount}")).collect()
    }

    /// Both together, counter by counter.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (currency, amount) in &other.0 {
            let counter = sum.0.entry(currency.clone()).or_insert(Amount::ZERO);
            *counter = counter.plus(*amount);
        }
        sum
    }
}

impl FromIterator<BudgetAmount> for Budget {
    /// Amounts of one currency are added up; in place of a sum that cannot be held exactly stands the larger amount,
    /// which grants less and never more.
    fn from_iter<I: IntoIterator<Item = BudgetAmount>>(amounts: I) -> Self {
        let mut counters = BTreeMap::new();
        for BudgetAmount { currency, amount } in amounts {
            let counter = counters.entry(currency).or_insert(Amount::ZERO);
            *counter = counter.checked_add(amount).unwrap_or_else(|| amount.max(*counter));
        }
        Self(counters)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counters: BTreeMap<Currency, Option<Counter>> =
            unique_map(deserializer, "an object of amounts by currency")?;
        let mut budget = Self::default();
        for (currency, counter) in counters {
            if let Some(Counter(raw)) = counter {
                let amount = parse_counter(&currency, raw.get()).map_err(|_| {
                    crate::decode::expected("an amount, in the currency that it stands under")
                })?;
                budget.set(currency, amount);
            }
        }
        Ok(budget)
    }
}

/// One counter as text, until the currency it stands under is known.
#[derive(Deserialize)]
#[serde(transparent)]
struct Counter(Box<serde_json::value::RawValue>);

fn parse_counter(currency: &Currency, raw: &str) -> Result<Amount, InvalidAmount> {
    let number = |digits: &str| digits.parse::<Number>().map_err(|_| InvalidAmount)?.to_amount();
    if !raw.starts_with('"') {
        return number(raw);
    }
    let text: Text<'_> = serde_json::from_str(raw).map_err(|_| InvalidAmount)?;
    match text.as_str().split_once(':') {
        None => number(text.as_str()),
        Some((unit, digits)) if unit == currency.as_str() => number(digits),
        Some(_) => Err(InvalidAmount),
    }
}

impl From<InvalidAmount> for DecodeError {
    fn from(error: InvalidAmount) -> Self {
        DecodeError::new("", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<Amount, InvalidAmount> {
        Amount::from_json_number(text)
    }

    #[test]
    fn ten_dimes_make_one_and_small_change_counts() {
        let dime = number("0.10").unwrap();
        let sum = (0..10).fold(Amount::ZERO, |sum, _| sum.checked_add(dime).unwrap());
        assert_eq!(sum, number("1").unwrap());
        assert!(!number("0.0000004").unwrap().is_exhausted());
        assert_eq!(number("4e-7"), number("0.0000004"));
        assert_eq!(number("1.5E3"), number("1500"));
    }

    #[test]
    fn what_cannot_be_held_exactly_is_refused() {
        for text in [
            "1e30",
            "1e400",
            "1e-400",
            "1e99999999999",
            "0.00000000000000000000000000001",
            "123456789012345678901234567890",
        ] {
            assert_eq!(number(text), Err(InvalidAmount), "{text}");
        }
        assert_eq!(number("0e999999"), Ok(Amount::ZERO));
    }

    #[test]
    fn a_sum_is_held_exactly_once_its_last_zeros_are_dropped() {
        for (left, right, sum) in [
            (
                "79228162514264337593543930.535",
                "228162514264337593543930.525",
                "79456325028528675187087861.06",
            ),
            (
                "7.9228162514264337593543930530",
                "2.0000000000000000000000000070",
                "9.92281625142643375935439306",
            ),
            (
                "7000000000000000000000000000.5",
                "922816251426433759354395033.5",
                "7922816251426433759354395034",
            ),
        ] {
            let [left, right, sum] = [left, right, sum].map(|text| number(text).unwrap());
            let minus = |amount: Amount| number(&format!("-{amount}")).unwrap();
            assert_eq!(left.checked_add(right), Some(sum), "{left} + {right}");
            assert_eq!(right.checked_add(left), Some(sum), "{right} + {left}");
            assert_eq!(left.plus(right), sum);
            assert_eq!(left.checked_sub(minus(right)), Some(sum), "{left} - -{right}");
            assert_eq!(minus(left).checked_sub(right), Some(minus(sum)), "-{left} - {right}");
            assert_eq!(minus(left).minus(right), minus(sum));
        }
    }

    #[test]
    fn a_sum_that_loses_a_digit_is_refused_and_rounded_down() {
        for (left, right, below) in [
            (
                "79228162514264337593543930.535",
                "228162514264337593543930.524",
                "79456325028528675187087861.05",
            ),
            ("79228162514264337593543950335", "0.5", "79228162514264337593543950335"),
            ("-79228162514264337593543950.335", "-0.001", "-79228162514264337593543950.34"),
        ] {
            let [left, right, below] = [left, right, below].map(|text| number(text).unwrap());
            assert_eq!(left.checked_add(right), None, "{left} + {right}");
            let sum = left.plus(right);
            assert!(sum <= below && below.minus(sum) <= number("1").unwrap(), "{left} + {right} is {sum}");
        }
    }

    #[test]
    fn zeros_that_an_exponent_takes_away_are_no_digits() {
        let zeros = "0".repeat(40);
        for (text, plain) in [
            ("123456756008901234560070000000e-8".to_owned(), "1234567560089012345600.7"),
            (format!("25{zeros}e-42"), "0.25"),
            (format!("-0.{zeros}125e42"), "-12.5"),
            (format!("1.5{zeros}e1"), "15"),
        ] {
            assert_eq!(number(&text), Ok(number(plain).unwrap()), "{text}");
        }
    }

    #[test]
    fn budget_patterns_follow_the_grammar() {
        let amount: BudgetAmount = "USD:5.00".parse().unwrap();
        assert_eq!(amount.to_string(), "USD:5.00");
        for bad in [
            "USD", "USD:", ":5", "USD:-1", "USD:+1", "USD:.5", "USD:5.", "USD:1e3", "US D:1", "USD:1 ",
            "USD:NaN",
        ] {
            assert!(bad.parse::<BudgetAmount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn counters_are_numbers_and_are_read_in_three_ways() {
        let budget: Budget =
            serde_json::from_str(r#"{"USD":5.00,"EUR":"4.5","credits":"credits:10"}"#).unwrap();
        assert_eq!(serde_json::to_string(&budget).unwrap(), r#"{"EUR":4.5,"USD":5.00,"credits":10}"#);
        assert_eq!(budget.remaining("EUR"), Some(number("4.5").unwrap()));
        assert!(serde_json::from_str::<Budget>(r#"{"USD":true}"#).is_err());
    }

    #[test]
    fn amounts_of_one_currency_add_up() {
        let patterns = ["USD:1.50", "EUR:1", "USD:0.5"].map(|text| text.parse().unwrap());
        let budget: Budget = patterns.into_iter().collect();
        assert_eq!(budget.remaining("USD"), Some(number("2").unwrap()));
    }
}
