//! The cases against this project's own runtime, and against runtimes that each have one fault.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod change;
mod faults;
mod host;
mod mutants;
mod ours;
mod tap;
