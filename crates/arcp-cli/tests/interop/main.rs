//! The published Python SDK, both its client with our runtime and its runtime with our client: what its documentation promises
//! works with ours. It is installed from PyPI once, into a virtual environment below the target directory. Where that cannot be
//! done the tests say so and are skipped, but in CI (with the variable `CI` set) they fail.
//!
//! Its scripts tell what they see in lines of JSON, and the assertions are here.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cut;
mod guide;
mod ours;
mod python;
mod theirs;
