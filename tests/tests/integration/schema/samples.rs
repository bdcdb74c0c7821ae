//! Messages as `arcp-proto` writes them: every type, every event kind, with everything that can be there or with what a
//! dice gives. No struct is filled by `..`, so that a new field does not compile until it is here.

use arcp_runtime::proto::event::{
    ArtifactRef, ChunkEncoding, Delegate, EventKind, Log, LogLevel, MISSED, Metric, Progress, ResultChunk,
    Status, Thought, ToolCall, ToolOutcome, ToolResult, to_base64,
};
use arcp_runtime::proto::job::{
    Accepted, Cancel, Cancelled, Event, FinalStatus, JobError, JobResult, JobStatus, Submit, Subscribe,
    Subscribed, Unsubscribe,
};
use arcp_runtime::proto::session::{
    Ack, AgentInfo, Auth, Bye, ClientCapabilities, Close, Closed, Error, Hello, JobEntry, JobFilter, Jobs,
    ListJobs, Peer, Ping, Pong, Resume, ResumeRequest, RuntimeCapabilities, Welcome,
};
use arcp_runtime::proto::{
    AgentRef, Budget, CallId, Credential, CredentialConstraints, CredentialId, DelegateId, Envelope,
    ErrorCode, ErrorPayload, Extensions, Feature, JobId, Json, Lease, LeaseConstraints, MessageId, Number,
    Payload, ResultId, SessionId, SpanId, Timestamp, TraceContext, TraceId, Ulid, namespace,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::Dice;

/// One message of every type, and events of every kind; `job.result` and `tool_result` in both of their forms.
pub(super) fn messages(dice: &mut Dice) -> Vec<Value> {
    let mut all = sessions(dice);
    all.extend(jobs(dice));
    all.extend(events(dice));
    all
}

fn envelope<P: Payload>(dice: &mut Dice, payload: &P) -> Envelope {
    let mut envelope = Envelope::new(MessageId::from_ulid(ulid(dice)), payload);
    envelope.trace_id = dice.some(trace_id);
    envelope.session_id = Some(session_id(dice));
    if let Some(context) = dice.some(trace_context) {
        envelope.extensions.insert(Extensions::TRACE_CONTEXT, Json::encode(&context).unwrap());
    }
    envelope
}

fn text(envelope: &Envelope) -> Value {
    serde_json::from_str(&envelope.encode()).unwrap()
}

/// A message of a session.
fn of_session<P: Payload>(dice: &mut Dice, payload: &P) -> Value {
    text(&envelope(dice, payload))
}

/// A message that names its job on the envelope.
fn of_job<P: Payload>(dice: &mut Dice, payload: &P) -> Value {
    let mut envelope = envelope(dice, payload);
    envelope.job_id = Some(job_id(dice));
    text(&envelope)
}

fn numbered<P: Payload>(dice: &mut Dice, payload: &P) -> Value {
    let mut envelope = envelope(dice, payload);
    envelope.job_id = Some(job_id(dice));
    envelope.trace_id = Some(trace_id(dice));
    envelope.event_seq = Some(dice.count().max(1));
    text(&envelope)
}

fn ulid(dice: &mut Dice) -> Ulid {
    Ulid::from_parts(dice.bits() >> 16, u128::from(dice.bits()))
}

fn session_id(dice: &mut Dice) -> SessionId {
    SessionId::from_ulid(ulid(dice))
}

fn job_id(dice: &mut Dice) -> JobId {
    JobId::from_ulid(ulid(dice))
}

fn message_id(dice: &mut Dice) -> MessageId {
    MessageId::from_ulid(ulid(dice))
}

fn trace_id(dice: &mut Dice) -> TraceId {
    TraceId::new(u128::from(dice.bits()) + 1).unwrap()
}

fn trace_context(dice: &mut Dice) -> TraceContext {
    TraceContext {
        trace_id: trace_id(dice),
        span_id: SpanId::new(dice.bits().max(1)).unwrap(),
        sampled: dice.flip(),
        tracestate: dice.some(|_| "a=b".to_owned()),
    }
}

fn time(dice: &mut Dice) -> Timestamp {
    Timestamp::from_millis(i64::try_from(dice.bits() % 253_402_207_200_000).unwrap())
}

fn token(dice: &mut Dice) -> String {
    format!("rt_{:064x}", u128::from(dice.bits()))
}

fn number(dice: &mut Dice) -> Number {
    match dice.bits() % 3 {
        0 => Number::from(dice.count()),
        1 => "0.0000004".parse().unwrap(),
        _ => format!("{}.{:02}", dice.count() % 1_000, dice.count() % 100).parse().unwrap(),
    }
}

fn value(dice: &mut Dice) -> Json {
    let text = dice.text();
    Json::from(match dice.bits() % 5 {
        0 => json!({ "a": [1, null, text] }),
        1 => json!(text),
        2 => json!([true, { "b": {} }]),
        3 => json!(dice.count()),
        _ => json!({}),
    })
}

fn object(dice: &mut Dice) -> Json {
    Json::from(json!({ "some": dice.text(), "none": null }))
}

fn agent(dice: &mut Dice) -> AgentRef {
    let version = dice.some(|_| "@2.0.0-rc.1+b_7");
    format!("code-refactor{}", version.unwrap_or_default()).parse().unwrap()
}

const RESOLVED: &str = "code-refactor@2.0.0-rc.1+b_7";

fn lease(dice: &mut Dice) -> Lease {
    let mut lease = Lease::empty();
    for capability in namespace::RESERVED.into_iter().chain(["x-vendor.acme.db"]) {
        let patterns = dice.some(|dice| match capability {
            namespace::COST_BUDGET => vec!["USD:5.00".to_owned(), format!("credits:{}", dice.count())],
            _ => vec!["**".to_owned(), format!("/{}*", dice.count())],
        });
        for pattern in patterns.into_iter().flatten() {
            lease = lease.grant(capability, pattern);
        }
    }
    lease
}

fn constraints(dice: &mut Dice) -> LeaseConstraints {
    LeaseConstraints { expires_at: dice.some(time) }
}

fn budget(dice: &mut Dice) -> Budget {
    let amount = format!("USD:{}.{:03}", dice.count() % 100_000, dice.count() % 1_000);
    [amount, "credits:0.0000004".to_owned()].iter().map(|amount| amount.parse().unwrap()).collect()
}

fn credential(dice: &mut Dice) -> Credential {
    Credential {
        id: CredentialId::from_ulid(ulid(dice)),
        scheme: "bearer".to_owned(),
        value: format!("sk-{}", dice.bits()).into(),
        endpoint: "https://gateway.example.com/v1".to_owned(),
        profile: dice.some(|_| "openai".to_owned()),
        constraints: dice.some(|dice| CredentialConstraints {
            cost_budget: dice.some(|_| vec!["USD:5.00".to_owned()]),
            model_use: dice.some(|_| vec!["tier-fast/*".to_owned()]),
            expires_at: dice.some(time),
        }),
    }
}

fn error(dice: &mut Dice, codes: &[ErrorCode]) -> ErrorPayload {
    let code = dice.one_of(codes);
    ErrorPayload { details: dice.some(object), ..ErrorPayload::new(code, dice.text()) }
}

fn features(dice: &mut Dice) -> arcp_runtime::proto::Features {
    Feature::KNOWN.iter().cloned().filter_map(|feature| dice.some(|_| feature)).collect()
}

fn peer(dice: &mut Dice) -> Peer {
    Peer { name: "examplectl".to_owned(), version: dice.text() }
}

fn client_capabilities(dice: &mut Dice) -> ClientCapabilities {
    // `agents` is read from one published client, and never written.
    ClientCapabilities { encodings: vec!["json".to_owned()], features: features(dice), agents: None }
}

fn sessions(dice: &mut Dice) -> Vec<Value> {
    let hello = Hello {
        client: Some(peer(dice)),
        auth: Some(Auth { scheme: "bearer".to_owned(), token: Some("tok".into()) }),
        capabilities: client_capabilities(dice),
        resume: dice.some(|dice| Resume {
            session_id: session_id(dice),
            resume_token: token(dice).into(),
            last_event_seq: dice.count(),
        }),
        // Read where some peers put them, and never written.
        resume_token: None,
        last_event_seq: None,
    };
    let mut envelope = envelope(dice, &hello);
    envelope.session_id = None;
    let resume = ResumeRequest {
        client: Some(peer(dice)),
        auth: Some(Auth { scheme: "bearer".to_owned(), token: Some("tok".into()) }),
        capabilities: client_capabilities(dice),
        // Read where some peers put it, and never written.
        resume: None,
        session_id: Some(session_id(dice)),
        resume_token: Some(token(dice).into()),
        last_event_seq: dice.count(),
    };
    let features = features(dice);
    let welcome = Welcome {
        session_id: Some(session_id(dice)),
        accepted_at: Some(time(dice)),
        runtime: Some(peer(dice)),
        resume_token: Some(token(dice).into()),
        resume_window_sec: Some(dice.count().max(1)),
        heartbeat_interval_sec: features.contains(&Feature::Heartbeat).then_some(30),
        capabilities: RuntimeCapabilities {
            encodings: vec!["json".to_owned()],
            features,
            agents: vec![AgentInfo {
                name: "code-refactor".to_owned(),
                versions: vec!["1.0.0".to_owned(), "2.0.0-rc.1+b_7".to_owned()],
                default: dice.some(|_| "1.0.0".to_owned()),
                input_schema: dice.some(|_| Json::empty_object()),
                input_schemas: [("2.0.0-rc.1+b_7".to_owned(), Json::empty_object())].into(),
            }],
        },
    };
    let refusal = Error {
        error: error(dice, ErrorCode::KNOWN),
        request_id: dice.some(message_id),
        job_id: dice.some(job_id),
    };
    let list = ListJobs {
        filter: JobFilter {
            status: dice.some(|_| JobStatus::KNOWN.to_vec()).unwrap_or_default(),
            agent: dice.some(|dice| agent(dice).to_string()),
            created_after: dice.some(time),
        },
        limit: dice.some(|dice| dice.count() % 1_000 + 1),
        cursor: dice.some(|_| "a1-b2".to_owned()),
    };
    let entry = JobEntry {
        job_id: job_id(dice),
        agent: RESOLVED.to_owned(),
        status: dice.one_of(JobStatus::KNOWN),
        lease: lease(dice),
        parent_job_id: dice.some(job_id),
        created_at: time(dice),
        trace_id: Some(trace_id(dice)),
        last_event_seq: dice.count(),
    };
    let page = Jobs {
        request_id: Some(message_id(dice)),
        jobs: vec![entry],
        next_cursor: dice.some(|_| "a1-b2".to_owned()),
    };
    let nonce = format!("p_{}", ulid(dice));
    let ping = Ping { nonce: nonce.clone(), sent_at: Some(time(dice)) };
    let pong = Pong { ping_nonce: nonce, received_at: Some(time(dice)) };
    let ack = Ack { last_processed_seq: dice.count() };
    let reason = dice.some(Dice::text);
    vec![
        text(&envelope),
        of_session(dice, &resume),
        of_session(dice, &welcome),
        of_job(dice, &refusal),
        of_session(dice, &ping),
        of_session(dice, &pong),
        of_session(dice, &ack),
        of_session(dice, &list),
        of_session(dice, &page),
        of_session(dice, &Close { reason: reason.clone() }),
        of_session(dice, &Closed { reason: reason.clone() }),
        of_session(dice, &Bye { reason }),
    ]
}

fn jobs(dice: &mut Dice) -> Vec<Value> {
    let submit = Submit {
        agent: agent(dice),
        input: dice.some(value).unwrap_or_default(),
        lease_request: lease(dice),
        lease_constraints: constraints(dice),
        idempotency_key: dice.some(|_| "refactor-auth-2026-W19".to_owned()),
        max_runtime_sec: dice.some(|dice| dice.count().max(1)),
    };
    let parent = dice.some(|dice| (job_id(dice), DelegateId::from_ulid(ulid(dice))));
    let accepted = Accepted {
        job_id: job_id(dice),
        agent: Some(RESOLVED.to_owned()),
        lease: lease(dice),
        lease_constraints: constraints(dice),
        budget: dice.some(budget),
        credentials: dice.some(credential).into_iter().collect(),
        accepted_at: Some(time(dice)),
        trace_id: Some(trace_id(dice)),
        parent_job_id: parent.clone().map(|(job_id, _)| job_id),
        delegate_id: parent.map(|(_, delegate_id)| delegate_id),
        request_id: dice.some(message_id),
    };
    let subscribe =
        Subscribe { job_id: job_id(dice), from_event_seq: dice.some(Dice::count), history: dice.flip() };
    let subscribed = Subscribed {
        job_id: job_id(dice),
        current_status: dice.one_of(JobStatus::KNOWN),
        agent: Some(RESOLVED.to_owned()),
        lease: lease(dice),
        lease_constraints: constraints(dice),
        budget: dice.some(budget),
        credentials: dice.some(credential).into_iter().collect(),
        parent_job_id: dice.some(job_id),
        trace_id: Some(trace_id(dice)),
        subscribed_from: dice.count(),
        replayed: dice.flip(),
        request_id: Some(message_id(dice)),
    };
    let inline = JobResult {
        final_status: FinalStatus::Success,
        result: Some(dice.some(value).unwrap_or_default()),
        result_id: None,
        result_size: None,
        summary: dice.some(Dice::text),
        completed_at: Some(time(dice)),
    };
    let streamed = JobResult {
        result: None,
        result_id: Some(ResultId::from_ulid(ulid(dice))),
        result_size: Some(dice.count()),
        ..inline.clone()
    };
    let final_status = dice.one_of(&[FinalStatus::Error, FinalStatus::Cancelled, FinalStatus::TimedOut]);
    let codes = match final_status {
        FinalStatus::Cancelled => &[ErrorCode::Cancelled][..],
        FinalStatus::TimedOut => &[ErrorCode::Timeout],
        _ => ErrorCode::KNOWN,
    };
    let failed = JobError { error: error(dice, codes), final_status, completed_at: Some(time(dice)) };
    let cancel = Cancel { reason: dice.some(Dice::text), job_id: dice.some(job_id) };
    let cancelled = Cancelled { reason: dice.some(Dice::text), request_id: Some(message_id(dice)) };
    let unsubscribe = Unsubscribe { job_id: job_id(dice) };
    let mut with_place = envelope(dice, &accepted);
    (with_place.job_id, with_place.trace_id) = (Some(accepted.job_id.clone()), accepted.trace_id);
    if let Some(index) = dice.some(Dice::count) {
        with_place.extensions.insert_next_index(index);
    }
    let mut attached = envelope(dice, &subscribed);
    (attached.job_id, attached.trace_id) = (Some(subscribed.job_id.clone()), subscribed.trace_id);
    vec![
        of_session(dice, &submit),
        text(&with_place),
        numbered(dice, &inline),
        numbered(dice, &streamed),
        numbered(dice, &failed),
        of_job(dice, &cancel),
        of_job(dice, &cancelled),
        of_job(dice, &subscribe),
        text(&attached),
        of_job(dice, &unsubscribe),
    ]
}

fn event(dice: &mut Dice, kind: EventKind, body: &impl Serialize) -> Value {
    let event = Event { kind, ts: time(dice), body: Json::encode(body).unwrap() };
    numbered(dice, &event)
}

fn events(dice: &mut Dice) -> Vec<Value> {
    let call_id = CallId::from_ulid(ulid(dice));
    let levels = ["trace", "debug", "info", "warn", "error"].map(LogLevel::from);
    let log = Log { level: dice.one_of(&levels), message: dice.text() };
    let thought = Thought { text: dice.text() };
    let call = ToolCall { tool: dice.text(), args: value(dice), call_id: call_id.clone() };
    let result = ToolOutcome::Result(dice.some(value).unwrap_or_default());
    let result = ToolResult { call_id: call_id.clone(), outcome: result };
    let refused = ToolResult { call_id, outcome: ToolOutcome::Error(error(dice, ErrorCode::KNOWN)) };
    let status =
        Status { phase: "back_pressure".to_owned(), message: dice.some(Dice::text), id: None, value: None };
    let rotated = Status {
        phase: "credential_rotated".to_owned(),
        message: dice.some(Dice::text),
        id: Some(CredentialId::from_ulid(ulid(dice))),
        value: dice.some(|dice| format!("sk-{}", dice.bits()).into()),
    };
    let metric = Metric {
        name: "cost.inference".to_owned(),
        value: number(dice),
        unit: dice.some(|_| "USD".to_owned()),
        dimensions: dice.some(|dice| [("model".to_owned(), value(dice))].into()),
    };
    let artifact = ArtifactRef {
        uri: "arcp://artifacts/report.html".to_owned(),
        content_type: Some("text/html".to_owned()),
        byte_size: dice.some(Dice::count),
        sha256: dice.some(|dice| format!("{:064x}", dice.bits())),
    };
    let delegate = Delegate {
        delegate_id: Some(DelegateId::from_ulid(ulid(dice))),
        agent: agent(dice).to_string(),
        input: Some(value(dice)),
        lease_request: dice.some(lease),
        lease_constraints: dice.some(constraints),
        child_job_id: dice.some(job_id),
    };
    let progress = Progress {
        current: number(dice),
        total: dice.some(number),
        units: dice.some(|_| "files".to_owned()),
        message: dice.some(Dice::text),
    };
    let encoding = dice.one_of(ChunkEncoding::KNOWN);
    let data = dice.text();
    let chunk = ResultChunk {
        result_id: ResultId::from_ulid(ulid(dice)),
        chunk_seq: dice.count(),
        data: if encoding == ChunkEncoding::Base64 { to_base64(data.as_bytes()).into() } else { data.into() },
        encoding,
        more: dice.flip(),
    };
    let missed = json!({ "next_index": dice.count() });
    vec![
        event(dice, EventKind::Log, &log),
        event(dice, EventKind::Thought, &thought),
        event(dice, EventKind::ToolCall, &call),
        event(dice, EventKind::ToolResult, &result),
        event(dice, EventKind::ToolResult, &refused),
        event(dice, EventKind::Status, &status),
        event(dice, EventKind::Status, &rotated),
        event(dice, EventKind::Metric, &metric),
        event(dice, EventKind::ArtifactRef, &artifact),
        event(dice, EventKind::Delegate, &delegate),
        event(dice, EventKind::Progress, &progress),
        event(dice, EventKind::ResultChunk, &chunk),
        event(dice, EventKind::from(MISSED), &missed),
        event(dice, EventKind::from("x-vendor.acme.note"), &json!({ "any": [null] })),
    ]
}
