//! How often a principal may ask, whatever number of sessions it has. Jobs that run at a time, and all other limits, are of the
//! machine: a rate needs to know nothing of what is asked for.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::runtime::Admission;
use arcp_core::{Now, Principal};
use arcp_proto::{ErrorCode, ErrorPayload, Json};
use governor::clock::Clock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use serde_json::json;

/// Principals that are remembered before those are looked for that need not be.
const MANY: usize = 1_024;
/// The longest that a whole burst may take to come back.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// So many in a time, and at most so many at once: a bucket of `burst` that is filled at an even pace.
///
/// Written `20/s`, `600/min` or `5000/h`, with a burst as `20/s:100`. Without one the burst is the number itself.
///
/// ```
/// use arcp_runtime::Rate;
///
/// let rate: Rate = "20/s:100".parse()?;
/// assert_eq!(rate.to_string(), "20/s:100");
/// assert!("0/s".parse::<Rate>().is_err());
/// # Ok::<(), arcp_runtime::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    number: NonZeroU32,
    unit: Unit,
    burst: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

const UNITS: [(Unit, &str, Duration); 3] = [
    (Unit::Second, "s", Duration::from_secs(1)),
    (Unit::Minute, "min", Duration::from_secs(60)),
    (Unit::Hour, "h", Duration::from_secs(3_600)),
];

/// A text is no [`Rate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// It is not written as one.
    #[error("not a rate such as 20/s, 600/min or 20/s:100")]
    Malformed,
    /// Its number or its burst is zero, or more than can be kept account of.
    #[error(
        "a rate is at least 1 in its time and at most 1000000 in a second, and its burst comes back within a year"
    )]
    Range,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let (number, unit) = rate.split_once('/').ok_or(RateError::Malformed)?;
        let &(unit, ..) = UNITS.iter().find(|(_, name, _)| *name == unit).ok_or(RateError::Malformed)?;
        let whole = |text: &str| match text.parse::<u32>() {
            Ok(number) => NonZeroU32::new(number).ok_or(RateError::Range),
            Err(_) => Err(RateError::Malformed),
        };
        let number = whole(number)?;
        let burst = burst.map_or(Ok(number), whole)?;
        let rate = Self { number, unit, burst };
        let interval = rate.interval();
        let refilled = interval.checked_mul(burst.get()).filter(|time| *time <= LONGEST);
        if interval < Duration::from_micros(1) || refilled.is_none() {
            return Err(RateError::Range);
        }
        Ok(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(unit, ..)| *unit == self.unit).map_or("s", |(_, name, _)| name);
        write!(f, "{}/{unit}", self.number)?;
        if self.burst == self.number { Ok(()) } else { write!(f, ":{}", self.burst) }
    }
}

impl Rate {
    /// How long one takes to come back.
    fn interval(&self) -> Duration {
        let time = UNITS.iter().find(|(unit, ..)| *unit == self.unit).map_or(UNITS[0].2, |(.., time)| *time);
        time / self.number.get()
    }
}

/// How often a principal may ask, over all of its sessions; as often as it likes, if nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Submits that become jobs. One that comes too soon is refused with `INTERNAL_ERROR`, which invites to try again; its
    /// `details.retry_after_ms` says when. A submit that is refused for any other reason does not count, nor does one that is
    /// made again under its idempotency key, nor do jobs that agents delegate. A job whose credentials could not be had does.
    pub submits: Option<Rate>,
    /// Messages, but for those that show life, acknowledge or cancel. One that comes too soon waits, with all others that come after it over the same
    /// connection: 256 of them, or 1 MiB, and then so does their sender. None is refused; those that still wait when their connection is
    /// lost are lost with it.
    ///
    /// `session.ping`, `session.pong`, `session.ack` and `job.cancel` go past those that wait, so that nobody is taken for dead, and a job can
    /// be stopped, whatever else was asked. Each connection may carry 100 of these in a second, and 1,000 at once; more of them
    /// wait as well. A `session.hello` does not wait, but counts: where there is none left, what is asked next waits for two.
    pub messages: Option<Rate>,
}

impl RateLimits {
    /// No limits.
    pub fn none() -> Self {
        Self::default()
    }

    /// Limits the submits that become jobs.
    #[must_use]
    pub fn submits(self, rate: Rate) -> Self {
        Self { submits: Some(rate), ..self }
    }

    /// Limits the messages.
    #[must_use]
    pub fn messages(self, rate: Rate) -> Self {
        Self { messages: Some(rate), ..self }
    }
}

/// How often principals may have another job.
#[derive(Debug)]
pub(crate) struct SubmitRate(Account);

impl SubmitRate {
    /// Time is tokio's.
    pub(crate) fn new(rate: Rate) -> Self {
        Self(Account::new(rate))
    }
}

impl Admission for SubmitRate {
    fn admit(&self, _: Now, principal: &Principal) -> Result<(), ErrorPayload> {
        let Err(wait) = self.0.take(principal) else { return Ok(()) };
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1); // rounded up: not again too soon
        let message = format!(
            "principal submits more jobs than its rate of {} allows; try again in {millis} ms",
            self.0.rate
        );
        let mut error = ErrorPayload::new(ErrorCode::InternalError, message);
        error.details = Json::encode(&json!({ "retry_after_ms": millis })).ok();
        Err(error)
    }
}

/// How often principals may send a message.
pub(crate) struct MessageRate(Account);

impl MessageRate {
    /// Time is tokio's.
    pub(crate) fn new(rate: Rate) -> Self {
        Self(Account::new(rate))
    }

    /// Takes one, or says how long there will be none.
    pub(crate) fn take(&self, principal: &Principal) -> Result<(), Duration> {
        self.0.take(principal)
    }
}

/// What each principal has used of one rate.
struct Account {
    rate: Rate,
    limiter: RateLimiter<Principal, HashMapStateStore<Principal>, Ticks>,
    /// How many principals were remembered when those were last let go of that had used nothing for long.
    kept: AtomicUsize,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Account {
    fn new(rate: Rate) -> Self {
        // A rate that was read has an interval.
        let quota = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(rate.number));
        let limiter = RateLimiter::hashmap_with_clock(quota.allow_burst(rate.burst), Ticks);
        Self { rate, limiter, kept: AtomicUsize::new(0) }
    }

    /// Takes one, or says how long there will be none.
    fn take(&self, principal: &Principal) -> Result<(), Duration> {
        let taken = self.limiter.check_key(principal);
        if self.limiter.len() > MANY.max(self.kept.load(Ordering::Relaxed).saturating_mul(2)) {
            self.limiter.retain_recent(); // those whose burst is whole again
            self.kept.store(self.limiter.len(), Ordering::Relaxed);
        }
        taken.map_err(|early| early.wait_time_from(self.limiter.clock().now()))
    }
}

/// Tokio's clock, so that tests can hold it.
#[derive(Clone, Debug)]
struct Ticks;

impl Clock for Ticks {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_read_as_they_are_written_and_what_is_none_is_told() {
        for text in ["20/s", "600/min", "5000/h", "1/h:3", "20/s:100", "1000000/s"] {
            assert_eq!(rate(text).to_string(), text);
        }
        assert_eq!(rate("20/s:20").to_string(), "20/s");
        for text in
            ["", "20", "20/", "/s", "20/d", "-1/s", "1.5/s", "20/s:", "20/s:x", "20/s:1:1", "5000000000/s"]
        {
            assert_eq!(text.parse::<Rate>(), Err(RateError::Malformed), "{text}");
        }
        for text in ["0/s", "20/s:0", "1000001/s", "1/h:4294967295"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError::Range), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_spent_and_comes_back_at_the_pace_of_the_rate() {
        let (alice, bob) = (Principal::new("alice"), Principal::new("bob"));
        let account = Account::new(rate("2/s:3"));
        for _ in 0..3 {
            assert_eq!(account.take(&alice), Ok(()));
        }
        assert_eq!(account.take(&alice), Err(Duration::from_millis(500)));
        assert_eq!(account.take(&bob), Ok(()), "it is nothing to others");
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(account.take(&alice), Err(Duration::from_millis(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(account.take(&alice), Ok(()));
        assert!(account.take(&alice).is_err());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        for _ in 0..3 {
            assert_eq!(account.take(&alice), Ok(()));
        }
        assert!(account.take(&alice).is_err(), "no more than a burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_used_nothing_for_long_is_forgotten_and_who_has_is_not() {
        let account = Account::new(rate("1/s"));
        let spender = Principal::new("spender");
        for round in 0..10 {
            for number in 0..MANY {
                account.take(&Principal::new(format!("{round}-{number}"))).unwrap();
            }
            tokio::time::advance(Duration::from_millis(1_100)).await;
            account.take(&spender).unwrap();
            assert!(account.take(&spender).is_err());
        }
        assert!(account.limiter.len() <= 2 * MANY + 2, "{} are remembered", account.limiter.len());
        account.limiter.retain_recent();
        assert!(account.take(&spender).is_err(), "who is forgotten must have nothing to pay back");
    }
}
