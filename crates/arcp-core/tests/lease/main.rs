//! The patterns of leases: the vectors in `tests/vectors`, and properties over many generated patterns and targets.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod meet;
mod naive;
mod properties;
mod vectors;
