//! Amounts of money: no digit is lost that exact arithmetic keeps, and what must be rounded is rounded as it is said to be.

use arcp_proto::{Amount, BudgetAmount, Number};

use crate::exact::Exact;

/// So many digits, and so many behind the point, are always held exactly.
const DIGITS: i64 = 28;

/// Two numbers with a line feed between them; each is also tried as an amount of a lease (`USD:5.00`).
pub fn amounts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (one, two) = text.split_once('\n').unwrap_or((text, "0.1"));
    let (one, two) = (number(one), number(two));
    if let (Some(one), Some(two)) = (one, two) {
        sum(one, two);
    }
}

/// What is printed, read by hand.
fn exact(amount: Amount) -> Exact {
    let text = amount.to_string();
    Exact::parse(&text).unwrap_or_else(|| panic!("{text} is no number"))
}

/// Whether an amount must be able to hold it.
fn is_small(number: &Exact) -> bool {
    number.scale() <= DIGITS && number.width() <= DIGITS && number.precision() as i64 <= DIGITS
}

fn number(text: &str) -> Option<Amount> {
    pattern(text);
    let number: Number = text.parse().ok()?;
    assert_eq!(number.as_str(), text, "a number keeps its digits");
    let value = Exact::parse(text);
    match number.to_amount() {
        Ok(amount) => {
            assert_eq!(Some(exact(amount)), value, "{text} is not what it says");
            assert_eq!(number.to_amount_rounded_up(), amount);
            let again: Number = amount.to_string().parse().expect("an amount is a number");
            assert_eq!(again.to_amount(), Ok(amount));
            assert_eq!(Number::from(amount), again);
            assert_eq!(amount.is_negative(), exact(amount).is_negative());
            Some(amount)
        }
        Err(_) => {
            assert!(value.as_ref().is_none_or(|value| !is_small(value)), "{text} is small enough to be held");
            let above = number.to_amount_rounded_up();
            if let Some(value) = value {
                let largest = above == above.plus(above.plus("1".parse().expect("an amount")));
                assert!(exact(above) >= value || largest, "{text} is rounded down to {above}");
            }
            None
        }
    }
}

/// An amount as a lease writes it.
fn pattern(text: &str) {
    let text = text.split_once(':').map_or_else(|| format!("USD:{text}"), |_| text.to_owned());
    let digits = text.split_once(':').map_or("", |(_, digits)| digits);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<BudgetAmount>() {
        Ok(budget) => {
            assert!(plain, "{text} has more than digits and a point");
            assert_eq!(Some(exact(budget.amount)), Exact::parse(digits), "{text} is not what it says");
            assert_eq!(budget.to_string().parse(), Ok(budget));
        }
        Err(_) if plain && text.starts_with("USD:") && digits.len() <= 64 => {
            let shaped = Exact::parse(digits).filter(|_| !digits.ends_with('.'));
            assert!(shaped.is_none_or(|value| !is_small(&value)), "{text} is small enough to be held");
        }
        Err(_) => {}
    }
}

fn sum(one: Amount, two: Amount) {
    let (plus, minus) = (exact(one).plus(&exact(two)), exact(one).plus(&exact(two).negated()));
    for (value, checked, rounded) in
        [(plus, one.checked_add(two), one.plus(two)), (minus, one.checked_sub(two), one.minus(two))]
    {
        match checked {
            Some(outcome) => {
                assert_eq!(exact(outcome), value, "{one} and {two} make {outcome}");
                assert_eq!(rounded, outcome);
            }
            None => {
                assert!(!is_small(&value), "{one} and {two} make something small enough to be held");
                let gap = value.plus(&exact(rounded).negated());
                let smallest = exact(rounded).is_negative() && gap.is_negative();
                assert!(
                    !gap.is_negative() || is_least(rounded),
                    "{one} and {two} are rounded up to {rounded}"
                );
                let near = gap <= Exact::parse("2").expect("a number");
                assert!(near || smallest || is_most(rounded), "{one} and {two} are far from {rounded}");
            }
        }
    }
}

/// Whether nothing can be added.
fn is_most(amount: Amount) -> bool {
    amount.checked_add("1".parse().expect("an amount")).is_none() && !amount.is_negative()
}

/// Whether nothing can be taken away.
fn is_least(amount: Amount) -> bool {
    amount.checked_sub("1".parse().expect("an amount")).is_none() && amount.is_negative()
}
