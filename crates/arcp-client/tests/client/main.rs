//! What a client does when its runtime, its link or its application does not do as expected. On a clock that the tests
//! move, against a runtime made by hand.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod delivery;
mod ends;
mod host;
mod requests;
