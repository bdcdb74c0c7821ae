//! Numbers as a narrow column has them.

use arcp::proto::event::Progress;
use arcp::proto::{Budget, Number, Timestamp};

use crate::plain::escaped;

/// Cells of a bar.
const CELLS: usize = 5;

/// A span in seconds, minutes, hours or days, whichever is the largest that is there.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..360_000 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago it was.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    span(now.saturating_since(then).as_secs())
}

/// How long until then.
pub(crate) fn left(then: Timestamp, now: Timestamp) -> String {
    if then <= now { "over".to_owned() } else { span(then.saturating_since(now).as_secs()) }
}

/// A share from 0 to 1 as a bar.
fn bar(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * CELLS as f64).round() as usize;
    format!("{}{}", "▰".repeat(full), "▱".repeat(CELLS - full))
}

/// How far a job is: a bar where it says how far it goes, and otherwise what it counts.
pub(crate) fn progress(progress: &Progress) -> String {
    let current = progress.current.as_f64();
    match progress.total.as_ref().map(Number::as_f64).filter(|total| *total > 0.0) {
        Some(total) => {
            let share = (current / total).clamp(0.0, 1.0);
            format!("{} {:>3.0}%", bar(share), (share * 100.0).floor())
        }
        None => {
            let units = progress.units.as_deref().unwrap_or_default();
            format!("{} {}", progress.current, escaped(units, 20)).trim_end().to_owned()
        }
    }
}

/// What is left of a budget, in the currency of which the smallest share is.
pub(crate) fn budget(granted: &Budget, remaining: &Budget) -> Option<String> {
    let mut gauges: Vec<_> = remaining
        .iter()
        .map(|(currency, left)| {
            let whole = granted.remaining(currency.as_str()).map(|whole| Number::from(whole).as_f64());
            let share = whole.filter(|whole| *whole > 0.0).map(|whole| Number::from(left).as_f64() / whole);
            (
                share.unwrap_or(0.0),
                format!("{} {left} {}", bar(share.unwrap_or(0.0)), escaped(currency.as_str(), 12)),
            )
        })
        .collect();
    gauges.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let more = gauges.len().saturating_sub(1);
    let (_, tightest) = gauges.into_iter().next()?;
    Some(if more > 0 { format!("{tightest} +{more}") } else { tightest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Progress {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn spans_are_short() {
        let spans = [0, 99, 100, 5_999, 6_000, 360_000, u64::MAX].map(span);
        assert_eq!(spans, ["0s", "99s", "1m", "99m", "1h", "4d", "213503982334601d"]);
        let at = Timestamp::from_millis;
        assert_eq!((age(at(0), at(61_000)), age(at(61_000), at(0))), ("61s".into(), "0s".into()));
        assert_eq!((left(at(61_000), at(0)), left(at(0), at(0))), ("61s".into(), "over".into()));
    }

    #[test]
    fn progress_is_a_bar_where_the_total_is_known() {
        assert_eq!(progress(&told(r#"{"current":3,"total":4}"#)), "▰▰▰▰▱  75%");
        assert_eq!(progress(&told(r#"{"current":9,"total":4}"#)), "▰▰▰▰▰ 100%");
        assert_eq!(progress(&told(r#"{"current":999,"total":1000}"#)), "▰▰▰▰▰  99%");
        assert_eq!(progress(&told(r#"{"current":7,"units":"pages"}"#)), "7 pages");
        assert_eq!(progress(&told(r#"{"current":1e300,"total":0}"#)), "1e300");
    }

    #[test]
    fn the_tightest_budget_is_shown() {
        let of = |text: &str| serde_json::from_str::<Budget>(text).unwrap();
        let granted = of(r#"{"USD":5,"credits":10}"#);
        assert_eq!(budget(&granted, &of(r#"{"USD":4,"credits":1}"#)).unwrap(), "▰▱▱▱▱ 1 credits +1");
        assert_eq!(budget(&granted, &of(r#"{"USD":-1}"#)).unwrap(), "▱▱▱▱▱ -1 USD");
        assert_eq!(budget(&granted, &Budget::default()), None);
    }
}
