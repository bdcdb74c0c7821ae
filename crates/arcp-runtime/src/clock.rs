//! The clocks of the machine, as tokio and the system have them.

use std::time::SystemTime;

use arcp_core::{Instant, Now, Origin};
use arcp_proto::Timestamp;

/// Tokio's clock, so that tests can hold it, and the system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Origin);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Origin::new(tokio::time::Instant::now().into_std()))
    }

    pub(crate) fn now(&self) -> Now {
        self.0.now(tokio::time::Instant::now().into_std(), SystemTime::now())
    }

    pub(crate) fn wall() -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// The point at which tokio's clock shows `at`; `None` if that is beyond its range.
    pub(crate) fn when(&self, at: Instant) -> Option<tokio::time::Instant> {
        self.0.when(at).map(tokio::time::Instant::from_std)
    }
}

/// Random bits from the operating system.
///
/// # Panics
/// When the operating system has none to give: without them no token could be made, and nothing may be served.
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// The same, as many as there is room for.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
