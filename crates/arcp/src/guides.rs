//! The guides, compiled and run as documentation tests. They are read in `docs`, where `cargo xtask readme` writes them without the
//! lines that only the compiler needs; nothing of them is in the documentation of this crate.

#[doc = include_str!("guides/auth.md")]
struct Auth;

#[doc = include_str!("guides/credentials.md")]
struct Credentials;

#[doc = include_str!("guides/delegation.md")]
struct Delegation;

#[doc = include_str!("guides/deployment.md")]
struct Deployment;

#[doc = include_str!("guides/driving-the-core.md")]
struct DrivingTheCore;

#[doc = include_str!("guides/errors.md")]
struct Errors;

#[doc = include_str!("guides/getting-started.md")]
struct GettingStarted;

#[doc = include_str!("guides/jobs-and-events.md")]
struct JobsAndEvents;

#[doc = include_str!("guides/leases-and-budgets.md")]
struct LeasesAndBudgets;

#[doc = include_str!("guides/observability.md")]
struct Observability;

#[doc = include_str!("guides/porting-from-python.md")]
struct PortingFromPython;

#[doc = include_str!("guides/sessions.md")]
struct Sessions;

#[doc = include_str!("guides/testing.md")]
struct Testing;

#[doc = include_str!("guides/transports.md")]
struct Transports;

#[doc = include_str!("guides/vendor-extensions.md")]
struct VendorExtensions;
