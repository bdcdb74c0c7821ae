//! What the topics share.

mod host;
mod proxy;
mod raw;

pub(crate) use host::{Host, Neighbour, fragile_client, next, phase, runtime, token};
pub(crate) use proxy::Proxy;
pub(crate) use raw::{Raw, hello, http};
