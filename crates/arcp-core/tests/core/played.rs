//! A client machine whose runtime is played by the test, in raw JSON text, good or bad.

use std::collections::VecDeque;
use std::time::Duration;

use arcp_core::Incoming;
use arcp_core::client::{Audience, Config, Event, JobEnd, RequestKey, Session, Transmit};
use arcp_proto::job::Submit;
use arcp_proto::session::Peer as Identity;
use arcp_proto::{BearerToken, Json};
use serde_json::{Value, json};

use crate::host::{Clock, seeded};
use crate::peer::message;

pub(crate) struct Desk {
    pub(crate) machine: Session,
    pub(crate) clock: Clock,
    said: VecDeque<Value>,
    told: Vec<String>,
    /// Whether the client has closed the connection.
    pub(crate) closed: bool,
}

/// The name of a request in what the application is told.
pub(crate) fn name(request: RequestKey) -> String {
    format!("{request:?}").replace("RequestKey(", "#").replace(')', "")
}

fn to(audience: &Audience) -> String {
    let names = |requests: &[RequestKey]| requests.iter().map(|one| name(*one)).collect::<Vec<_>>().join(" ");
    match audience {
        Audience::All => "to all".to_owned(),
        Audience::AllBut(others) => format!("to all but {}", names(others)),
        Audience::Only(these) => format!("to {}", names(these)),
    }
}

/// What the application is told, in words.
pub(crate) fn in_words(event: &Event) -> String {
    match event {
        Event::Opened(opened) => {
            format!("opened {}", opened.session_id.as_ref().map_or("-", |id| id.as_str()))
        }
        Event::Disconnected => "disconnected".to_owned(),
        Event::Connect => "dials".to_owned(),
        Event::Resumed => "resumed".to_owned(),
        Event::Lapsed(error) => format!("lapsed {}", error.as_ref().map_or("-", |error| error.code.as_str())),
        Event::Renewed(opened) => {
            format!("renewed {}", opened.session_id.as_ref().map_or("-", |id| id.as_str()))
        }
        Event::Missed { job_id, audience: Audience::All } => format!("{job_id} missed"),
        Event::Missed { job_id, audience } => format!("{job_id} missed {}", to(audience)),
        Event::AcknowledgeDue => "is asked how far it has come".to_owned(),
        Event::Jobs { request, page } => format!("{} lists {}", name(*request), page.jobs.len()),
        Event::Subscribed { request, subscribed } => {
            format!("{} subscribed {}", name(*request), subscribed.job_id)
        }
        Event::Interrupted { request } => format!("{} interrupted", name(*request)),
        Event::HandshakeRefused(error) => format!("handshake refused {}", error.code),
        Event::Accepted { request, accepted } => format!("{} accepted {}", name(*request), accepted.job_id),
        Event::Delegated(accepted) => format!("delegated {}", accepted.job_id),
        Event::CancelAcknowledged { request } => format!("{} acknowledged", name(*request)),
        Event::Refused { request, error } => format!("{} refused {}", name(*request), error.code),
        Event::NotOffered { request, feature } => format!("{} lacks {feature}", name(*request)),
        Event::Unreadable { request, error } => format!("{} cannot read {error}", name(*request)),
        Event::TimedOut { request } => format!("{} timed out", name(*request)),
        Event::Job { job_id, event, audience: Audience::All, .. } => format!("{job_id} says {}", event.kind),
        Event::Job { job_id, event, audience, .. } => {
            format!("{job_id} says {} {}", event.kind, to(audience))
        }
        Event::JobEnded { job_id, end: JobEnd::Success(_) } => format!("{job_id} ended success"),
        Event::JobEnded { job_id, end: JobEnd::Failure(error) } => {
            format!("{job_id} ended {} {}", error.final_status, error.error.code)
        }
        Event::JobEnded { job_id, end: JobEnd::Unreadable(_) } => format!("{job_id} ended unreadable"),
        Event::JobEnded { job_id, end: JobEnd::Lost(error) } => format!("{job_id} lost {}", error.code),
        Event::Ended(loss) => format!("over {loss:?}"),
        other => panic!("{other:?} is unknown to the played application"),
    }
}

/// A job.accepted, naming the submit that it answers or not.
pub(crate) fn accepted(job: &str, request: Option<&str>) -> Value {
    let mut payload = json!({ "job_id": job, "lease": {} });
    if let Some(request) = request {
        payload["request_id"] = json!(request);
    }
    message("m", "job.accepted", payload)
}

pub(crate) fn of_job(job: &str, message_type: &str, payload: Value) -> Value {
    let mut envelope = message("m", message_type, payload);
    envelope["job_id"] = json!(job);
    envelope
}

pub(crate) fn event(job: &str) -> Value {
    of_job(job, "job.event", json!({ "kind": "log", "ts": crate::host::START, "body": {} }))
}

pub(crate) fn result(job: &str) -> Value {
    of_job(job, "job.result", json!({ "final_status": "success", "result": 1 }))
}

pub(crate) fn job_error(job: &str, code: &str) -> Value {
    of_job(job, "job.error", json!({ "final_status": "error", "code": code, "message": "m" }))
}

pub(crate) fn session_error(code: &str, request: Option<&str>) -> Value {
    let mut payload = json!({ "code": code, "message": "m" });
    if let Some(request) = request {
        payload["request_id"] = json!(request);
    }
    message("m", "session.error", payload)
}

pub(crate) fn welcome() -> Value {
    message(
        "w",
        "session.welcome",
        json!({ "session_id": "sess_1", "capabilities": { "features": ["progress", "list_jobs", "subscribe"] } }),
    )
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let identity = Identity { name: "client".to_owned(), version: "0".to_owned() };
        let mut config = Config::new(identity, BearerToken::new("alice-token"));
        configure(&mut config);
        Self {
            machine: Session::new(config, Box::new(seeded(2))),
            clock: Clock::default(),
            said: VecDeque::new(),
            told: Vec::new(),
            closed: false,
        }
    }

    /// A client that waits for its welcome.
    pub(crate) fn connected() -> Self {
        let mut desk = Self::new();
        desk.machine.handle_connected(desk.clock.now());
        desk
    }

    /// A client with an open session.
    pub(crate) fn open() -> Self {
        let mut desk = Self::connected();
        desk.hears(&welcome());
        assert_eq!(desk.is_told(), ["opened sess_1"]);
        assert_eq!(desk.says().len(), 1);
        desk
    }

    /// A client that has a job, `job_1`, from a runtime that names requests or does not.
    pub(crate) fn with_job(named: bool) -> Self {
        let mut desk = Self::open();
        desk.submits();
        let id = desk.says_one()["id"].as_str().unwrap().to_owned();
        desk.hears(&accepted("job_1", named.then_some(id.as_str())));
        assert_eq!(desk.is_told(), ["#1 accepted job_1"]);
        desk
    }

    pub(crate) fn hears(&mut self, frame: &Value) {
        self.hears_text(&frame.to_string());
    }

    pub(crate) fn hears_text(&mut self, text: &str) {
        self.machine.handle_frame(self.clock.now(), Incoming::text(text.to_owned()));
    }

    pub(crate) fn submits(&mut self) -> RequestKey {
        let submit = Submit::new("echo".parse().unwrap(), Json::null());
        self.machine.submit(self.clock.now(), &submit, None)
    }

    pub(crate) fn cancels(&mut self, job: &str) -> RequestKey {
        self.machine.cancel(self.clock.now(), job.parse().unwrap(), None)
    }

    pub(crate) fn closes(&mut self) {
        self.machine.close(self.clock.now(), None);
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        let target = self.clock.after(duration);
        for _ in 0..1_000 {
            match self.machine.poll_timeout() {
                Some(at) if at.since_origin() <= target.0 => {
                    self.clock = Clock(at.since_origin().max(self.clock.0));
                    self.machine.handle_timeout(self.clock.now());
                }
                _ => {
                    self.clock = target;
                    return;
                }
            }
        }
        panic!("a timer is due again and again");
    }

    /// What the client has sent since the last time.
    pub(crate) fn says(&mut self) -> Vec<Value> {
        while let Some(transmit) = self.machine.poll_transmit() {
            assert!(!self.closed, "nothing follows a close");
            match transmit {
                Transmit::Frame(frame) => self.said.push_back(serde_json::from_str(&frame).unwrap()),
                Transmit::Close => self.closed = true,
            }
        }
        self.said.drain(..).collect()
    }

    pub(crate) fn says_one(&mut self) -> Value {
        let mut said = self.says();
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }

    /// What the application is told since the last time, in words.
    pub(crate) fn is_told(&mut self) -> Vec<String> {
        while let Some(event) = self.machine.poll_event() {
            self.told.push(in_words(&event));
        }
        std::mem::take(&mut self.told)
    }
}
