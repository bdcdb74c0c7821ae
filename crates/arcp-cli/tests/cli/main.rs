//! The program as its user meets it: exit codes, stdout, stderr.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod conformance;
mod credentials;
mod hangup;
mod jwt;
mod lease;
mod observe;
mod otlp;
mod plain;
mod program;
mod serve;
mod settings;
mod stdio;
mod store;
mod submit;
mod terminal;
mod tls;
mod top;
