//! What is sent to a session, over all of its connections, looked at as it comes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};

use arcp::proto::{Envelope, JobId, Timestamp};
use serde_json::Value;

use crate::secrets::SECRETS;
use crate::world::{World, lock};

/// One session.
pub(crate) struct Wire {
    pub(crate) name: String,
    pub(crate) principal: String,
    world: Weak<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<String>,
    connections: usize,
    /// Whether this connection was welcomed.
    welcomed: bool,
    /// The number after which the client has asked to go on.
    asked: u64,
    /// The last number over this connection.
    last: u64,
    /// The last number that has come through to the client.
    delivered: u64,
    /// What was told, by number, from 1.
    messages: Vec<Message>,
    /// How often each request was sent: a submit by its id, a subscription by its job's.
    asked_for: HashMap<String, usize>,
    /// The submits that were not answered yet.
    open: BTreeSet<String>,
    /// The submits that were answered with a job.
    submits: HashMap<JobId, BTreeSet<String>>,
}

/// A numbered message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) round: usize,
    pub(crate) job: JobId,
    pub(crate) terminal: bool,
    pub(crate) payload: String,
    frame: String,
}

impl Wire {
    pub(crate) fn new(world: &Arc<World>, name: String, principal: &str) -> Arc<Self> {
        let wire = Arc::new(Self {
            name,
            principal: principal.to_owned(),
            world: Arc::downgrade(world),
            state: Mutex::default(),
        });
        lock(&world.wires).push(Arc::clone(&wire));
        wire
    }

    pub(crate) fn connected(&self) {
        let mut state = lock(&self.state);
        state.connections += 1;
        state.welcomed = false;
    }

    /// The client says something.
    pub(crate) fn said(&self, frame: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(frame) else { return };
        let name = match frame["type"].as_str() {
            Some("job.submit") => frame["id"].as_str(),
            Some("job.subscribe") => frame["payload"]["job_id"].as_str(),
            Some("session.hello") => None,
            Some("session.ack") => {
                return self.world.upgrade().into_iter().for_each(|world| world.meet("acknowledgements"));
            }
            _ => return,
        };
        if let Some(name) = name {
            let mut state = lock(&self.state);
            *state.asked_for.entry(name.to_owned()).or_default() += 1;
            if frame["type"] == "job.submit" {
                state.open.insert(name.to_owned());
            }
            return;
        }
        let resume = &frame["payload"]["resume"];
        let mut state = lock(&self.state);
        state.asked = resume["last_event_seq"].as_u64().unwrap_or(0);
        let (asked, had, session) = (state.asked, state.delivered, state.session.clone());
        drop(state);
        if session.is_some() && (resume["session_id"].as_str() != session.as_deref() || asked != had) {
            self.fail(format!("was told {had} messages in {session:?} and asks to resume {resume}"));
        }
    }

    /// The client is told something, whether it comes through to it or not.
    pub(crate) fn heard(&self, frame: &str, comes_through: bool) {
        let Some(world) = self.world.upgrade() else { return };
        match Envelope::decode(frame) {
            Ok(envelope) => {
                self.take(&world, &envelope, frame);
                if let Some(event_seq) = envelope.event_seq.filter(|_| comes_through) {
                    lock(&self.state).delivered = event_seq;
                }
            }
            Err(error) => self.fail(format!("is sent what is no envelope: {error}: {frame}")),
        }
        world.frames.send_modify(|frames| *frames += 1);
    }

    fn take(&self, world: &World, envelope: &Envelope, frame: &str) {
        let payload = || serde_json::from_str::<Value>(envelope.payload.as_str()).unwrap_or_default();
        match (envelope.message_type.as_str(), &envelope.job_id) {
            ("session.welcome", _) => self.welcomed(world, &payload()),
            ("session.error", _) => {
                let payload = payload();
                lock(&self.state).open.remove(payload["request_id"].as_str().unwrap_or_default());
                let error = if payload["error"].is_object() { &payload["error"] } else { &payload };
                if error["code"] != "INTERNAL_ERROR" {
                    self.fail(format!("is refused: {payload}"));
                }
            }
            (name @ ("job.accepted" | "job.subscribed"), _) => {
                let payload = payload();
                for credential in payload["credentials"].as_array().into_iter().flatten() {
                    check_secret(world, &credential["value"]);
                }
                let Some(job) = payload["job_id"].as_str().and_then(|id| id.parse::<JobId>().ok()) else {
                    return self.fail(format!("{name} names no job: {payload}"));
                };
                if let Some(request) = payload["request_id"].as_str().filter(|_| name == "job.accepted") {
                    let mut state = lock(&self.state);
                    state.open.remove(request);
                    state.submits.entry(job.clone()).or_default().insert(request.to_owned());
                }
                if name == "job.accepted" {
                    let parent = payload["parent_job_id"].as_str().and_then(|id| id.parse().ok());
                    if parent.is_some() {
                        world.meet("delegations told");
                    }
                    world.know(&job, |known| {
                        known.principal.clone_from(&self.principal);
                        known.parent = parent;
                    });
                }
            }
            ("job.cancelled", _) => {
                let payload = payload();
                let job = envelope.job_id.clone().or_else(|| payload["job_id"].as_str()?.parse().ok());
                match job {
                    Some(job) => world
                        .know(&job, |known| known.cancel_seen = known.cancel_seen.or_else(|| Some(now()))),
                    None => self.fail(format!("job.cancelled names no job: {payload}")),
                }
                world.meet("cancellations acknowledged");
            }
            ("job.event" | "job.result" | "job.error", Some(job)) => {
                if let Some(event_seq) = envelope.event_seq {
                    self.numbered(world, event_seq, job, envelope, frame);
                }
            }
            _ => {}
        }
    }

    fn welcomed(&self, world: &World, payload: &Value) {
        check_secret(world, &payload["resume_token"]);
        let mut state = lock(&self.state);
        let session = payload["session_id"].as_str().map(str::to_owned);
        let before = state.session.clone();
        if before.is_none() {
            state.session.clone_from(&session);
        } else {
            world.meet("resumes");
        }
        state.welcomed = true;
        state.last = state.asked;
        drop(state);
        if before.is_some() && session != before {
            self.fail(format!("was session {before:?} and is now {session:?}"));
        }
    }

    fn numbered(&self, world: &World, event_seq: u64, job: &JobId, envelope: &Envelope, frame: &str) {
        let rotates = frame.contains("credential_rotated");
        if rotates && let Ok(payload) = serde_json::from_str::<Value>(envelope.payload.as_str()) {
            check_secret(world, &payload["body"]["value"]);
            world.meet("rotations told");
        }
        if frame.contains("x-vendor.arcp.missed") {
            self.fail(format!("misses events: {frame}"));
        }
        let text = |text: &str| if rotates { without_value(text) } else { text.to_owned() };
        let message = Message {
            round: world.round(),
            job: job.clone(),
            terminal: envelope.message_type.as_str() != "job.event",
            payload: text(envelope.payload.as_str()),
            frame: text(frame),
        };
        let mut state = lock(&self.state);
        let (welcomed, last) = (state.welcomed, state.last);
        state.last = event_seq;
        let have = state.messages.len() as u64;
        let before = state.messages.get(event_seq.saturating_sub(1) as usize).cloned();
        if before.is_none() {
            state.messages.push(message.clone());
        }
        drop(state);
        if !welcomed || event_seq != last + 1 || event_seq > have + 1 {
            self.fail(format!("is sent number {event_seq} after {last}, with {have} told so far: {frame}"));
        }
        if let Some(before) = before {
            world.meet("messages sent again");
            if before.frame != message.frame {
                self.fail(format!(
                    "is sent number {event_seq} again, and it is not the same:\n  round {}: {}\n  now:     {}",
                    before.round, before.frame, message.frame
                ));
            }
        }
    }

    /// What was told of a job, in order, and how often it was asked for.
    pub(crate) fn of_job(&self, job: &JobId) -> (Vec<Message>, usize) {
        let state = lock(&self.state);
        let messages = state.messages.iter().filter(|message| message.job == *job).cloned().collect();
        let submits = state.submits.get(job).into_iter().flatten();
        // What it is shown for a submit may come before the answer.
        let requests = submits.chain(&state.open).map(String::as_str).chain([job.as_str()]);
        let asked = requests.filter_map(|request| state.asked_for.get(request)).sum::<usize>();
        // One that another job has delegated to comes unasked.
        (messages, asked.max(1))
    }

    /// Everything that was told, a line each.
    pub(crate) fn history(&self) -> String {
        let state = lock(&self.state);
        let lines =
            state.messages.iter().map(|message| format!("round {} {}\n", message.round, message.frame));
        lines.collect()
    }

    pub(crate) fn standing(&self) -> String {
        let state = lock(&self.state);
        format!(
            "{}: session {:?}, {} connections, welcomed {}, {} messages\n",
            self.name,
            state.session,
            state.connections,
            state.welcomed,
            state.messages.len()
        )
    }

    pub(crate) fn fail(&self, what: String) {
        if let Some(world) = self.world.upgrade() {
            world.fail(format!("{}: {what}", self.name));
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

/// What is looked for in the runtime's files is found by how it begins.
fn check_secret(world: &World, value: &Value) {
    if let Some(value) = value.as_str() {
        world.meet("secrets told");
        if !SECRETS.iter().any(|start| value.starts_with(start)) {
            world.fail(format!("a secret that would not be found: {value}"));
        }
    }
}

/// The same without the value of a credential: a replay may lack it.
pub(crate) fn without_value(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    for body in ["/body", "/payload/body"] {
        if let Some(Value::Object(body)) = value.pointer_mut(body) {
            body.remove("value");
        }
    }
    value.to_string()
}
