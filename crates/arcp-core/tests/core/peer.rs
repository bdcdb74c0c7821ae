//! A peer that speaks raw JSON text at a runtime: what it says can be as wrong as a test wants.

use arcp_core::Incoming;
use arcp_core::runtime::ConnectionKey;
use serde_json::{Value, json};

use crate::host::Host;

pub(crate) struct Peer {
    pub(crate) key: ConnectionKey,
    pub(crate) who: String,
    pub(crate) session: String,
    pub(crate) token: String,
    asked: u32,
}

/// An envelope with nothing but the required fields.
pub(crate) fn message(id: &str, message_type: &str, payload: Value) -> Value {
    json!({ "arcp": "1.1", "id": id, "type": message_type, "payload": payload })
}

/// The payload of a good hello.
pub(crate) fn hello(who: &str) -> Value {
    json!({
        "client": { "name": "raw", "version": "0" },
        "auth": { "scheme": "bearer", "token": format!("{who}-token") },
        "capabilities": { "encodings": ["json"], "features": ["progress", "lease_expires_at", "agent_versions"] }
    })
}

pub(crate) fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

/// The numbers of the numbered messages among these.
pub(crate) fn numbers(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["event_seq"].as_u64()).collect()
}

/// What the events among these say.
pub(crate) fn texts(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["payload"]["body"]["text"].as_str()).collect()
}

/// The messages that end a job, among these.
pub(crate) fn ends(frames: &[Value]) -> Vec<&Value> {
    frames.iter().filter(|frame| matches!(frame["type"].as_str(), Some("job.result" | "job.error"))).collect()
}

impl Peer {
    pub(crate) fn new(key: ConnectionKey) -> Self {
        Self { key, who: String::new(), session: String::new(), token: String::new(), asked: 0 }
    }

    // What it says

    pub(crate) fn sends_text(&self, host: &mut Host, text: &str) {
        host.frame(self.key, Incoming::text(text.to_owned()));
    }

    pub(crate) fn sends(&self, host: &mut Host, envelope: &Value) {
        self.sends_text(host, &envelope.to_string());
    }

    /// Sends a message and returns its id.
    pub(crate) fn asks(&mut self, host: &mut Host, message_type: &str, payload: Value) -> String {
        self.asked += 1;
        let id = format!("q{}", self.asked);
        self.sends(host, &message(&id, message_type, payload));
        id
    }

    pub(crate) fn says_hello(&mut self, host: &mut Host, who: &str) {
        self.who = who.to_owned();
        self.sends(host, &message("hello", "session.hello", hello(who)));
    }

    /// Says hello as `who` and asks for a session back.
    pub(crate) fn resumes_with(
        &mut self,
        host: &mut Host,
        who: &str,
        session: &str,
        token: &str,
        last_event_seq: u64,
    ) {
        self.who = who.to_owned();
        let mut payload = hello(who);
        payload["resume"] =
            json!({ "session_id": session, "resume_token": token, "last_event_seq": last_event_seq });
        self.sends(host, &message("hello", "session.hello", payload));
    }

    /// Takes the session of this peer over to a new connection, which must be granted.
    pub(crate) fn resumes(&self, host: &mut Host, last_event_seq: u64) -> Self {
        let mut next = host.connect();
        next.resumes_with(host, &self.who, &self.session, &self.token, last_event_seq);
        next.expects_welcome(host);
        assert_eq!(next.session, self.session);
        next
    }

    pub(crate) fn submits(&mut self, host: &mut Host, payload: Value) -> String {
        self.asks(host, "job.submit", payload)
    }

    /// Submits to `echo`, which must be accepted, and returns the job's id.
    pub(crate) fn starts_job(&mut self, host: &mut Host) -> String {
        self.starts(host, json!({ "agent": "echo", "input": null }))
    }

    pub(crate) fn starts(&mut self, host: &mut Host, payload: Value) -> String {
        let id = self.submits(host, payload);
        let inbox = &mut host.wires.get_mut(&self.key).unwrap().inbox;
        let answers_it = |text: &String| {
            let frame: Value = serde_json::from_str(text).unwrap();
            frame["type"] == "job.accepted" && frame["payload"]["request_id"] == id
        };
        let index = inbox.iter().position(answers_it).unwrap_or_else(|| panic!("not accepted: {inbox:#?}"));
        let accepted: Value = serde_json::from_str(&inbox.remove(index).unwrap()).unwrap();
        accepted["payload"]["job_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn cancels(&mut self, host: &mut Host, job: &str) -> String {
        self.asked += 1;
        let id = format!("q{}", self.asked);
        let mut envelope = message(&id, "job.cancel", json!({}));
        envelope["job_id"] = json!(job);
        self.sends(host, &envelope);
        id
    }

    // What it hears

    /// Everything that has come since the last time.
    pub(crate) fn hears(&self, host: &mut Host) -> Vec<Value> {
        let wire = host.wires.get_mut(&self.key).unwrap();
        wire.inbox.drain(..).map(|text| serde_json::from_str(&text).unwrap()).collect()
    }

    pub(crate) fn hears_one(&self, host: &mut Host) -> Value {
        let mut frames = self.hears(host);
        assert_eq!(frames.len(), 1, "{frames:#?}");
        frames.remove(0)
    }

    pub(crate) fn hears_nothing(&self, host: &mut Host) {
        assert_eq!(self.hears(host), Vec::<Value>::new());
    }

    /// The bytes that have come since the last time.
    pub(crate) fn hears_text(&self, host: &mut Host) -> Vec<String> {
        host.wires.get_mut(&self.key).unwrap().inbox.drain(..).collect()
    }

    pub(crate) fn expects_welcome(&mut self, host: &mut Host) {
        let wire = host.wires.get_mut(&self.key).unwrap();
        let welcome: Value = serde_json::from_str(&wire.inbox.pop_front().expect("a welcome")).unwrap();
        assert_eq!(welcome["type"], "session.welcome", "{welcome}");
        self.session = welcome["session_id"].as_str().unwrap().to_owned();
        self.token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    }

    /// The one refusal of one request.
    pub(crate) fn hears_refusal(&self, host: &mut Host, request: &str, code: &str) -> Value {
        let frame = self.hears_one(host);
        assert_eq!(frame["type"], "session.error", "{frame}");
        assert_eq!(frame["payload"]["request_id"], request, "{frame}");
        assert_eq!(frame["payload"]["code"], code, "{frame}");
        frame
    }

    /// The WebSocket code that the connection was closed with.
    pub(crate) fn close_code(&self, host: &Host) -> Option<u16> {
        host.wires[&self.key].closed.map(|close| close.code())
    }
}
