//! What jobs are allowed (§9): the patterns of leases, the targets that they match, the patterns that they cover. What
//! a submit may ask for at all is checked before its job exists.
//!
//! Everything here is text: whether a path leads elsewhere by a symbolic link, or a host name by its resolver, is not seen.

mod grants;
mod pattern;
mod subset;
mod target;
mod url;

pub use grants::{BadGrants, Grants, MAX_LEASE_BYTES, MAX_PATTERNS, NotCovered};
pub use pattern::{BadPattern, MAX_PATTERN_BYTES, Pattern};
pub use subset::covers;
pub use target::{BadTarget, Kind, MAX_TARGET_BYTES, Target};

use arcp_proto::job::Submit;
use arcp_proto::{ErrorCode, ErrorPayload, Timestamp, namespace};

/// Namespaces whose enforcement this version does not implement: refused rather than granted in name only.
const UNENFORCED: [&str; 2] = [namespace::COST_BUDGET, namespace::MODEL_USE];

/// Checks the lease that a submit asks for.
///
/// # Errors
/// `INVALID_REQUEST`, naming the place: a namespace that is not known, one that this version does not enforce, or an
/// `expires_at` that is not in the future.
pub(crate) fn admit(submit: &Submit, wall: Timestamp) -> Result<(), ErrorPayload> {
    for (index, (name, _)) in submit.lease_request.iter().enumerate() {
        let vendor = name.strip_prefix(namespace::VENDOR_PREFIX).is_some_and(|rest| !rest.is_empty());
        if UNENFORCED.contains(&name) {
            return Err(invalid(format!("payload.lease_request: {name} is not offered by this runtime")));
        }
        if !vendor && !namespace::RESERVED.contains(&name) {
            return Err(invalid(format!(
                "payload.lease_request: namespace {} of {} is not known; vendors' begin with {}",
                index + 1,
                submit.lease_request.iter().count(),
                namespace::VENDOR_PREFIX
            )));
        }
    }
    match submit.lease_constraints.expires_at {
        Some(expires_at) if expires_at <= wall => {
            Err(invalid("payload.lease_constraints.expires_at: not in the future".to_owned()))
        }
        _ => Ok(()),
    }
}

fn invalid(message: String) -> ErrorPayload {
    ErrorPayload::new(ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcp_proto::{Json, Lease};

    fn submit(lease: Lease) -> Submit {
        Submit { lease_request: lease, ..Submit::new("echo".parse().unwrap(), Json::null()) }
    }

    #[test]
    fn known_and_vendor_namespaces_pass_and_no_others() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(
            admit(&submit(Lease::empty().grant("fs.read", "/**").grant("x-vendor.acme.x", "*")), now).is_ok()
        );
        for name in ["", "fs", "fs.delete", "x-vendor.", "cost.budgets", "cost.budget", "model.use"] {
            assert_eq!(
                admit(&submit(Lease::empty().grant(name, "*")), now).unwrap_err().code,
                ErrorCode::InvalidRequest,
                "{name}"
            );
        }
    }

    #[test]
    fn an_expiry_must_be_in_the_future() {
        let mut submit = submit(Lease::empty());
        submit.lease_constraints.expires_at = Some(Timestamp::from_millis(1_000));
        assert!(admit(&submit, Timestamp::from_millis(999)).is_ok());
        assert!(admit(&submit, Timestamp::from_millis(1_000)).is_err());
    }
}
