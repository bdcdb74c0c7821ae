//! The two machines of `arcp-core`, on one simulated clock, without sockets, threads or sleeps. One file a topic.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod ack;
mod budget;
mod ceiling;
mod client;
mod close;
mod credentials;
mod delegate;
mod determinism;
mod end;
mod events;
mod expiry;
mod family;
mod features;
mod handshake;
mod heartbeat;
mod host;
mod hostile;
mod idempotency;
mod listing;
mod pair;
mod peer;
mod played;
mod quirks;
mod random;
mod reconnect;
mod renew;
mod restore;
mod result;
mod resume;
mod secure;
mod spans;
mod submit;
mod subscribe;
mod together;
mod token;
mod unreadable;
