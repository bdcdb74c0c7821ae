//! Randomness as the machines know it: handed in, never asked for.

use arcp_proto::{ResumeToken, TraceId, Ulid};

use crate::time::Now;

/// A source of random bits. A runtime that serves anybody must be given a cryptographic one: resume tokens are made
/// of it.
pub trait Random: Send {
    /// 128 random bits.
    fn random(&mut self) -> u128;
}

impl<F: FnMut() -> u128 + Send> Random for F {
    fn random(&mut self) -> u128 {
        self()
    }
}

/// Makes identifiers and tokens out of a [`Random`].
pub(crate) struct Ids(Box<dyn Random>);

impl Ids {
    pub(crate) fn new(random: Box<dyn Random>) -> Self {
        Self(random)
    }

    pub(crate) fn random(&mut self) -> u128 {
        self.0.random()
    }

    pub(crate) fn ulid(&mut self, now: Now) -> Ulid {
        let millis = u64::try_from(now.wall.as_millis()).unwrap_or(0);
        Ulid::from_parts(millis, self.0.random())
    }

    pub(crate) fn trace_id(&mut self) -> TraceId {
        loop {
            if let Some(trace_id) = TraceId::new(self.0.random()) {
                return trace_id;
            }
        }
    }

    /// A token of 256 random bits.
    pub(crate) fn resume_token(&mut self) -> ResumeToken {
        ResumeToken::new(format!("rt_{:032x}{:032x}", self.0.random(), self.0.random()))
    }
}
