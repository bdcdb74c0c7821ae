//! What peers say, made of any bytes: messages as the drafts have them, and messages that something was done to.

use arbitrary::Unstructured;
use arcp_proto::event::EventKind;
use serde_json::{Map, Value, json};

/// What a message may refer to.
#[derive(Default)]
pub(crate) struct Pool {
    /// Ids of jobs.
    pub(crate) jobs: Vec<String>,
    /// Ids of requests.
    pub(crate) requests: Vec<String>,
    /// Ids of sessions.
    pub(crate) sessions: Vec<String>,
}

/// A number below `bound`, which is at most 256; 0 once the bytes have run out.
pub(crate) fn below(bytes: &mut Unstructured<'_>, bound: usize) -> usize {
    let most = u8::try_from(bound - 1).expect("a byte is enough");
    usize::from(bytes.int_in_range(0..=most).unwrap_or(0))
}

pub(crate) fn flag(bytes: &mut Unstructured<'_>) -> bool {
    below(bytes, 2) == 1
}

pub(crate) fn one<'c, T: ?Sized>(bytes: &mut Unstructured<'_>, choices: &[&'c T]) -> &'c T {
    choices[below(bytes, choices.len())]
}

/// One of these, or seldom a name of nothing.
pub(crate) fn known(bytes: &mut Unstructured<'_>, pool: &[String]) -> String {
    let index = below(bytes, 32);
    if pool.is_empty() || index == 31 {
        return format!("unknown_{index}");
    }
    // The latest are of the most interest.
    pool[pool.len() - 1 - index % pool.len().min(8)].clone()
}

fn number(bytes: &mut Unstructured<'_>) -> Value {
    match below(bytes, 8) {
        0 => json!(i64::MAX),
        1 => json!(bytes.arbitrary::<u64>().unwrap_or(0)),
        2 => json!(-1),
        _ => json!(below(bytes, 12)),
    }
}

fn text(bytes: &mut Unstructured<'_>) -> String {
    match below(bytes, 6) {
        0 => String::new(),
        1 => "é\u{85}\u{202e}\n\"\\".to_owned(),
        2 => "x".repeat(below(bytes, 256)),
        _ => one(bytes, &["a", "b", "t1", "2026-05-13T19:42:20Z", "USD:1.00", "1.5"]).to_owned(),
    }
}

/// Any value, of little depth.
pub(crate) fn any(bytes: &mut Unstructured<'_>, depth: usize) -> Value {
    match below(bytes, if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(flag(bytes)),
        2 => number(bytes),
        3 => json!(bytes.arbitrary::<f32>().unwrap_or(0.5)),
        4 | 5 => json!(text(bytes)),
        6 => (0..below(bytes, 4)).map(|_| any(bytes, depth - 1)).collect(),
        _ => {
            let members = (0..below(bytes, 4)).map(|_| (name(bytes), any(bytes, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn name(bytes: &mut Unstructured<'_>) -> String {
    let names = [
        "payload",
        "id",
        "type",
        "session_id",
        "job_id",
        "event_seq",
        "request_id",
        "kind",
        "body",
        "code",
        "agent",
        "resume_token",
        "last_event_seq",
        "history",
        "from_event_seq",
        "lease",
        "x-vendor.a.b",
        "",
    ];
    one(bytes, &names).to_owned()
}

/// A lease that may be asked for.
fn lease(bytes: &mut Unstructured<'_>) -> Value {
    match below(bytes, 9) {
        0 => json!({ "agent.delegate": ["*"], "cost.budget": ["USD:1.00", "EUR:0.5"] }),
        1 => json!({ "agent.delegate": ["echo", "tireless"] }),
        2 => json!({ "fs.read": ["/a/**"], "tool.call": ["t*"] }),
        3 => json!({ "model.use": ["m/*"], "cost.budget": ["USD:0.000001"] }),
        4 => json!({ "net.fetch": ["https://a.example/**"] }),
        5 => json!({ "unknown": ["a"] }),
        6 => json!({ "cost.budget": ["USD:-1"] }),
        7 => any(bytes, 2),
        _ => json!({}),
    }
}

fn submit(bytes: &mut Unstructured<'_>) -> Value {
    let agents =
        ["echo", "echo@1.0.0", "tireless", "versioned", "versioned@2.0.0", "versioned@3", "absent", "a@b@c"];
    let mut payload = json!({ "agent": one(bytes, &agents), "input": any(bytes, 1) });
    if flag(bytes) {
        payload["lease_request"] = lease(bytes);
    }
    match below(bytes, 8) {
        0 => payload["idempotency_key"] = json!(one(bytes, &["k1", "k2", "k3"])),
        1 => payload["max_runtime_sec"] = number(bytes),
        2 => payload["lease_constraints"] = json!({ "expires_at": "2026-05-13T19:43:00Z" }),
        3 => {
            payload["idempotency_key"] = json!(text(bytes));
            payload["lease_constraints"] = any(bytes, 2);
        }
        _ => {}
    }
    payload
}

/// What a client may ask for once it has a session: the type, the payload, and the job on the envelope.
pub(crate) fn request(bytes: &mut Unstructured<'_>, pool: &Pool) -> (&'static str, Value, Option<String>) {
    let job = known(bytes, &pool.jobs);
    match below(bytes, 16) {
        0..=4 => ("job.submit", submit(bytes), None),
        5 | 6 => ("job.cancel", json!({ "reason": text(bytes) }), Some(job)),
        7 | 8 => {
            let mut payload = json!({ "job_id": job, "history": flag(bytes) });
            if flag(bytes) {
                payload["from_event_seq"] = number(bytes);
            }
            ("job.subscribe", payload, None)
        }
        9 => ("job.unsubscribe", json!({ "job_id": job }), None),
        10 => ("session.ping", json!({ "nonce": text(bytes) }), None),
        11 => ("session.pong", json!({ "ping_nonce": text(bytes) }), None),
        12 => ("session.ack", json!({ "last_processed_seq": number(bytes) }), None),
        13 => {
            let filter = match below(bytes, 4) {
                0 => json!({ "status": [one(bytes, &["running", "success", "cancelled"])] }),
                1 => json!({ "agent": "echo" }),
                2 => any(bytes, 2),
                _ => json!({}),
            };
            ("session.list_jobs", json!({ "filter": filter, "limit": below(bytes, 5) }), None)
        }
        14 if below(bytes, 4) == 0 => {
            (one(bytes, &["session.close", "session.bye"]), json!({ "reason": text(bytes) }), None)
        }
        _ => {
            let types =
                ["session.hello", "job.event", "job.accepted", "session.welcome", "x-vendor.a", "job.agent"];
            (one(bytes, &types), any(bytes, 2), flag(bytes).then_some(job))
        }
    }
}

/// What a runtime may say in a session: the type and the payload.
pub(crate) fn answer(bytes: &mut Unstructured<'_>, pool: &Pool) -> (&'static str, Value) {
    let job = known(bytes, &pool.jobs);
    let request = known(bytes, &pool.requests);
    let mut payload = match below(bytes, 16) {
        0..=2 => return ("job.event", event_payload(bytes)),
        3 => return ("job.result", json!({ "final_status": status(bytes), "result": any(bytes, 1) })),
        4 => {
            let mut payload = error(bytes);
            payload["final_status"] = status(bytes);
            return ("job.error", payload);
        }
        5..=7 => {
            let mut payload = json!({ "job_id": job, "lease": lease(bytes), "request_id": request });
            if below(bytes, 4) == 0 {
                payload["parent_job_id"] = json!(known(bytes, &pool.jobs));
            }
            ("job.accepted", payload)
        }
        8 => ("job.cancelled", json!({ "request_id": request })),
        9 | 10 => {
            let payload = json!({
                "job_id": job, "current_status": one(bytes, &["running", "success"]), "request_id": request,
                "subscribed_from": number(bytes), "replayed": flag(bytes),
            });
            ("job.subscribed", payload)
        }
        11 => ("session.jobs", json!({ "jobs": any(bytes, 2), "next_cursor": null, "request_id": request })),
        12 => {
            let mut payload = error(bytes);
            payload["request_id"] = json!(request);
            if flag(bytes) {
                payload["job_id"] = json!(job);
            }
            ("session.error", payload)
        }
        13 => ("session.ping", json!({ "nonce": text(bytes) })),
        14 => ("session.pong", json!({ "ping_nonce": text(bytes) })),
        _ => {
            let types = ["session.closed", "session.bye", "session.welcome", "session.hello", "x-vendor.a"];
            (one(bytes, &types), any(bytes, 2))
        }
    };
    // Some runtimes do not name what they answer.
    if below(bytes, 4) == 0
        && let Value::Object(members) = &mut payload.1
    {
        members.remove("request_id");
    }
    payload
}

fn status(bytes: &mut Unstructured<'_>) -> Value {
    json!(one(bytes, &["success", "error", "cancelled", "timed_out", "lost"]))
}

/// An error of the draft, or one that nobody knows.
pub(crate) fn error(bytes: &mut Unstructured<'_>) -> Value {
    let codes = [
        "JOB_NOT_FOUND",
        "PERMISSION_DENIED",
        "RESUME_WINDOW_EXPIRED",
        "INTERNAL_ERROR",
        "DUPLICATE_KEY",
        "CANCELLED",
        "HEARTBEAT_LOST",
        "AGENT_NOT_AVAILABLE",
        "UNAUTHENTICATED",
        "QUOTA",
    ];
    json!({ "code": one(bytes, &codes), "message": text(bytes), "retryable": flag(bytes) })
}

fn event_payload(bytes: &mut Unstructured<'_>) -> Value {
    let (kind, body) = event(bytes);
    json!({ "kind": kind.as_str(), "ts": "2026-05-13T19:42:13Z", "body": body })
}

/// Something that an agent may say.
pub(crate) fn event(bytes: &mut Unstructured<'_>) -> (EventKind, Value) {
    match below(bytes, 9) {
        0 => (EventKind::Progress, json!({ "current": number(bytes), "total": number(bytes) })),
        1 => {
            let name = one(bytes, &["cost.x", "cost.budget.remaining", "cost.budget.y", "latency"]);
            let value = one(bytes, &["0.1", "1e-7", "1e300", "-1", "0.0000000000000000000000000000004"]);
            let value: Value = serde_json::from_str(value).expect("a number");
            (
                EventKind::Metric,
                json!({ "name": name, "value": value, "unit": one(bytes, &["USD", "EUR", ""]) }),
            )
        }
        2 => (EventKind::Log, json!({ "level": "info", "message": text(bytes) })),
        3 => (EventKind::from("x-vendor.arcp.missed"), json!({ "next_index": number(bytes) })),
        4 => (EventKind::ToolCall, json!({ "tool": "t", "args": any(bytes, 1), "call_id": "c" })),
        5 => (EventKind::from(text(bytes).as_str()), any(bytes, 2)),
        6 => {
            (EventKind::Status, json!({ "phase": one(bytes, &["a", "credential_rotated", "back_pressure"]) }))
        }
        _ => (EventKind::Thought, json!({ "text": text(bytes) })),
    }
}

/// The text of a message that something was done to.
pub(crate) fn mutated(bytes: &mut Unstructured<'_>, mut message: Value) -> String {
    if flag(bytes) {
        let depth = below(bytes, 4);
        mutate(bytes, &mut message, depth);
        return message.to_string();
    }
    let mut text = message.to_string().into_bytes();
    for _ in 0..=below(bytes, 3) {
        let at = bytes.int_in_range(0..=text.len().saturating_sub(1)).unwrap_or(0);
        match below(bytes, 5) {
            0 => text.truncate(at),
            1 => text.insert(at, bytes.arbitrary().unwrap_or(b'"')),
            2 if at < text.len() => text[at] = bytes.arbitrary().unwrap_or(b'0'),
            3 if at < text.len() => drop(text.remove(at)),
            _ => {
                let end = (at + below(bytes, 32)).min(text.len());
                let again = text[at.min(end)..end].to_vec();
                text.splice(at..at, again);
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Changes a member, so deep.
fn mutate(bytes: &mut Unstructured<'_>, value: &mut Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let name = members.keys().nth(below(bytes, members.len().min(256))).cloned().unwrap_or_default();
            if depth > 0 && (members[&name].is_object() || members[&name].is_array()) {
                return mutate(bytes, &mut members[&name], depth - 1);
            }
            match below(bytes, 3) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert(self::name(bytes), any(bytes, 2))),
                _ => members[&name] = any(bytes, 2),
            }
        }
        Value::Array(values) if !values.is_empty() && depth > 0 => {
            let index = below(bytes, values.len().min(256));
            mutate(bytes, &mut values[index], depth - 1);
        }
        other => *other = any(bytes, 2),
    }
}
