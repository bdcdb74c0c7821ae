//! What a job may do (§9): grants, money and time, decided by one type, [`Authority`].
//!
//! Grants are text here: whether a path leads elsewhere by a symbolic link, or a host name by its resolver, is not seen.

mod authority;
mod ceiling;
mod denied;
mod grants;
mod meet;
mod pattern;
mod purse;
mod subset;
mod target;
mod url;

use std::time::Duration;

pub use authority::{Authority, Delegated, Granted, MAX_CURRENCIES, ModelPolicy, Reservation};
pub use ceiling::Ceiling;
pub use denied::Denied;
pub use grants::{BadGrants, Grants, MAX_LEASE_BYTES, MAX_PATTERNS, NotCovered};
pub use meet::{NotExpressible, intersection};
pub use pattern::{BadPattern, MAX_PATTERN_BYTES, Pattern};
pub use subset::covers;
pub use target::{BadTarget, Kind, MAX_TARGET_BYTES, Target};

/// The longest time that is counted. A lease may have more; whatever clock it is measured on ends later.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
