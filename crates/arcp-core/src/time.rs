//! Time as the machines know it: handed in, never asked for.

use std::ops::Add;
use std::time::{self, Duration, SystemTime};

use arcp_proto::Timestamp;

/// A point on a clock that only goes forward. What its origin is does not matter, as long as it stays the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// A point that never comes.
    pub const NEVER: Self = Self(Duration::MAX);

    /// The point `elapsed` after the origin.
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How far the origin is back.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The point `duration` later; the end of time where that cannot be told.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Ties the machines' clock to the standard library's, for drivers. It asks no clock: the driver does.
#[derive(Clone, Copy, Debug)]
pub struct Origin(time::Instant);

impl Origin {
    /// A clock whose origin is `instant`.
    pub fn new(instant: time::Instant) -> Self {
        Self(instant)
    }

    /// Both clocks, given what the driver's own show.
    pub fn now(&self, monotonic: time::Instant, wall: SystemTime) -> Now {
        let elapsed = monotonic.saturating_duration_since(self.0);
        Now { monotonic: Instant::after_origin(elapsed), wall: Timestamp::from(wall) }
    }

    /// When the driver's clock shows `at`; `None` beyond its range.
    pub fn when(&self, at: Instant) -> Option<time::Instant> {
        self.0.checked_add(at.since_origin())
    }
}

/// Both clocks at once.
///
/// `monotonic` drives every timer. `wall` is only written down (`ts`, `accepted_at`, ULIDs) and compared with
/// times that peers name, such as `expires_at`, when these arrive.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub monotonic: Instant,
    /// For people.
    pub wall: Timestamp,
}
