//! The whole of it, end to end: a runtime with the fixture agents behind axum, real WebSockets, the real client, and a raw
//! peer where the client is too well-behaved. One file a topic.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod authority;
mod axum;
mod bad_input;
mod credentials;
mod edge;
#[cfg(unix)]
mod files;
mod jobs;
mod lifecycle;
mod log;
mod reconnect;
mod resume;
mod schema;
mod security;
mod stdio;
mod strict;
mod support;
mod tls;
mod web;
