//! What the topics share.

mod agent;
mod dice;
mod host;
mod proxy;
mod raw;
pub(crate) mod schema;
mod tap;
mod watch;

pub(crate) use agent::{Ran, code, run};
pub(crate) use dice::Dice;
pub(crate) use host::{Host, Neighbour, fragile_client, memory_client, next, phase, runtime, token};
pub(crate) use proxy::Proxy;
pub(crate) use raw::{Raw, hello, http};
pub(crate) use tap::Wrongs;
pub(crate) use watch::Watch;
