//! `CONFORMANCE.md` is what the cases show, over every transport, and for the program as a client. With `ARCP_CONFORMANCE=write` it is
//! written anew; otherwise it must be up to date.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hosts;
mod page;
mod program;
