//! Real runtimes and clients in OpenTelemetry, with exporters in memory.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod collected;
mod metrics;
mod secrets;
mod support;
mod tree;
mod wire;
