//! The wire types through their public API, one file a topic.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod draft;
mod lenient;
mod malformed;
mod round_trip;
mod secrets;
mod vectors;
