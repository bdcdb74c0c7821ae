//! The Agent Runtime Control Protocol (ARCP) v1.1 as sans-IO state machines: everything with an `if` in it.
//!
//! There are two machines: [`runtime::Runtime`], which holds all connections, sessions and jobs of a runtime, and
//! [`client::Session`], which is one session as its client sees it. Neither does I/O, sleeps, asks a clock or draws a random
//! number; each is told what happened and asked what to do:
//!
//! - `handle_*` methods take what happened outside: a frame, a lost connection, a timer, an answer of the authenticator;
//! - commands, such as [`emit`](runtime::Runtime::emit) or [`submit`](client::Session::submit), change the state;
//! - `poll_*` methods give what is to be done next: frames to write, events to react to, when to call back.
//!
//! **Mutate, then drain.** After every `handle_*` or command, the caller takes what the `poll_*` methods have until they
//! have nothing more. Time comes in as [`Now`], with two clocks: `monotonic` drives all timers, `wall` is written down.
//!
//! Beside them stands what agents may do: [`lease`] has the patterns of leases, what they match and which others they cover.
//!
//! Frames are decoded by [`Incoming`] before they reach a machine and encoded by
//! [`NumberedEntry::encode`](runtime::NumberedEntry::encode) after they have left it, so that a driver can do both outside
//! of its locks.

pub mod client;
mod fingerprint;
mod incoming;
mod key;
pub mod lease;
mod observation;
mod principal;
pub mod quirks;
mod random;
pub mod runtime;
mod time;

pub use fingerprint::Fingerprint;
pub use incoming::Incoming;
pub use observation::{Observation, ObservationPolicy, SamePrincipal};
pub use principal::{Caller, Principal};
pub use random::{Drawn, Random};
pub use time::{Instant, Now, Origin};
