//! Clients that each have one fault, and the case that is about it.

use serde_json::{Value, json};

use crate::change::{changes, is, is_kind, pass, remove, replace, swallows};
use crate::tap::{Change, Known, To};

/// Something that a client does wrong.
pub(crate) struct Fault {
    /// What it does, in words.
    pub(crate) name: &'static str,
    /// The case that is about it.
    pub(crate) case: &'static str,
    /// What becomes of a message that passes.
    pub(crate) change: Change,
    /// What a shell does that runs the client, which is `"$@"`; the client alone if this is nothing.
    pub(crate) shell: &'static str,
}

/// A fault in what is sent or heard.
const fn fault(name: &'static str, case: &'static str, change: Change) -> Fault {
    Fault { name, case, change, shell: "" }
}

/// A fault in what the program prints, or how it ends.
const fn program(name: &'static str, case: &'static str, shell: &'static str) -> Fault {
    Fault { name, case, change: |_, to, message| pass(to, message), shell }
}

/// Changes what the client sends.
macro_rules! sent {
    ($($change:tt)*) => { changes!(Runtime, $($change)*) };
}

/// Changes what the client hears.
macro_rules! heard {
    ($($change:tt)*) => { changes!(Client, $($change)*) };
}

/// Swallows what the client sends and is like this.
macro_rules! unsaid {
    ($($which:tt)*) => { swallows!(Runtime, $($which)*) };
}

/// Swallows what the client hears and is like this.
macro_rules! unheard {
    ($($which:tt)*) => { swallows!(Client, $($which)*) };
}

/// Has the client believe that everything was negotiated.
const BELIEVES_ALL: Change = heard!(|_, message| {
    replace(&mut message, "/payload/capabilities/features", json!(arcp_conformance::FEATURES));
});

/// A program that ends in success whatever has happened.
const ALWAYS_CONTENT: &str = r#""$@"; exit 0"#;

/// A message of the client's own, in the session of another.
fn of_its_own(kind: &str, session: &Value, payload: Value) -> Value {
    json!({"arcp": "1.1", "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "type": kind, "session_id": session, "payload": payload})
}

/// Numbers the messages that it lets through, so that none is missing and none comes again.
const COUNTS_BY_ITSELF: Change = heard!(|known, message| if message.get("event_seq").is_some() {
    let count = known.values.get("count").and_then(Value::as_u64).unwrap_or(0) + 1;
    known.values.insert("count".to_owned(), count.into());
    message["event_seq"] = count.into();
});

pub(crate) const FAULTS: &[Fault] = &[
    fault("its messages have no id", "client-5-01", sent!(|_, message| remove(&mut message, "/id"))),
    fault(
        "its messages do not name their session",
        "client-5-02",
        sent!(|_, message| remove(&mut message, "/session_id")),
    ),
    fault(
        "it drops what has fields that it does not know",
        "client-5-03",
        unheard!(|message| message.get("priority").is_some() || message.get("later").is_some()),
    ),
    fault(
        "it says another version",
        "client-5-04",
        sent!(|_, message| replace(&mut message, "/arcp", "1.2")),
    ),
    fault("its ids are no ULIDs", "client-5-04", |_, to, mut message| {
        let (at, other): (_, fn(&str) -> String) = match to {
            To::Runtime => ("/id", |id| format!("m-{id}")),
            To::Client => ("/payload/request_id", |id| id.trim_start_matches("m-").to_owned()),
        };
        if let Some(id) = message.pointer(at).and_then(Value::as_str).map(other) {
            replace(&mut message, at, id);
        }
        pass(to, message)
    }),
    fault("it tells one of several messages that share an id", "client-5-09", |known, to, message| {
        let again = to == To::Client
            && is(&message, "job.event")
            && known.values.insert(message["id"].to_string(), Value::Null).is_some();
        if again { Vec::new() } else { pass(to, message) }
    }),
    fault(
        "its hello has no token",
        "client-6.1-01",
        sent!(|_, message| remove(&mut message, "/payload/auth/token")),
    ),
    program("a refusal is a success", "client-6.1-02", ALWAYS_CONTENT),
    program("it prints its token", "client-6.1-03", r#""$@"; end=$?; echo "as $ARCP_TOKEN" >&2; exit $end"#),
    fault(
        "it resumes without its bearer token",
        "client-6.1-04",
        sent!(|_, message| if message["payload"]["resume"].is_object() {
            remove(&mut message, "/payload/auth")
        }),
    ),
    fault(
        "it does not say what it is called",
        "client-6.2-01",
        sent!(|_, message| remove(&mut message, "/payload/client/name")),
    ),
    fault(
        "it does not say that it understands JSON",
        "client-6.2-02",
        sent!(|_, message| replace(&mut message, "/payload/capabilities/encodings", json!(["cbor"]))),
    ),
    fault(
        "its features have no names",
        "client-6.2-03",
        sent!(|_, message| replace(&mut message, "/payload/capabilities/features", json!([1, 2]))),
    ),
    fault(
        "its hello has a number",
        "client-6.2-04",
        sent!(|_, message| if is(&message, "session.hello") {
            message["event_seq"] = 0.into();
        }),
    ),
    fault("it does not wait for the welcome", "client-6.2-05", |_, to, message| {
        let early = is(&message, "session.hello")
            .then(|| (To::Runtime, of_its_own("session.list_jobs", &Value::Null, json!({}))));
        pass(to, message).into_iter().chain(early).collect()
    }),
    fault("it acknowledges where nobody wants it", "client-6.2-06", BELIEVES_ALL),
    fault("it pings where nobody wants it", "client-6.2-07", BELIEVES_ALL),
    fault("it lists jobs where that is not offered", "client-6.2-08", BELIEVES_ALL),
    fault("it subscribes where that is not offered", "client-6.2-09", BELIEVES_ALL),
    fault("it asks for expires_at where that is not offered", "client-6.2-10", BELIEVES_ALL),
    fault("it asks for a budget where that is not offered", "client-6.2-11", BELIEVES_ALL),
    fault("it asks for models where that is not offered", "client-6.2-12", BELIEVES_ALL),
    fault("it asks for versions where that is not offered", "client-6.2-13", BELIEVES_ALL),
    fault(
        "it resumes from the beginning",
        "client-6.3-01",
        sent!(|_, message| replace(&mut message, "/payload/resume/last_event_seq", 0)),
    ),
    fault("it resumes with its first token", "client-6.3-02", |known, to, mut message| {
        if to == To::Client && is(&message, "session.welcome") {
            let token = message["payload"]["resume_token"].clone();
            known.values.entry("first".to_owned()).or_insert(token);
        } else if let Some(first) = known.values.get("first") {
            replace(&mut message, "/payload/resume/resume_token", first.clone());
        }
        pass(to, message)
    }),
    fault("it takes a replay for news", "client-6.3-06", COUNTS_BY_ITSELF),
    fault(
        "it repeats a submit with another key",
        "client-6.3-08",
        sent!(|known, message| if is(&message, "job.submit") {
            let count = known.values.len();
            known.values.insert(format!("submit {count}"), Value::Null);
            message["payload"]["idempotency_key"] = format!("key {count}").into();
        }),
    ),
    fault(
        "it answers pings with another nonce",
        "client-6.4-01",
        sent!(|_, message| replace(&mut message, "/payload/ping_nonce", "p_other")),
    ),
    fault(
        "it answers every other ping",
        "client-6.4-02",
        unsaid!(|message| message["payload"]["ping_nonce"] == "p_2"),
    ),
    fault("it never pings", "client-6.4-03", unsaid!(|message| is(&message, "session.ping"))),
    fault(
        "its pings are all the same",
        "client-6.4-04",
        sent!(|_, message| if is(&message, "session.ping") {
            replace(&mut message, "/payload/nonce", "p_same")
        }),
    ),
    fault(
        "it numbers what it sends",
        "client-6.4-05",
        sent!(|_, message| if is(&message, "session.ack") {
            message["event_seq"] = 1.into()
        }),
    ),
    fault("events are no sign of life to it", "client-6.4-06", unheard!(|message| is(&message, "job.event"))),
    fault(
        "it never gives a silent runtime up",
        "client-6.4-07",
        heard!(|_, message| replace(&mut message, "/payload/heartbeat_interval_sec", 3_600)),
    ),
    fault("it never acknowledges", "client-6.5-01", unsaid!(|message| is(&message, "session.ack"))),
    fault(
        "it acknowledges what has not come",
        "client-6.5-02",
        sent!(|_, message| if let Some(last) = message["payload"]["last_processed_seq"].as_u64() {
            replace(&mut message, "/payload/last_processed_seq", last + 1)
        }),
    ),
    fault(
        "what it acknowledges falls",
        "client-6.5-03",
        sent!(|_, message| if let Some(last) = message["payload"]["last_processed_seq"].as_u64() {
            replace(&mut message, "/payload/last_processed_seq", 100 - last)
        }),
    ),
    fault("it acknowledges each event by itself", "client-6.5-04", |_, to, message| {
        let own = json!({"last_processed_seq": message["event_seq"]});
        let ack = is(&message, "job.event")
            .then(|| (To::Runtime, of_its_own("session.ack", &message["session_id"], own)));
        pass(to, message).into_iter().chain(ack).collect()
    }),
    fault(
        "it asks for the first page again and again",
        "client-6.6-02",
        sent!(|_, message| remove(&mut message, "/payload/cursor")),
    ),
    program("a list that is refused is an empty one", "client-6.6-04", ALWAYS_CONTENT),
    fault("it leaves without a word", "client-6.7-01", unsaid!(|message| is(&message, "session.close"))),
    fault(
        "it waits for an answer to its close, and says nothing else",
        "client-6.7-02",
        unsaid!(|message| is(&message, "session.bye")),
    ),
    fault("it answers a bye with a bye", "client-6.7-04", |_, to, message| {
        let own = json!({"reason": "over"});
        let bye = (to == To::Client && is(&message, "session.bye"))
            .then(|| (To::Runtime, of_its_own("session.bye", &message["session_id"], own)));
        bye.into_iter().chain(pass(to, message)).collect()
    }),
    fault(
        "it changes the input",
        "client-7.1-01",
        sent!(|_, message| replace(&mut message, "/payload/input/n/2", 0)),
    ),
    fault(
        "it leaves out how long a job may run",
        "client-7.1-02",
        sent!(|_, message| remove(&mut message, "/payload/max_runtime_sec")),
    ),
    fault(
        "it says null for what a submit does not have",
        "client-7.1-03",
        sent!(|_, message| if is(&message, "job.submit") {
            message["payload"]["lease_constraints"] = Value::Null
        }),
    ),
    fault("it does not know what comes before the job.accepted", "client-7.1-07", |known, to, message| {
        if is(&message, "job.accepted") {
            known.values.insert("accepted".to_owned(), Value::Null);
        }
        let early = is(&message, "job.event") && !known.values.contains_key("accepted");
        if early { Vec::new() } else { pass(to, message) }
    }),
    fault(
        "it takes the refusal of another request for that of its own",
        "client-7.1-10",
        |known, to, mut message| {
            if is(&message, "job.submit") {
                known.values.insert("submit".to_owned(), message["id"].clone());
            } else if is(&message, "session.error") {
                let own = known.values.get("submit").cloned().unwrap_or_default();
                replace(&mut message, "/payload/request_id", own);
            }
            pass(to, message)
        },
    ),
    program("a job that has failed is a success", "client-7.3-02", ALWAYS_CONTENT),
    program("a job that was cancelled is a success", "client-7.3-03", ALWAYS_CONTENT),
    fault(
        "it takes the result of another job for that of its own",
        "client-7.3-09",
        |known, to, mut message| {
            if is(&message, "job.accepted") {
                known.values.insert("job".to_owned(), message["job_id"].clone());
            } else if is(&message, "job.result") {
                message["job_id"] = known.values.get("job").cloned().unwrap_or_default();
            }
            pass(to, message)
        },
    ),
    fault("it does not cancel", "client-7.4-01", unsaid!(|message| is(&message, "job.cancel"))),
    fault(
        "it cancels without a reason",
        "client-7.4-02",
        sent!(|_, message| remove(&mut message, "/payload/reason")),
    ),
    fault(
        "it takes the acknowledgement of a cancel for the end",
        "client-7.4-04",
        heard!(|_, message| if is(&message, "job.cancelled") {
            message["type"] = "job.result".into();
            message["event_seq"] = 2.into();
            message["payload"] = json!({"final_status": "cancelled"});
        }),
    ),
    fault(
        "it asks for any version",
        "client-7.5-01",
        sent!(|_, message| replace(&mut message, "/payload/agent", "echo")),
    ),
    fault(
        "it subscribes without the history",
        "client-7.6-01",
        sent!(|_, message| replace(&mut message, "/payload/history", false)),
    ),
    fault("it cancels what it only watches", "client-7.6-02", |_, to, message| {
        let own = json!({"job_id": message["payload"]["job_id"]});
        let cancel = is(&message, "job.subscribed")
            .then(|| (To::Runtime, of_its_own("job.cancel", &message["session_id"], own)));
        pass(to, message).into_iter().chain(cancel).collect()
    }),
    fault("it subscribes once more when its session is resumed", "client-7.6-06", |known, to, message| {
        if is(&message, "job.subscribe") {
            known.values.insert("subscribe".to_owned(), message.clone());
        }
        let again = known.values.get("subscribe").filter(|_| is(&message, "session.welcome")).cloned();
        pass(to, message).into_iter().chain(again.map(|again| (To::Runtime, again))).collect()
    }),
    fault(
        "it opens another session when its connection is cut",
        "client-7.7-01",
        sent!(|_, message| remove(&mut message, "/payload/resume")),
    ),
    fault("it does not see gaps", "client-8.3-01", COUNTS_BY_ITSELF),
    fault("it takes what comes again for news", "client-8.3-03", COUNTS_BY_ITSELF),
    fault(
        "it puts chunks together as they come",
        "client-8.4-08",
        heard!(|known, message| if is_kind(&message, "result_chunk") {
            let count = known.values.len();
            known.values.insert(format!("chunk {count}"), Value::Null);
            replace(&mut message, "/payload/body/chunk_seq", count);
        }),
    ),
    fault(
        "it does not mind a chunk that is missing",
        "client-8.4-04",
        heard!(|_, message| {
            replace(&mut message, "/payload/result_size", 9);
            if message["payload"]["body"]["chunk_seq"] == 2 {
                replace(&mut message, "/payload/body/chunk_seq", 1);
            }
        }),
    ),
    fault("it takes the end of a child for that of its parent", "client-10-01", |known, to, mut message| {
        if is(&message, "job.accepted") {
            known.values.entry("job".to_owned()).or_insert(message["job_id"].clone());
        } else if is(&message, "job.result") {
            message["job_id"] = known.values.get("job").cloned().unwrap_or_default();
        }
        pass(to, message)
    }),
    fault(
        "its traces have words for ids",
        "client-11-01",
        sent!(|_, message| if is(&message, "job.submit") {
            message["trace_id"] = "tuesday".into()
        }),
    ),
    program("it prints why a job has failed as its result", "client-12-03", r#""$@" 2>&1"#),
    fault("it prints credentials", "client-14-01", |known, to, mut message| {
        if is(&message, "job.accepted") {
            let value = message["payload"]["credentials"][0]["value"].clone();
            known.values.insert("value".to_owned(), value);
        } else if let Some(value) = known.values.get("value") {
            replace(&mut message, "/payload/body/message", value.clone());
        }
        pass(to, message)
    }),
];
