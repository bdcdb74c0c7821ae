//! What tests of agents and of clients are made of: links within a test ([`in_memory`]), either side played by a script
//! ([`ScriptedPeer`], [`scripted_runtime`]), and the fixture agents.
//!
//! The fixture agents are small, exact agents that conformance runs, interop tests, load tests and demonstrations drive from
//! outside, with nothing but the wire protocol. `arcp serve --fixtures` hosts all of them.
//!
//! They are ordinary agents, written against the public API of `arcp-runtime`.
//!
//! | agent | input | what it does |
//! | --- | --- | --- |
//! | `echo` | anything | logs `echo started`, returns `{"echoed": <input>}` |
//! | `count` | `{n, delay_ms?, size?}` | logs `event 0` … `event n-1`, each padded with `.` to `size` bytes, `delay_ms` apart; returns `{"count": n}` |
//! | `sleep` | `{ms}` | status `sleeping`, sleeps, stops at once when cancelled; returns `{"slept_ms": ms}` |
//! | `stubborn` | `{ms}` | status `stubborn`, ignores cancellation for `ms`; returns `null` |
//! | `progress` | `{total, units?, delay_ms?}` | progress from 1 to `total`, `delay_ms` apart; returns `{"total": total}` |
//! | `stream` | `{chunks, chunk_bytes, encoding?, fail_at?}` | streams a result: chunk `i` is `chunk_bytes` times the letter `a + i mod 26`; with `fail_at: k` it fails before chunk `k` |
//! | `kinds` | `{}` | one event of every kind, then the vendor kind `x-vendor.fixture.note`; returns `null` |
//! | `operate` | `{operations: [{capability, target, cost?, delay_ms?}], stop_on_error?}` | asks for the authority to do each, with `tool_call` and `tool_result`, and tells its cost; returns `{"outcomes": ["ok" or a code, …]}` |
//! | `delegate` | `{agent, input, lease_request?, lease_constraints?, wait?}` | delegates and waits for the child; returns `{"child_job_id", "final_status", "result"}`, or `{"error": <code>}` |
//! | `fail` | `{code?, message?, panic?}` | ends in that error, or panics |
//! | `versioned` | anything | there as `1.0.0` and `2.0.0`; returns `{"version": <its own>}` |
//! | `whoami` | anything | returns what the agent is told of its job |
//! | `rotate` | `{}` | rotates its first provisioned credential; returns `{"credential_id": <its id, or null without one>}` |
//! | `typed` | `{count, unit?}` | shows the schema of its input, and takes no other: `count` is 1 to 9, `unit` is `m` or `s`; returns the input |
//!
//! All but `versioned` are there as `1.0.0`. A wrong input ends the job in `INVALID_REQUEST` with a message that names the
//! field; one for `typed` becomes no job.
//!
//! [`FixtureGateway`] is an upstream for provisioned credentials that writes down what it is asked.

mod authority;
mod events;
mod gateway;
mod identity;
mod link;
mod stream;
mod time;
mod typed;

use arcp_runtime::{RuntimeBuilder, agent_fn};

pub use gateway::FixtureGateway;
pub use link::{ScriptedPeer, ScriptedRuntime, in_memory, scripted_runtime};

/// Adds every fixture agent to a runtime.
#[must_use]
pub fn with_fixtures<A>(builder: RuntimeBuilder<A>) -> RuntimeBuilder<A> {
    builder
        .agent("echo@1.0.0", agent_fn(events::echo))
        .agent("count@1.0.0", agent_fn(events::count))
        .agent("progress@1.0.0", agent_fn(events::progress))
        .agent("stream@1.0.0", agent_fn(stream::stream))
        .agent("kinds@1.0.0", agent_fn(events::kinds))
        .agent("sleep@1.0.0", agent_fn(time::sleep))
        .agent("stubborn@1.0.0", agent_fn(time::stubborn))
        .agent("operate@1.0.0", agent_fn(authority::operate))
        .agent("delegate@1.0.0", agent_fn(authority::delegate))
        .agent("fail@1.0.0", agent_fn(identity::fail))
        .agent("versioned@1.0.0", agent_fn(identity::versioned))
        .agent("versioned@2.0.0", agent_fn(identity::versioned))
        .agent("whoami@1.0.0", agent_fn(identity::whoami))
        .agent("rotate@1.0.0", agent_fn(gateway::rotate))
        .typed_agent("typed@1.0.0", agent_fn(typed::typed))
}
