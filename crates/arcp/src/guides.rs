//! The guides of `docs/`, compiled and run as documentation tests. They are read where they stand: nothing of them is in the
//! documentation of this crate.

#[doc = include_str!("../../../docs/auth.md")]
struct Auth;

#[doc = include_str!("../../../docs/credentials.md")]
struct Credentials;

#[doc = include_str!("../../../docs/delegation.md")]
struct Delegation;

#[doc = include_str!("../../../docs/deployment.md")]
struct Deployment;

#[doc = include_str!("../../../docs/driving-the-core.md")]
struct DrivingTheCore;

#[doc = include_str!("../../../docs/errors.md")]
struct Errors;

#[doc = include_str!("../../../docs/getting-started.md")]
struct GettingStarted;

#[doc = include_str!("../../../docs/jobs-and-events.md")]
struct JobsAndEvents;

#[doc = include_str!("../../../docs/leases-and-budgets.md")]
struct LeasesAndBudgets;

#[doc = include_str!("../../../docs/observability.md")]
struct Observability;

#[doc = include_str!("../../../docs/porting-from-python.md")]
struct PortingFromPython;

#[doc = include_str!("../../../docs/sessions.md")]
struct Sessions;

#[doc = include_str!("../../../docs/testing.md")]
struct Testing;

#[doc = include_str!("../../../docs/transports.md")]
struct Transports;

#[doc = include_str!("../../../docs/vendor-extensions.md")]
struct VendorExtensions;
