//! What the fuzz targets do: each takes any bytes and panics when what it tries does not hold. The programs around them, for
//! libFuzzer, are in `fuzz/fuzz_targets`; the corpora, which the tests run through the same functions, in `fuzz/corpus`.
//!
//! | target | its bytes are | what must hold |
//! | --- | --- | --- |
//! | [`envelope`] | a frame | what is read is written and read as the same again; ids, types and numbers are within their limits |
//! | [`payloads`] | a type or kind, a line feed, a payload or body | the same; errors name places and repeat no text |
//! | [`amounts`] | two numbers | no digit is rounded away that exact arithmetic keeps, and nothing is rounded up in somebody's favour |
//! | [`lease_pattern`] | a capability, a pattern, a target | what is canonical stays so; matching is as the rules read |
//! | [`lease_subset`] | a capability, two patterns, a target | what a covered pattern matches, the one that covers it matches |
//! | [`net_target`] | a URL | one that is allowed has one reading: three readers see the same host, port and path |
//! | [`stdio_framing`] | a limit, cuts, bytes of a pipe | the lines are those of the bytes as a whole, however they were cut |
//! | [`runtime_session`] | what clients, agents, the clock, the store and the links do to a runtime | see there |
//! | [`client_session`] | what a runtime, an application and the clock do to a client | see there |

#![allow(clippy::unwrap_used, reason = "a target stops at what it did not expect")]

mod amounts;
mod client_session;
mod envelope;
mod exact;
mod grammar;
mod lease;
mod payloads;
mod runtime_session;
mod stdio_framing;
mod urls;

#[allow(dead_code, reason = "shared with the tests of the core, which use more of it")]
#[path = "../../arcp-core/tests/core/host.rs"]
mod host;
#[allow(dead_code, reason = "shared with the tests of the core")]
#[path = "../../arcp-core/tests/lease/naive.rs"]
mod naive;
#[allow(dead_code, reason = "shared with the tests of the core, which use more of it")]
#[path = "../../arcp-core/tests/core/peer.rs"]
mod peer;
#[allow(dead_code, reason = "shared with the tests of the transport, which use more of it")]
#[path = "../../arcp-transport-stdio/tests/stdio/pieces.rs"]
mod pieces;

pub use amounts::amounts;
pub use client_session::client_session;
pub use envelope::envelope;
pub use lease::{lease_pattern, lease_subset};
pub use payloads::payloads;
pub use runtime_session::runtime_session;
pub use stdio_framing::stdio_framing;
pub use urls::net_target;

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("amounts", amounts),
    ("client_session", client_session),
    ("envelope", envelope),
    ("lease_pattern", lease_pattern),
    ("lease_subset", lease_subset),
    ("net_target", net_target),
    ("payloads", payloads),
    ("runtime_session", runtime_session),
    ("stdio_framing", stdio_framing),
];

/// Stands for a secret wherever a text has a `$`: no error may repeat it.
const CANARY: &str = "Canary!7Q";

/// The bytes as a text with canaries in it, if they are text.
fn with_canaries(data: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(data).ok()?.replace('$', CANARY))
}

/// Panics if an error repeats what it was an error about.
#[track_caller]
fn assert_discreet(error: &dyn std::error::Error) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(CANARY), "an error repeats its input: {text}");
}
