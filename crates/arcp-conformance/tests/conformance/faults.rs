//! Runtimes that each have one fault, and the case that is about it.

use serde_json::{Value, json};

use crate::change::{changes, is, is_kind, pass, remove, replace, swallows};
use crate::tap::{Change, Known, To};

/// Something that a runtime does wrong.
pub(crate) struct Fault {
    /// What it does, in words.
    pub(crate) name: &'static str,
    /// The case that is about it.
    pub(crate) case: &'static str,
    /// What becomes of a message that passes. A frame that is no object passes as a string.
    pub(crate) change: Change,
}

/// Changes what the runtime sends.
macro_rules! sent {
    ($($change:tt)*) => { changes!(Client, $($change)*) };
}

/// Changes what the runtime is told.
macro_rules! heard {
    ($($change:tt)*) => { changes!(Runtime, $($change)*) };
}

/// Swallows what the runtime sends and is like this.
macro_rules! swallowed {
    ($($which:tt)*) => { swallows!(Client, $($which)*) };
}

/// Leaves a member out of what the runtime sends of a type.
macro_rules! unsaid {
    ($kind:literal, $member:literal) => {
        sent!(|_, message| if is(&message, $kind) {
            remove(&mut message, $member);
        })
    };
}

/// Leaves a member out of what the runtime is told of a type.
macro_rules! unheard {
    ($kind:literal, $member:literal) => {
        heard!(|_, message| if is(&message, $kind) {
            remove(&mut message, $member);
        })
    };
}

fn is_end(message: &Value) -> bool {
    is(message, "job.result") || is(message, "job.error")
}

fn session(message: &Value) -> String {
    message["session_id"].as_str().unwrap_or_default().to_owned()
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "its messages have no id",
        case: "5-01",
        change: sent!(|_, message| remove(&mut message, "/id")),
    },
    Fault {
        name: "it does not say the version",
        case: "5-01",
        change: sent!(|_, message| replace(&mut message, "/arcp", "1.2")),
    },
    Fault {
        name: "its messages do not name their session",
        case: "5-02",
        change: sent!(|_, message| if !is(&message, "session.welcome") {
            remove(&mut message, "/session_id")
        }),
    },
    Fault {
        name: "it says null for what is absent",
        case: "5-12",
        change: sent!(|_, message| if message.get("trace_id").is_none() {
            message["trace_id"] = Value::Null
        }),
    },
    Fault {
        name: "it drops what has fields that it does not know",
        case: "5-03",
        change: |_, to, message| {
            let known = [
                "arcp",
                "id",
                "type",
                "session_id",
                "job_id",
                "trace_id",
                "event_seq",
                "extensions",
                "payload",
            ];
            let strange =
                message.as_object().is_some_and(|message| message.keys().any(|key| !known.contains(&&**key)));
            if to == To::Runtime && strange { Vec::new() } else { pass(to, message) }
        },
    },
    Fault {
        name: "it says nothing to a frame that is no JSON",
        case: "5-22",
        change: |_, to, message| {
            if to == To::Runtime && message.is_string() { Vec::new() } else { pass(to, message) }
        },
    },
    Fault {
        name: "it lets any token in",
        case: "6.1-01",
        change: heard!(|_, message| if let Some(token) = message.pointer_mut("/payload/auth/token")
            && *token != crate::host::OTHER
        {
            *token = crate::host::TOKEN.into();
        }),
    },
    Fault {
        name: "its welcome has no resume token",
        case: "6.2-01",
        change: sent!(|_, message| remove(&mut message, "/payload/resume_token")),
    },
    Fault {
        name: "its welcome lists no features",
        case: "6.2-01",
        change: sent!(|_, message| remove(&mut message, "/payload/capabilities/features")),
    },
    Fault {
        name: "it uses features that were not negotiated",
        case: "6.2-11",
        change: heard!(|_, message| if is(&message, "session.hello") {
            replace(&mut message, "/payload/capabilities/features", json!(arcp_conformance::FEATURES));
        }),
    },
    Fault {
        name: "its resume token does not rotate",
        case: "6.3-02",
        change: |known, to, mut message| {
            let key = session(&message);
            if to == To::Client && is(&message, "session.welcome") {
                let token = message["payload"]["resume_token"].clone();
                let first =
                    known.values.entry(format!("{key} first")).or_insert_with(|| token.clone()).clone();
                known.values.insert(format!("{key} latest"), token);
                replace(&mut message, "/payload/resume_token", first);
            } else if let Some(resume) = message.pointer_mut("/payload/resume") {
                let key = resume["session_id"].as_str().unwrap_or_default().to_owned();
                let first = known.values.get(&format!("{key} first"));
                if first.is_some_and(|first| *first == resume["resume_token"]) {
                    let latest = known.values.get(&format!("{key} latest")).cloned().unwrap_or_default();
                    resume["resume_token"] = latest;
                }
            }
            pass(to, message)
        },
    },
    Fault {
        name: "it resumes with any token",
        case: "6.3-11",
        change: |known, to, mut message| {
            if to == To::Client && is(&message, "session.welcome") {
                known.values.insert(session(&message), message["payload"]["resume_token"].clone());
            } else if let Some(resume) = message.pointer_mut("/payload/resume") {
                let key = resume["session_id"].as_str().unwrap_or_default();
                if let Some(token) = known.values.get(key) {
                    resume["resume_token"] = token.clone();
                }
            }
            pass(to, message)
        },
    },
    Fault {
        name: "it forgets sessions when their connection is cut",
        case: "6.3-01",
        change: heard!(|_, message| replace(
            &mut message,
            "/payload/resume/session_id",
            "sess_00000000000000000000000000"
        )),
    },
    Fault {
        name: "it loses the first event of a replay",
        case: "6.3-01",
        change: |known, to, message| {
            let key = session(&message);
            if to == To::Client && is(&message, "session.welcome") {
                let times = known.values.get(&key).and_then(Value::as_u64).unwrap_or(0);
                known.values.insert(key, (times + 1).into());
            } else if to == To::Client
                && message.get("event_seq").is_some()
                && known.values.get(&key) == Some(&json!(2))
            {
                known.values.insert(key, 100.into());
                return Vec::new();
            }
            pass(to, message)
        },
    },
    Fault {
        name: "it replays under other ids",
        case: "6.3-08",
        change: sent!(|known, message| if message.get("event_seq").is_some() {
            let count = known.values.len();
            let key = format!("{} {}", session(&message), message["event_seq"]);
            if known.values.insert(key, Value::Null).is_some() {
                message["id"] = format!("01ARZ3NDEKTSV4RRFFQ6{count:06}").into();
            }
        }),
    },
    Fault {
        name: "it takes a resume from the future",
        case: "6.3-22",
        change: heard!(
            |_, message| if let Some(last) = message.pointer_mut("/payload/resume/last_event_seq")
                && last.as_u64().is_some_and(|last| last > 500)
            {
                *last = 0.into();
            }
        ),
    },
    Fault {
        name: "it numbers from zero",
        case: "8.3-03",
        change: sent!(|_, message| if let Some(number) = message["event_seq"].as_u64() {
            message["event_seq"] = (number - 1).into();
        }),
    },
    Fault {
        name: "it numbers what is no event",
        case: "5-09",
        change: sent!(|_, message| if is(&message, "job.accepted") {
            message["event_seq"] = 1.into()
        }),
    },
    Fault {
        name: "it answers a ping with another nonce",
        case: "6.4-01",
        change: sent!(|_, message| replace(&mut message, "/payload/ping_nonce", "p_other")),
    },
    Fault {
        name: "it does not answer pings",
        case: "6.4-02",
        change: swallowed!(|message| is(&message, "session.pong")),
    },
    Fault {
        name: "it never pings",
        case: "6.4-03",
        change: swallowed!(|message| is(&message, "session.ping")),
    },
    Fault {
        name: "it does not acknowledge a close",
        case: "6.7-01",
        change: swallowed!(|message| is(&message, "session.closed")),
    },
    Fault {
        name: "its listings have more than was asked for",
        case: "6.6-11",
        change: unheard!("session.list_jobs", "/payload/limit"),
    },
    Fault {
        name: "it does not filter listings",
        case: "6.6-05",
        change: unheard!("session.list_jobs", "/payload/filter"),
    },
    Fault {
        name: "its listings show credentials",
        case: "6.6-17",
        change: sent!(|_, message| if is(&message, "session.jobs") {
            for job in message["payload"]["jobs"].as_array_mut().into_iter().flatten() {
                job["credentials"] =
                    json!([{"id": "cred_1", "scheme": "bearer", "value": "k", "endpoint": "https://x"}]);
            }
        }),
    },
    Fault {
        name: "its answers do not name the request",
        case: "6-01",
        change: sent!(|_, message| remove(&mut message, "/payload/request_id")),
    },
    Fault {
        name: "it does not echo the lease",
        case: "9.1-02",
        change: sent!(|_, message| if is(&message, "job.accepted") {
            replace(&mut message, "/payload/lease", json!({}))
        }),
    },
    Fault {
        name: "it runs a job twice for one key",
        case: "7.2-01",
        change: heard!(|_, message| remove(&mut message, "/payload/idempotency_key")),
    },
    Fault {
        name: "it calls a conflicting key an invalid request",
        case: "7.2-03",
        change: sent!(|_, message| if message["payload"]["code"] == "DUPLICATE_KEY" {
            replace(&mut message, "/payload/code", "INVALID_REQUEST");
        }),
    },
    Fault {
        name: "it does not acknowledge a cancel",
        case: "7.4-02",
        change: swallowed!(|message| is(&message, "job.cancelled")),
    },
    Fault {
        name: "it does not cancel",
        case: "7.4-01",
        change: |_, to, message| {
            if to == To::Runtime && is(&message, "job.cancel") { Vec::new() } else { pass(to, message) }
        },
    },
    Fault {
        name: "a cancelled job ends in an error",
        case: "7.4-01",
        change: sent!(|_, message| if message["payload"]["final_status"] == "cancelled" {
            replace(&mut message, "/payload/final_status", "error");
        }),
    },
    Fault {
        name: "a job ends twice",
        case: "7.3-07",
        change: |_, to, message| {
            let again = to == To::Client && is_end(&message);
            let mut passed = pass(to, message.clone());
            if again {
                passed.extend(pass(to, message));
            }
            passed
        },
    },
    Fault {
        name: "jobs run as long as they like",
        case: "7.3-03",
        change: heard!(|_, message| remove(&mut message, "/payload/max_runtime_sec")),
    },
    Fault {
        name: "it does not resolve versions",
        case: "7.5-03",
        change: sent!(|_, message| if is(&message, "job.accepted") {
            let bare = message["payload"]["agent"]
                .as_str()
                .and_then(|agent| agent.split('@').next())
                .map(str::to_owned);
            replace(&mut message, "/payload/agent", bare.unwrap_or_default());
        }),
    },
    Fault {
        name: "it runs any version",
        case: "7.5-05",
        change: heard!(|_, message| if is(&message, "job.submit") {
            let bare = message["payload"]["agent"]
                .as_str()
                .and_then(|agent| agent.split('@').next())
                .map(str::to_owned);
            replace(&mut message, "/payload/agent", bare.unwrap_or_default());
        }),
    },
    Fault {
        name: "it replays what nobody asked for",
        case: "7.6-03",
        change: heard!(|_, message| if is(&message, "job.subscribe") {
            message["payload"]["history"] = true.into();
            message["payload"]["from_event_seq"] = 0.into();
        }),
    },
    Fault {
        name: "it replays nothing to subscribers",
        case: "7.6-04",
        change: heard!(|_, message| if is(&message, "job.subscribe") {
            message["payload"]["history"] = false.into()
        }),
    },
    Fault {
        name: "it tells strangers which jobs there are",
        case: "7.6-15",
        change: sent!(|_, message| if message["payload"]["code"] == "JOB_NOT_FOUND" {
            replace(&mut message, "/payload/code", "PERMISSION_DENIED");
        }),
    },
    Fault {
        name: "its subscriptions have no lease",
        case: "7.6-01",
        change: unsaid!("job.subscribed", "/payload/lease"),
    },
    Fault { name: "its events have no time", case: "8.1-01", change: unsaid!("job.event", "/payload/ts") },
    Fault {
        name: "it counts progress below zero",
        case: "8.2-08",
        change: sent!(|_, message| if is_kind(&message, "progress") {
            replace(&mut message, "/payload/body/current", -1)
        }),
    },
    Fault {
        name: "its chunks are all the first",
        case: "8.4-02",
        change: sent!(|_, message| if is_kind(&message, "result_chunk") {
            replace(&mut message, "/payload/body/chunk_seq", 0);
        }),
    },
    Fault {
        name: "its last chunk says that there is more",
        case: "8.4-02",
        change: sent!(|_, message| if is_kind(&message, "result_chunk") {
            replace(&mut message, "/payload/body/more", true)
        }),
    },
    Fault {
        name: "a streamed result is inline as well",
        case: "8.4-03",
        change: sent!(|_, message| if message["payload"].get("result_id").is_some() {
            message["payload"]["result"] = json!("whole");
        }),
    },
    Fault {
        name: "it grants whatever tool an agent calls",
        case: "9.1-03",
        change: heard!(|_, message| if is(&message, "job.submit")
            && message["payload"]["lease_request"].is_object()
        {
            message["payload"]["lease_request"]["tool.call"] = json!(["**"]);
        }),
    },
    Fault {
        name: "leases do not expire",
        case: "9.5-06",
        change: heard!(|_, message| replace(
            &mut message,
            "/payload/lease_constraints/expires_at",
            "2999-01-01T00:00:00.000Z"
        )),
    },
    Fault {
        name: "it does not say what is left of a budget",
        case: "9.6-17",
        change: swallowed!(|message| message["payload"]["body"]["name"] == "cost.budget.remaining"),
    },
    Fault {
        name: "budgets do not end",
        case: "9.6-04",
        change: heard!(|_, message| for amount in message
            .pointer_mut("/payload/lease_request/cost.budget")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some((currency, _)) = amount.as_str().and_then(|amount| amount.split_once(':')) {
                *amount = format!("{currency}:1000000").into();
            }
        }),
    },
    Fault {
        name: "it invites to repeat what fails again",
        case: "9.6-04",
        change: sent!(|_, message| {
            let final_codes = ["LEASE_EXPIRED", "BUDGET_EXHAUSTED"];
            for at in ["/payload", "/payload/body/error"] {
                if let Some(error) = message.pointer_mut(at)
                    && final_codes.iter().any(|code| error["code"] == **code)
                {
                    error["retryable"] = true.into();
                }
            }
        }),
    },
    Fault {
        name: "its internal errors are not to be retried",
        case: "12-16",
        change: sent!(|_, message| if message["payload"]["code"] == "INTERNAL_ERROR" {
            replace(&mut message, "/payload/retryable", false);
        }),
    },
    Fault {
        name: "it narrows what a child asks for in silence",
        case: "9.4-02",
        change: heard!(|_, message| if message["payload"]["agent"] == "delegate" {
            let own = message["payload"]["lease_request"].clone();
            replace(&mut message, "/payload/input/lease_request", own);
        }),
    },
    Fault {
        name: "a child does not name its parent",
        case: "10-03",
        change: unsaid!("job.accepted", "/payload/parent_job_id"),
    },
    Fault {
        name: "it makes its own trace",
        case: "11-01",
        change: sent!(|_, message| for at in ["/trace_id", "/payload/trace_id"] {
            replace(&mut message, at, "0123456789abcdef0123456789abcdef");
        }),
    },
    Fault {
        name: "it issues no credentials though it offers to",
        case: "9.8.1-01",
        change: sent!(|_, message| remove(&mut message, "/payload/credentials")),
    },
    Fault {
        name: "a rotation does not tell the new value",
        case: "9.8.2-02",
        change: sent!(|_, message| if message["payload"]["body"]["phase"] == "credential_rotated" {
            remove(&mut message, "/payload/body/value");
        }),
    },
    Fault {
        name: "it gives observers the credentials of a job",
        case: "14-08",
        change: sent!(|_, message| if is(&message, "job.subscribed") {
            message["payload"]["credentials"] =
                json!([{"id": "cred_1", "scheme": "bearer", "value": "k", "endpoint": "https://x"}]);
        }),
    },
    Fault {
        name: "it tells observers the value of a rotation",
        case: "14-28",
        change: sent!(|known, message| if let Some(body) = message.pointer_mut("/payload/body")
            && body["phase"] == "credential_rotated"
        {
            let value = known.values.entry("rotated".to_owned()).or_insert_with(|| body["value"].clone());
            body["value"] = value.clone();
        }),
    },
];
