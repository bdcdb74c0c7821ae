//! `CONFORMANCE.md` is what the cases show, over every transport, and for the program as a client; and of clients that each have one fault
//! every one is caught. With `ARCP_CONFORMANCE=write` it is
//! written anew; otherwise it must be up to date. `ARCP_CASE=6.3` plays the cases whose numbers begin so, and compares no page.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

// The kit's own tests put faults into runtimes with these.
#[path = "../../../arcp-conformance/tests/conformance/change.rs"]
mod change;
#[path = "../../../arcp-conformance/tests/conformance/tap.rs"]
mod tap;

mod faults;
mod hosts;
mod mutants;
mod page;
mod program;

use arcp_conformance::Case;

/// The cases that are asked for by the environment, or all.
fn asked(cases: Vec<Case>) -> Vec<Case> {
    let only = std::env::var("ARCP_CASE").ok();
    cases.into_iter().filter(|case| only.as_ref().is_none_or(|only| case.id.starts_with(only))).collect()
}
