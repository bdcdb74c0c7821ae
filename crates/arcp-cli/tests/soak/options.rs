//! How long, how many, on which store: from the environment, which `cargo xtask soak` sets.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Length of the hostile run, if this is more than a test of losses.
    secs: Option<u64>,
    pub(crate) sessions: usize,
    /// `sqlite` or `memory`.
    pub(crate) store: String,
    /// Jobs that honest clients submit in a second, all together.
    pub(crate) rate: f64,
}

/// Sessions of one principal: below the default limit, which is not raised.
pub(crate) const SESSIONS_OF_ONE: usize = 50;

impl Options {
    pub(crate) fn read() -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}: not a number")))
        };
        let sessions = number("ARCP_SOAK_SESSIONS").unwrap_or(60).max(20) as usize;
        Self {
            secs: number("ARCP_SOAK_SECS"),
            sessions,
            store: std::env::var("ARCP_SOAK_STORE").unwrap_or_else(|_| "sqlite".to_owned()),
            rate: number("ARCP_SOAK_RATE").map_or(sessions as f64 / 50.0, |rate| rate as f64).max(10.0),
        }
    }

    /// Whether latency and memory are judged, and not only losses.
    pub(crate) fn judges_everything(&self) -> bool {
        self.secs.is_some()
    }

    pub(crate) fn hostile(&self) -> Duration {
        Duration::from_secs(self.secs.unwrap_or(3))
    }

    pub(crate) fn quiet(&self) -> Duration {
        self.secs.map_or(Duration::from_secs(1), |secs| Duration::from_secs((secs / 2).clamp(5, 60)))
    }

    /// How often a client watches, lists, or is cut.
    pub(crate) fn every(&self) -> Duration {
        if self.judges_everything() { Duration::from_secs(10) } else { Duration::from_millis(500) }
    }

    /// Principals of the honest.
    pub(crate) fn principals(&self) -> usize {
        self.sessions.div_ceil(SESSIONS_OF_ONE)
    }

    /// So many for 5,000 sessions, in proportion otherwise, and never none.
    pub(crate) fn scaled(&self, of_5000: usize) -> usize {
        (of_5000 * self.sessions / 5_000).max(1)
    }
}
