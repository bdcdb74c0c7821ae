//! What a tracer is told (§11), and that what it gives back is what everybody else is told.

use std::sync::{Arc, Mutex};

use arcp_core::runtime::{Delegation, JobSpan, SessionSpan, TracedEnd, TracedJob, TracedSession, Tracer};
use arcp_proto::event::{EventKind, ToolCall, ToolResult};
use arcp_proto::{CallId, ErrorCode, ErrorPayload, Feature, Json, Lease, SpanId, TraceContext};
use serde_json::{Value, json};

use crate::credentials::provisioned;
use crate::host::Host;
use crate::peer::message;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Writes down what it is told. The nth span has the number n.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<(u64, Vec<String>)>>);

struct Span {
    notes: Notes,
    context: TraceContext,
}

impl Notes {
    fn begin(&self, what: &str, parent: Option<&TraceContext>, context: TraceContext) -> Span {
        let parent = parent.map_or("nobody".to_owned(), |parent| parent.span_id.value().to_string());
        self.note(format!("{} is {what} of {parent}", context.span_id.value()));
        Span { notes: self.clone(), context }
    }

    fn next(&self, like: &TraceContext) -> TraceContext {
        let mut notes = self.0.lock().unwrap();
        notes.0 += 1;
        TraceContext { span_id: SpanId::new(notes.0).unwrap(), ..like.clone() }
    }

    fn note(&self, note: String) {
        self.0.lock().unwrap().1.push(note);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

impl Tracer for Notes {
    fn session(&self, session: &TracedSession<'_>) -> Option<Box<dyn SessionSpan>> {
        let context = session.parent.cloned().unwrap_or_else(|| PARENT.parse().unwrap());
        Some(Box::new(self.begin("a session", session.parent, self.next(&context))))
    }

    fn job(&self, job: &TracedJob<'_>) -> Option<Box<dyn JobSpan>> {
        let like = TraceContext { trace_id: job.trace_id, ..PARENT.parse().unwrap() };
        Some(Box::new(self.begin(&job.agent.to_string(), job.parent, self.next(&like))))
    }
}

impl SessionSpan for Span {
    fn context(&self) -> TraceContext {
        self.context.clone()
    }

    fn event(&self, name: &'static str) {
        self.notes.note(format!("{} {name}", self.context.span_id.value()));
    }
}

impl JobSpan for Span {
    fn context(&self) -> TraceContext {
        self.context.clone()
    }

    fn is_recording(&self) -> bool {
        true
    }

    fn event(&self, kind: &EventKind, index: u64) {
        self.notes.note(format!("{} {kind} {index}", self.context.span_id.value()));
    }

    fn tool_call(&self, _: &ToolCall) {
        unreachable!("the machine knows of no tools");
    }

    fn tool_result(&self, _: &ToolResult) {
        unreachable!("the machine knows of no tools");
    }

    fn tool_context(&self, _: &CallId) -> TraceContext {
        self.context.clone()
    }

    fn within(&self, _: Option<&CallId>, run: &mut dyn FnMut()) {
        run();
    }

    fn end(&self, end: &TracedEnd<'_>) {
        self.notes.note(format!("{} ends in {} {:?}", self.context.span_id.value(), end.status, end.code));
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.notes.note(format!("{} is dropped", self.context.span_id.value()));
    }
}

fn host() -> (Host, Notes) {
    let notes = Notes::default();
    let tracer = Arc::new(notes.clone());
    (Host::with(|config| config.tracer = Some(tracer)), notes)
}

fn submit(agent: &str) -> Value {
    let mut submit =
        message("m", "job.submit", json!({ "agent": agent, "lease_request": { "agent.delegate": ["*"] } }));
    submit["extensions"] = json!({ "x-vendor.opentelemetry.tracecontext": { "traceparent": PARENT } });
    submit
}

fn delegates(host: &mut Host, parent: &str) -> String {
    let delegation =
        Delegation::new("echo".parse().unwrap(), Json::null(), Lease::empty(), Default::default());
    let (key, now) = (host.key_of(parent), host.now());
    let child = host.machine.delegate(now, key, delegation).unwrap();
    host.settle();
    child.job_id.to_string()
}

#[test]
fn a_child_belongs_to_the_job_above_it_and_each_ends_once() {
    let (mut host, notes) = host();
    let alice = host.join("alice");
    alice.sends(&mut host, &submit("echo"));
    let accepted = alice.hears_one(&mut host);
    let parent = accepted["job_id"].as_str().unwrap().to_owned();
    let child = delegates(&mut host, &parent);
    host.emits(&child, &["a"]);
    host.fail(&child, ErrorCode::from("X_NO"), "why");
    host.succeed(&parent);
    let sender = PARENT[36..52].to_owned();
    let sender = u64::from_str_radix(&sender, 16).unwrap();
    let told = notes.take();
    let expected = [
        "1 is a session of nobody".to_owned(),
        format!("2 is echo@1.0.0 of {sender}"),
        "2 delegate 0".to_owned(),
        "3 is echo@1.0.0 of 2".to_owned(),
        "3 thought 0".to_owned(),
        "3 ends in error Some(Other(\"X_NO\"))".to_owned(),
        "2 ends in success None".to_owned(),
    ];
    let told: Vec<_> = told.into_iter().filter(|note| !note.ends_with("dropped")).collect();
    assert_eq!(told, expected);
    assert_eq!(accepted["extensions"]["x-vendor.opentelemetry.tracecontext"]["traceparent"], {
        let spec = &host.started[&parent];
        assert_eq!(spec.trace_context.as_ref().unwrap().span_id.value(), 2);
        spec.trace_context.as_ref().unwrap().to_string()
    });
    assert_eq!(host.started[&child].trace_context.as_ref().unwrap().span_id.value(), 3);
    drop(alice);
    host.shut_down();
    assert!(
        notes.take().contains(&"1 is dropped".to_owned()),
        "sessions end with the runtime, for their spans"
    );
}

#[test]
fn a_job_that_never_is_has_a_span_that_never_ends_but_is_dropped() {
    let notes = Notes::default();
    let tracer = Arc::new(notes.clone());
    let mut host = Host::with(|config| {
        let features = config.features.iter().cloned();
        config.features = features.chain([Feature::ProvisionedCredentials]).collect();
        config.tracer = Some(tracer);
    });
    let mut alice = host.join("alice");
    alice.submits(&mut host, json!({ "agent": "echo" }));
    let error = ErrorPayload::new(ErrorCode::InternalError, "no");
    provisioned(&mut host, Err(error));
    let told = notes.take();
    assert!(told.contains(&"2 is dropped".to_owned()), "{told:?}");
    assert!(!told.iter().any(|note| note.contains("ends in")), "{told:?}");
}

#[test]
fn a_job_that_is_run_again_has_a_span_of_its_own_and_so_have_its_children() {
    let (mut host, notes) = host();
    let alice = host.join("alice");
    alice.sends(&mut host, &submit("tireless"));
    let job = alice.hears_one(&mut host)["job_id"].as_str().unwrap().to_owned();
    host.crash();
    let again = host.started[&job].trace_context.clone().unwrap();
    assert_ne!(again.span_id.value(), 2, "that of the earlier run is gone with it");
    let child = delegates(&mut host, &job);
    let told = notes.take();
    let expected = format!("is echo@1.0.0 of {}", again.span_id.value());
    assert!(told.iter().any(|note| note.ends_with(&expected)), "{told:?}");
    assert_eq!(host.started[&child].trace_context.as_ref().unwrap().trace_id, again.trace_id);
}
