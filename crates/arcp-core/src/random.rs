//! Randomness as the machines know it: handed in, never asked for.

use arcp_proto::{ResumeToken, SpanId, TraceId, Ulid};

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

/// Random bits that are drawn many at a time: every message has some, and each draw is a call of the system.
pub struct Drawn<F> {
    draw: F,
    bytes: [u8; 512],
    /// How many have not been given out.
    left: usize,
}

impl<F: FnMut(&mut [u8])> From<F> for Drawn<F> {
    /// Draws by filling slices with random bytes.
    fn from(draw: F) -> Self {
        Self { draw, bytes: [0; 512], left: 0 }
    }
}

impl<F: FnMut(&mut [u8]) + Send> Random for Drawn<F> {
    fn random(&mut self) -> u128 {
        if self.left == 0 {
            (self.draw)(&mut self.bytes);
            self.left = self.bytes.len();
        }
        self.left -= 16;
        let mut bits = [0; 16];
        // Nothing that is given out stays here.
        bits.swap_with_slice(&mut self.bytes[self.left..self.left + 16]);
        u128::from_le_bytes(bits)
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

    pub(crate) fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(span_id) = SpanId::new(self.0.random() as u64) {
                return span_id;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_given_out_once() {
        let mut next = 0_u128;
        let mut drawn = Drawn::from(|bytes: &mut [u8]| {
            for place in bytes.chunks_exact_mut(16) {
                next += 1;
                place.copy_from_slice(&next.to_le_bytes());
            }
        });
        let mut given: Vec<u128> = (0..100).map(|_| drawn.random()).collect();
        assert!(drawn.bytes[drawn.left..].iter().all(|byte| *byte == 0));
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 100);
        assert!(!given.contains(&0));
    }
}
