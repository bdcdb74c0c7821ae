//! Submitting (§7.1, §7.5, §11, §12): the answer in full, and refusals that touch nothing but their request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arcp_core::runtime::{Admission, InputContract, ResolvedAgent};
use arcp_core::{Incoming, Now, Principal};
use arcp_proto::{AgentRef, ErrorCode, ErrorPayload, Json};
use serde_json::{Value, json};

use crate::host::{Host, seconds};
use crate::peer::{message, types};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_submit_is_accepted_with_exactly_this() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let mut envelope = message(
        "mine",
        "job.submit",
        json!({
            "agent": "versioned",
            "input": { "n": 1.50 },
            "lease_request": { "fs.read": ["/a/**"], "x-vendor.acme.x": ["*"] },
            "lease_constraints": { "expires_at": "2026-05-13T20:00:00Z" },
            "idempotency_key": "k",
            "max_runtime_sec": 60
        }),
    );
    envelope["trace_id"] = json!(TRACE);
    peer.sends(&mut host, &envelope);
    let mut accepted = peer.hears_one(&mut host);
    // Who names a trace is told where in it the job is.
    let extensions = accepted.as_object_mut().unwrap().remove("extensions").unwrap();
    let context = &extensions["x-vendor.opentelemetry.tracecontext"];
    assert!(context["traceparent"].as_str().unwrap().starts_with(&format!("00-{TRACE}-")), "{extensions}");
    let job_id = accepted["payload"]["job_id"].as_str().unwrap().to_owned();
    assert!(job_id.starts_with("job_") && job_id.len() == 30);
    assert_eq!(
        accepted,
        json!({
            "arcp": "1.1",
            "id": accepted["id"],
            "type": "job.accepted",
            "session_id": peer.session,
            "trace_id": TRACE,
            "job_id": job_id,
            "payload": {
                "job_id": job_id,
                "agent": "versioned@2.0.0",
                "lease": { "fs.read": ["/a/**"], "x-vendor.acme.x": ["*"] },
                "lease_constraints": { "expires_at": "2026-05-13T20:00:00.000Z" },
                "accepted_at": "2026-05-13T19:42:13.000Z",
                "trace_id": TRACE,
                "request_id": "mine"
            }
        })
    );
    let spec = &host.started[&job_id];
    assert_eq!(spec.input.as_str(), r#"{"n":1.5}"#);
    assert_eq!((spec.agent.to_string().as_str(), spec.principal.as_str()), ("versioned@2.0.0", "alice"));
    assert_eq!(spec.session_id.as_str(), peer.session);
    peer.starts_job(&mut host);
}

#[test]
fn a_plain_submit_is_answered_without_empty_fields() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    peer.submits(&mut host, json!({ "agent": "echo" }));
    let accepted = peer.hears_one(&mut host);
    let payload = accepted["payload"].as_object().unwrap();
    let names: Vec<_> = payload.keys().map(String::as_str).collect();
    assert_eq!(names, ["accepted_at", "agent", "job_id", "lease", "request_id", "trace_id"]);
    assert_eq!(payload["lease"], json!({}));
    assert!(!accepted.to_string().contains("null"));
}

#[test]
fn a_refusal_names_its_request_and_leaves_everything_else_alone() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let job = peer.starts_job(&mut host);
    let written = host.written.len();
    let refused = [
        (json!({ "agent": "absent" }), "AGENT_NOT_AVAILABLE"),
        (json!({ "agent": "echo@9.9.9" }), "AGENT_VERSION_NOT_AVAILABLE"),
        (json!({ "agent": "Not An Agent" }), "INVALID_REQUEST"),
        (json!({ "agent": 7 }), "INVALID_REQUEST"),
        (json!({ "input": 1 }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "lease_request": { "fs.delete": ["/"] } }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "lease_request": { "cost.budget": ["5 USD"] } }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "lease_request": { "fs.read": "/a" } }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "max_runtime_sec": 0 }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "max_runtime_sec": -1 }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "idempotency_key": "" }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "idempotency_key": "k".repeat(257) }), "INVALID_REQUEST"),
        (
            json!({ "agent": "echo", "lease_constraints": { "expires_at": "2026-05-13T19:42:13Z" } }),
            "INVALID_REQUEST",
        ),
        (
            json!({ "agent": "echo", "lease_constraints": { "expires_at": "2027-01-01T00:00:00+00:00" } }),
            "INVALID_REQUEST",
        ),
        (json!({ "agent": "echo", "lease_constraints": { "expires_at": "tomorrow" } }), "INVALID_REQUEST"),
    ];
    for (payload, code) in refused {
        let id = peer.submits(&mut host, payload);
        let refusal = peer.hears_refusal(&mut host, &id, code);
        assert_eq!(refusal["session_id"], peer.session);
        assert_eq!(refusal["payload"]["retryable"], false);
        assert!(refusal.get("event_seq").is_none() && refusal.get("job_id").is_none());
    }
    assert_eq!((host.written.len(), host.started.len()), (written, 1), "no job came to be");
    host.succeed(&job);
    assert_eq!(peer.hears_one(&mut host)["event_seq"], 1);
}

#[test]
fn bad_frames_in_a_session_are_answered_and_survived() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    for bad in ["", "{", "[1]", "null", r#"{"arcp":"1.1"}"#] {
        peer.sends_text(&mut host, bad);
        let refusal = peer.hears_one(&mut host);
        assert_eq!(refusal["payload"]["code"], "INVALID_REQUEST", "{bad}");
        assert!(refusal["payload"].get("request_id").is_none());
    }
    peer.sends_text(&mut host, r#"{"arcp":"1.1","id":"x"}"#);
    peer.hears_refusal(&mut host, "x", "INVALID_REQUEST");
    host.frame(peer.key, Incoming::binary(10));
    assert_eq!(peer.hears_one(&mut host)["payload"]["code"], "INVALID_REQUEST");
    peer.starts_job(&mut host);
}

#[test]
fn a_peer_that_changes_to_another_major_version_is_refused_and_closed() {
    let mut host = Host::new();
    let peer = host.join("alice");
    peer.sends(&mut host, &json!({"arcp":"2.0","id":"x","type":"session.ping","payload":{"nonce":"n"}}));
    peer.hears_refusal(&mut host, "x", "INVALID_REQUEST");
    assert_eq!(peer.close_code(&host), Some(1008));
    peer.resumes(&mut host, 0);
}

#[test]
fn unknown_messages_are_ignored_and_messages_of_a_runtime_refused() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    for unknown in ["x-vendor.acme.hi", "session.unheard_of", "job.pause"] {
        peer.asks(&mut host, unknown, json!({}));
    }
    peer.hears_nothing(&mut host);
    let backwards = [
        ("session.welcome", json!({})),
        ("session.closed", json!({})),
        ("session.error", json!({ "code": "TIMEOUT" })),
        ("job.accepted", json!({ "job_id": "j" })),
        ("job.event", json!({ "kind": "log" })),
        ("job.result", json!({ "final_status": "success" })),
        ("job.error", json!({ "code": "TIMEOUT" })),
        ("job.cancelled", json!({})),
    ];
    for (message_type, payload) in backwards {
        let id = peer.asks(&mut host, message_type, payload);
        peer.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    }
    peer.starts_job(&mut host);
}

#[test]
fn a_ping_is_answered_and_a_pong_is_not() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    peer.asks(&mut host, "session.ping", json!({ "nonce": "n1" }));
    let pong = peer.hears_one(&mut host);
    assert_eq!(pong["payload"], json!({ "ping_nonce": "n1", "received_at": "2026-05-13T19:42:13.000Z" }));
    assert!(pong.get("event_seq").is_none());
    peer.asks(&mut host, "session.pong", json!({ "ping_nonce": "n1" }));
    peer.hears_nothing(&mut host);
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    host.stall(&peer);
    let ids = [
        peer.submits(&mut host, json!({ "agent": "absent" })),
        peer.submits(&mut host, json!({ "agent": "echo" })),
        peer.cancels(&mut host, "job_unknown"),
        peer.submits(&mut host, json!({ "agent": "echo", "max_runtime_sec": 0 })),
        peer.submits(&mut host, json!({ "agent": "echo" })),
    ];
    host.unstall(&peer);
    let frames = peer.hears(&mut host);
    let answered: Vec<_> = frames.iter().map(|frame| frame["payload"]["request_id"].clone()).collect();
    assert_eq!(answered, ids.map(Value::from));
    let expected = ["session.error", "job.accepted", "session.error", "session.error", "job.accepted"];
    assert_eq!(types(&frames), expected);
}

#[test]
fn accepted_precedes_every_event_of_its_job() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    host.gulp = 1;
    host.stall(&peer);
    for _ in 0..3 {
        peer.submits(&mut host, json!({ "agent": "echo" }));
        let jobs: Vec<_> = host.started.keys().cloned().collect();
        for job in jobs {
            host.emits(&job, &["a"]);
        }
    }
    host.unstall(&peer);
    let mut known = Vec::new();
    for frame in peer.hears(&mut host) {
        match frame["type"].as_str() {
            Some("job.accepted") => known.push(frame["job_id"].clone()),
            _ => assert!(known.contains(&frame["job_id"]), "{frame}"),
        }
    }
    assert_eq!(known.len(), 3);
}

#[test]
fn a_session_and_a_principal_have_so_many_running_jobs() {
    let mut host = Host::with(|config| {
        config.limits.jobs_per_session = 2;
        config.limits.jobs_per_principal = 3;
    });
    let (mut one, mut two, mut bob) = (host.join("alice"), host.join("alice"), host.join("bob"));
    let first = one.starts_job(&mut host);
    one.starts_job(&mut host);
    let id = one.submits(&mut host, json!({ "agent": "echo" }));
    let refusal = one.hears_refusal(&mut host, &id, "INTERNAL_ERROR");
    assert_eq!(refusal["payload"]["retryable"], true);
    two.starts_job(&mut host);
    let id = two.submits(&mut host, json!({ "agent": "echo" }));
    two.hears_refusal(&mut host, &id, "INTERNAL_ERROR");
    bob.starts_job(&mut host);
    host.succeed(&first);
    one.hears_one(&mut host);
    two.starts_job(&mut host);
    // A session that is gone still counts for its principal.
    host.cut(&one);
    host.wait(seconds(601));
    let id = two.submits(&mut host, json!({ "agent": "echo" }));
    two.hears_refusal(&mut host, &id, "INTERNAL_ERROR");
}

#[test]
fn a_trace_is_minted_where_none_was_given() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let job = peer.starts_job(&mut host);
        host.emits(&job, &["a"]);
        let event = peer.hears_one(&mut host);
        let trace = event["trace_id"].as_str().unwrap().to_owned();
        assert!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(host.started[&job].trace_id.to_string(), trace);
        seen.insert(trace);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_trace_is_taken_from_wherever_it_was_put() {
    let mut host = Host::new();
    let peer = host.join("alice");
    let extension =
        json!({ "x-vendor.opentelemetry.tracecontext": { "traceparent": PARENT, "tracestate": "a=b" } });
    let cases = [
        (json!(TRACE), json!({}), TRACE),
        (json!(PARENT), json!({}), TRACE),
        (json!(null), extension.clone(), TRACE),
        (json!("0".repeat(31) + "1"), extension, TRACE),
    ];
    for (index, (trace_id, extensions, expected)) in cases.into_iter().enumerate() {
        let mut envelope = message(&format!("m{index}"), "job.submit", json!({ "agent": "echo" }));
        envelope["trace_id"] = trace_id;
        envelope["extensions"] = extensions;
        peer.sends(&mut host, &envelope);
        let accepted = peer.hears_one(&mut host);
        assert_eq!(accepted["trace_id"], expected);
        assert_eq!(accepted["payload"]["trace_id"], expected);
        let context = &accepted["extensions"]["x-vendor.opentelemetry.tracecontext"];
        let spec = &host.started[accepted["job_id"].as_str().unwrap()];
        let known = spec.trace_context.as_ref().unwrap();
        assert_eq!(context["traceparent"], known.to_string());
        assert_eq!(known.trace_id.to_string(), TRACE);
        match index {
            // A span of its own making stands for whoever has named nothing but the trace.
            0 | 1 => assert!(known.to_string() != PARENT && known.tracestate.is_none()),
            _ => assert_eq!((known.to_string().as_str(), known.tracestate.as_deref()), (PARENT, Some("a=b"))),
        }
    }
}

#[test]
fn nothing_is_submitted_by_saying_the_same_envelope_id_twice() {
    let mut host = Host::new();
    let peer = host.join("alice");
    for _ in 0..2 {
        peer.sends(&mut host, &message("same", "job.submit", json!({ "agent": "echo" })));
    }
    assert_eq!(types(&peer.hears(&mut host)), ["job.accepted", "job.accepted"], "never merged by id");
    assert_eq!(host.started.len(), 2);
}

#[test]
fn a_connection_with_too_many_unsent_answers_is_not_read() {
    let mut host = Host::with(|config| config.limits.answers = 4);
    let mut peer = host.join("alice");
    host.stall(&peer);
    for asked in 0..4 {
        assert!(host.machine.wants_frames(peer.key), "after {asked}");
        peer.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    }
    assert!(!host.machine.wants_frames(peer.key));
    host.readable.clear();
    host.take_from(&peer, 1);
    assert_eq!(host.readable, [peer.key]);
    assert!(host.machine.wants_frames(peer.key));
}

#[test]
fn reading_goes_on_after_answers_that_waited_for_the_store() {
    let mut host = Host::with(|config| config.limits.answers = 2);
    let mut peer = host.join("alice");
    host.hold_commits();
    peer.submits(&mut host, json!({ "agent": "echo" }));
    peer.submits(&mut host, json!({ "agent": "echo" }));
    assert!(!host.machine.wants_frames(peer.key));
    peer.hears_nothing(&mut host);
    host.readable.clear();
    host.release_commits();
    assert_eq!(types(&peer.hears(&mut host)), ["job.accepted", "job.accepted"]);
    assert_eq!(host.readable, [peer.key]);
}

/// So that no commit is full of one client's requests, behind which those of all others wait.
#[test]
fn a_client_with_many_requests_that_the_store_has_not_taken_is_not_read() {
    let mut host = Host::with(|config| config.limits.uncommitted_requests = 3);
    let (mut alice, mut bob) = (host.join("alice"), host.join("bob"));
    host.hold_commits();
    for asked in 0..3 {
        assert!(host.machine.wants_frames(alice.key), "after {asked}");
        alice.asks(&mut host, "session.ping", json!({ "nonce": "n" })); // waits for nothing
        alice.submits(&mut host, json!({ "agent": "echo" }));
    }
    assert!(!host.machine.wants_frames(alice.key));
    bob.submits(&mut host, json!({ "agent": "echo" }));
    assert!(host.machine.wants_frames(bob.key), "others are read on");
    host.readable.clear();
    host.release_commits();
    assert_eq!(host.readable, [alice.key]);
    assert!(host.machine.wants_frames(alice.key));
    let accepted = types(&alice.hears(&mut host)).iter().filter(|kind| **kind == "job.accepted").count();
    assert_eq!(accepted, 3);
}

#[test]
fn limits_beyond_the_end_of_time_are_taken() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let job = peer.starts(&mut host, json!({ "agent": "echo", "max_runtime_sec": i64::MAX }));
    peer.starts(
        &mut host,
        json!({ "agent": "echo", "lease_constraints": { "expires_at": "9999-12-30T00:00:00Z" } }),
    );
    // A driver adds this to a clock of its own, most of which end before 2^63 seconds.
    let next = host.machine.poll_timeout().unwrap().since_origin();
    assert!(next < seconds(200 * 366 * 24 * 3_600), "{next:?}");
    host.wait(seconds(10 * 366 * 24 * 3_600));
    peer.hears_nothing(&mut host);
    host.succeed(&job);
    assert_eq!(peer.hears_one(&mut host)["type"], "job.result");
}

/// Admits so many.
#[derive(Debug)]
struct Tickets(AtomicUsize);

impl Admission for Tickets {
    fn admit(&self, _: Now, principal: &Principal) -> Result<(), ErrorPayload> {
        assert_eq!(principal.as_str(), "alice");
        let left = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            Ok(_) => Ok(()),
            Err(_) => Err(ErrorPayload::new(ErrorCode::InternalError, "too soon")),
        }
    }
}

#[test]
fn only_what_becomes_a_job_is_asked_to_be_let_in() {
    let tickets = Arc::new(Tickets(AtomicUsize::new(2)));
    let admission = Arc::clone(&tickets);
    let mut host = Host::with(|config| {
        config.admission = Some(admission);
        config.limits.jobs_per_session = 2;
    });
    let mut alice = host.join("alice");
    let keyed = |input: u8| json!({ "agent": "echo", "idempotency_key": "k", "input": input });
    let job = alice.starts(&mut host, keyed(1));
    assert_eq!(tickets.0.load(Ordering::Relaxed), 1);
    for (bad, code) in [
        (json!({ "agent": "nobody" }), "AGENT_NOT_AVAILABLE"),
        (json!({ "agent": "echo", "max_runtime_sec": 0 }), "INVALID_REQUEST"),
        (json!({ "agent": "echo", "lease_request": { "no such": [] } }), "INVALID_REQUEST"),
        (keyed(2), "DUPLICATE_KEY"),
    ] {
        let request = alice.submits(&mut host, bad);
        alice.hears_refusal(&mut host, &request, code);
    }
    assert_eq!(alice.starts(&mut host, keyed(1)), job);
    assert_eq!(tickets.0.load(Ordering::Relaxed), 1);

    alice.starts_job(&mut host);
    let request = alice.submits(&mut host, json!({ "agent": "echo" }));
    let full = alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    assert!(full["payload"]["message"].as_str().unwrap().contains("running jobs"), "{full}");
    host.succeed(&job);
    alice.hears(&mut host);
    let late = json!({ "agent": "echo", "idempotency_key": "late" });
    let request = alice.submits(&mut host, late.clone());
    let refusal = alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    assert_eq!(
        (&refusal["payload"]["message"], &refusal["payload"]["retryable"]),
        (&json!("too soon"), &json!(true))
    );
    assert_eq!(alice.starts(&mut host, keyed(1)), job, "a repeat needs no ticket");
    tickets.0.store(1, Ordering::Relaxed);
    alice.starts(&mut host, late); // its key was free
    assert_eq!(tickets.0.load(Ordering::Relaxed), 0);
}

/// Takes inputs until it is told otherwise.
#[derive(Debug)]
struct Moody {
    schema: Json,
    takes: AtomicBool,
}

impl InputContract for Moody {
    fn schema(&self) -> &Json {
        &self.schema
    }

    fn check(&self, _: &Json) -> Result<(), ErrorPayload> {
        let refusal = || ErrorPayload::new(ErrorCode::InvalidRequest, "input: not now");
        self.takes.load(Ordering::Relaxed).then_some(()).ok_or_else(refusal)
    }
}

#[test]
fn an_agent_that_checks_inputs_has_its_say_before_there_is_a_job_and_not_again() {
    let moody = Arc::new(Moody { schema: Json::empty_object(), takes: AtomicBool::new(true) });
    let contract = Arc::clone(&moody);
    let mut host =
        Host::with(|config| config.agents.contract("echo@1.0.0".parse().map(resolved).unwrap(), contract));
    let peer = host.join("alice");
    let submit = |key: &str| json!({ "agent": "echo", "input": 1, "idempotency_key": key });
    peer.sends(&mut host, &message("1", "job.submit", submit("a")));
    let accepted = peer.hears_one(&mut host);
    assert_eq!(accepted["type"], "job.accepted");
    moody.takes.store(false, Ordering::Relaxed);
    peer.sends(&mut host, &message("2", "job.submit", submit("b")));
    let refused = peer.hears_one(&mut host);
    assert_eq!((&refused["type"], &refused["payload"]["request_id"]), (&json!("session.error"), &json!("2")));
    assert_eq!(refused["payload"]["message"], "input: not now");
    peer.sends(&mut host, &message("3", "job.submit", submit("a")));
    assert_eq!(peer.hears_one(&mut host)["job_id"], accepted["job_id"], "it was accepted once");
    moody.takes.store(true, Ordering::Relaxed);
    peer.sends(&mut host, &message("4", "job.submit", submit("b")));
    assert_eq!(peer.hears_one(&mut host)["type"], "job.accepted", "a refusal takes no key");
}

fn resolved(agent: AgentRef) -> ResolvedAgent {
    ResolvedAgent { name: agent.name, version: agent.version.unwrap() }
}
