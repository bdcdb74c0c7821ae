//! What the topics share.

mod agent;
mod host;
mod proxy;
mod raw;

pub(crate) use agent::{Ran, code, run};
pub(crate) use host::{Host, Neighbour, fragile_client, memory_client, next, phase, runtime, token};
pub(crate) use proxy::Proxy;
pub(crate) use raw::{Raw, hello, http};
