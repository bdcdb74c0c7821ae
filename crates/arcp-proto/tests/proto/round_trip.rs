//! Properties: what is written is read again as it was, and no input brings a reader down.

use arcp_proto::event::{Event, EventKind};
use arcp_proto::job::{Accepted, FinalStatus, JobError, JobResult, JobStatus, Submit, Subscribe};
use arcp_proto::session::{Ack, ClientCapabilities, Hello, JobFilter, ListJobs, Peer, Resume, Welcome};
use arcp_proto::{
    AgentRef, BudgetAmount, Envelope, ErrorCode, ErrorPayload, Feature, Features, JobId, Json, Lease,
    LeaseConstraints, MessageId, MessageType, Number, Payload, SessionId, SpanId, Timestamp, TraceContext,
    TraceId, Ulid,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

/// The largest integer that the wire holds.
const LARGEST: u64 = i64::MAX as u64;

fn word() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,40}"
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..=LARGEST]
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn real_time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000_i64..253_402_207_200_000).prop_map(Timestamp::from_millis)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A value that is there: `null` reads as absent where a field is optional.
fn json() -> impl Strategy<Value = Json> {
    value().prop_filter("null is absent", |value| !value.is_null()).prop_map(Json::from)
}

fn object() -> impl Strategy<Value = Json> {
    btree_map(any::<String>(), value(), 0..4)
        .prop_map(|members| Json::from(Value::Object(members.into_iter().collect())))
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1..=u128::MAX).prop_map(|value| TraceId::new(value).unwrap())
}

fn agent() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9._-]{0,20}(@[a-zA-Z0-9.+_-]{1,20})?"
}

fn amount() -> impl Strategy<Value = String> {
    "[1-9][0-9]{0,12}(\\.[0-9]{1,12})?"
}

fn lease() -> impl Strategy<Value = Lease> {
    btree_map(any::<String>(), vec(any::<String>(), 1..4), 0..5).prop_map(|grants| {
        grants
            .iter()
            .flat_map(|(namespace, patterns)| patterns.iter().map(move |pattern| (namespace, pattern)))
            .fold(Lease::empty(), |lease, (namespace, pattern)| lease.grant(namespace, pattern))
    })
}

fn error() -> impl Strategy<Value = ErrorPayload> {
    (any::<String>(), any::<String>(), any::<bool>(), of(object())).prop_map(
        |(code, message, retryable, details)| {
            let code =
                if code.is_empty() { ErrorCode::InternalError } else { ErrorCode::from(code.as_str()) };
            ErrorPayload { retryable, details, ..ErrorPayload::new(code, message) }
        },
    )
}

/// Puts a payload into an envelope and reads it again on the other side.
fn over_the_wire<P: Payload>(payload: &P) -> P {
    let frame = Envelope::new("m1".parse().unwrap(), payload).encode();
    let envelope = Envelope::decode(frame).unwrap();
    assert_eq!(envelope.message_type, P::TYPE);
    envelope.message().expect("the message is known");
    envelope.payload.decode().unwrap()
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        let _ = Envelope::decode(text.as_str());
        let _ = Json::parse(text.as_str());
        let _ = text.parse::<AgentRef>();
        let _ = text.parse::<Timestamp>();
        let _ = text.parse::<BudgetAmount>();
        let _ = text.parse::<TraceContext>();
        let _ = text.parse::<TraceId>();
        let _ = text.parse::<Number>();
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Envelope::decode(String::from_utf8_lossy(&bytes).into_owned());
    }

    #[test]
    fn a_frame_with_bytes_changed_is_read_without_a_panic(
        at in any::<prop::sample::Index>(), with in "[ -~]{0,3}", kind in 0..22_usize,
    ) {
        let name = MessageType::KNOWN[kind].as_str();
        let frame = format!(
            r#"{{"arcp":"1.1","id":"m","type":"{name}","event_seq":3,"payload":{{"job_id":"j","kind":"log","ts":"2026-05-13T19:42:13Z","body":{{"level":"info","message":"m"}},"code":"X","lease":{{"fs.read":["a"]}},"budget":{{"USD":1}}}}}}"#
        );
        let mut changed = frame.clone();
        let at = at.index(frame.len());
        changed.replace_range(at..at + 1, &with);
        if let Ok(envelope) = Envelope::decode(changed) {
            let _ = envelope.message();
            prop_assert!(Envelope::decode(envelope.encode()).is_ok());
        }
    }

    #[test]
    fn an_almost_right_time_is_read_without_a_panic(
        text in "[0-9+-]{4,5}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?(Z|z|[+-][0-9]{2}:[0-9]{2})",
    ) {
        if let Ok(time) = text.parse::<Timestamp>() {
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn an_envelope_survives(
        id in word(), name in word(), session in of(word()), job in of(word()), trace in of(trace_id()),
        seq in of(1..=LARGEST), payload in object(), extensions in btree_map(any::<String>(), json(), 0..4),
        unknown in btree_map("later_[a-z]{1,8}", value(), 0..4),
    ) {
        let mut envelope =
            Envelope::with_payload(id.parse().unwrap(), MessageType::from(name.as_str()), payload);
        envelope.session_id = session.map(|session| session.parse().unwrap());
        envelope.job_id = job.map(|job| job.parse().unwrap());
        envelope.trace_id = trace;
        envelope.event_seq = seq;
        for (name, value) in extensions {
            envelope.extensions.insert(name, value);
        }
        envelope.unknown =
            unknown.into_iter().map(|(name, value)| (name.into(), Json::from(value))).collect();
        let text = envelope.encode();
        prop_assert!(!text.contains(['\n', '\r']));
        let read = Envelope::decode(text.clone()).unwrap();
        prop_assert_eq!(&read.id, &envelope.id);
        prop_assert_eq!(&read.message_type, &envelope.message_type);
        prop_assert_eq!(&read.session_id, &envelope.session_id);
        prop_assert_eq!(&read.job_id, &envelope.job_id);
        prop_assert_eq!(read.trace_id, envelope.trace_id);
        prop_assert_eq!(read.event_seq, envelope.event_seq);
        prop_assert_eq!(&read.extensions, &envelope.extensions);
        prop_assert_eq!(&read.payload, &envelope.payload);
        prop_assert_eq!(&read.unknown, &envelope.unknown);
        prop_assert_eq!(read.encode(), text);
    }

    #[test]
    fn a_handshake_survives(
        name in any::<String>(), version in any::<String>(), token in of(any::<String>()),
        encodings in vec(any::<String>(), 0..3), features in vec(any::<String>(), 0..6),
        resume in of((word(), any::<String>(), count())), window in of(count()), at in of(time()),
    ) {
        let features: Features = features.iter().map(|name| Feature::from(name.as_str())).collect();
        let resume = resume.map(|(session, token, last_event_seq)| Resume {
            session_id: session.parse().unwrap(), resume_token: token.into(), last_event_seq,
        });
        let hello = Hello {
            client: Some(Peer { name: name.clone(), version: version.clone() }),
            auth: token.clone().map(|token| arcp_proto::session::Auth::bearer(token.into())),
            capabilities: ClientCapabilities { encodings, features: features.clone(), agents: None },
            resume,
            ..Hello::default()
        };
        prop_assert_eq!(&over_the_wire(&hello), &hello);
        let mut welcome = over_the_wire(&Welcome {
            session_id: None, accepted_at: at, runtime: Some(Peer { name, version }),
            resume_token: token.map(Into::into), resume_window_sec: window, heartbeat_interval_sec: window,
            capabilities: Default::default(),
        });
        prop_assert_eq!(welcome.accepted_at, at);
        welcome.capabilities.features = features;
        prop_assert_eq!(&over_the_wire(&welcome), &welcome);
    }

    #[test]
    fn a_submit_and_its_answer_survive(
        agent in agent(), input in json(), lease in lease(), expires in of(time()), key in of(any::<String>()),
        limit in of(count()), job in word(), trace in of(trace_id()),
        budget in btree_map("[A-Za-z0-9._-]{1,10}", amount(), 0..4),
    ) {
        let mut submit = Submit::new(agent.parse().unwrap(), input);
        submit.lease_request = lease.clone();
        submit.lease_constraints = LeaseConstraints { expires_at: expires };
        submit.idempotency_key = key;
        submit.max_runtime_sec = limit;
        let read = over_the_wire(&submit);
        prop_assert_eq!(&read.agent, &submit.agent);
        prop_assert_eq!(&read.input, &submit.input);
        prop_assert_eq!(&read.lease_request, &submit.lease_request);
        prop_assert_eq!(&read.lease_constraints, &submit.lease_constraints);
        prop_assert_eq!(&read.idempotency_key, &submit.idempotency_key);
        prop_assert_eq!(read.max_runtime_sec, submit.max_runtime_sec);

        let counters = budget.iter().map(|(currency, amount)| {
            format!("{currency}:{amount}").parse::<BudgetAmount>().unwrap()
        });
        let accepted = Accepted {
            job_id: job.parse().unwrap(), agent: Some(agent), lease, budget: Some(counters.collect()),
            lease_constraints: submit.lease_constraints, credentials: vec![], accepted_at: expires,
            trace_id: trace, parent_job_id: Some(job.parse().unwrap()), delegate_id: None, request_id: None,
        };
        prop_assert_eq!(&over_the_wire(&accepted), &accepted);
    }

    #[test]
    fn the_end_of_a_job_survives(
        status in any::<String>(), result in of(json()), size in of(count()), id in of(word()), at in of(time()),
        summary in of(any::<String>()), error in error(),
    ) {
        let result = JobResult {
            final_status: FinalStatus::from(status.as_str()), result,
            result_id: id.map(|id| id.parse().unwrap()), result_size: size, summary, completed_at: at,
        };
        prop_assert_eq!(&over_the_wire(&result), &result);
        let error = JobError { final_status: FinalStatus::from(status.as_str()), error, completed_at: at };
        prop_assert_eq!(&over_the_wire(&error), &error);
    }

    #[test]
    fn requests_survive(
        statuses in vec(any::<String>(), 0..4), agent in of(any::<String>()), after in of(time()),
        limit in of(count()), cursor in of(any::<String>()), seq in count(), history in any::<bool>(),
        job in word(),
    ) {
        let status = statuses.iter().map(|word| JobStatus::from(word.as_str())).collect();
        let list = ListJobs { filter: JobFilter { status, agent, created_after: after }, limit, cursor };
        prop_assert_eq!(&over_the_wire(&list), &list);
        let ack = Ack { last_processed_seq: seq };
        prop_assert_eq!(over_the_wire(&ack), ack);
        let subscribe = Subscribe { job_id: job.parse().unwrap(), from_event_seq: limit, history };
        prop_assert_eq!(&over_the_wire(&subscribe), &subscribe);
    }

    #[test]
    fn an_event_of_any_kind_survives(kind in any::<String>(), at in time(), body in json()) {
        let event = Event::new(EventKind::from(kind.as_str()), at, body);
        let read = over_the_wire(&event);
        prop_assert_eq!((&read.kind, read.ts, &read.body), (&event.kind, event.ts, &event.body));
        prop_assert_eq!(read.kind.as_str(), kind);
    }

    #[test]
    fn words_that_are_unknown_survive(word in any::<String>()) {
        prop_assert_eq!(Feature::from(word.as_str()).to_string(), word.as_str());
        prop_assert_eq!(EventKind::from(word.as_str()).to_string(), word.as_str());
        prop_assert_eq!(ErrorCode::from(word.as_str()).to_string(), word.as_str());
        prop_assert_eq!(JobStatus::from(word.as_str()).to_string(), word.as_str());
        prop_assert_eq!(MessageType::from(word.as_str()).to_string(), word.as_str());
        let text = serde_json::to_string(&ErrorCode::from(word.as_str())).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), word);
    }

    #[test]
    fn ids_survive(text in word(), time in 0..(1_u64 << 48), random in any::<u128>()) {
        let id: MessageId = text.parse().unwrap();
        prop_assert_eq!(id.as_str(), &text);
        let ulid = Ulid::from_parts(time, random);
        for own in [JobId::from_ulid(ulid).to_string(), SessionId::from_ulid(ulid).to_string()] {
            prop_assert_eq!(own.parse::<JobId>().unwrap().to_string(), own);
        }
    }

    #[test]
    fn agent_refs_survive(text in agent()) {
        prop_assert_eq!(text.parse::<AgentRef>().unwrap().to_string(), text);
    }

    #[test]
    fn amounts_survive(currency in "[A-Za-z0-9._-]{1,32}", amount in amount(), sign in "-?") {
        let pattern = format!("{currency}:{amount}");
        prop_assert_eq!(pattern.parse::<BudgetAmount>().unwrap().to_string(), pattern);
        let number: Number = format!("{sign}{amount}").parse().unwrap();
        prop_assert_eq!(Number::from(number.to_amount().unwrap()), number);
    }

    #[test]
    fn sums_of_amounts_are_exact(left in amount(), right in amount()) {
        let [left, right] = [left, right].map(|text| text.parse::<arcp_proto::Amount>().unwrap());
        let sum = left.checked_add(right).unwrap();
        prop_assert_eq!(sum.checked_sub(right), Some(left));
        prop_assert_eq!(sum.checked_sub(left), Some(right));
    }

    #[test]
    fn an_exponent_moves_the_point(digits in 1..1_000_000_u64, exponent in -20..20_i32) {
        let moved: Number = format!("{digits}e{exponent}").parse().unwrap();
        let back: Number = format!("{}e{}", moved.to_amount().unwrap(), -exponent).parse().unwrap();
        prop_assert_eq!(back.to_amount().unwrap(), Number::from(digits).to_amount().unwrap());
    }

    #[test]
    fn times_survive(at in real_time()) {
        prop_assert_eq!(at.to_string().parse(), Ok(at));
        prop_assert_eq!(Timestamp::parse_utc(&at.to_string()), Ok(at));
        prop_assert_eq!(Timestamp::from_millis(at.as_millis()), at);
    }

    #[test]
    fn trace_contexts_survive(
        trace_id in trace_id(), span in 1..=u64::MAX, sampled in any::<bool>(), tracestate in of("[!-~]{1,40}"),
    ) {
        let context = TraceContext { trace_id, span_id: SpanId::new(span).unwrap(), sampled, tracestate };
        let json = Json::encode(&context).unwrap();
        prop_assert_eq!(&json.decode::<TraceContext>().unwrap(), &context);
        prop_assert_eq!(context.to_string().parse::<TraceId>(), Ok(trace_id));
    }

    #[test]
    fn numbers_survive(float in any::<f64>(), int in any::<i64>()) {
        prop_assert_eq!(Number::from(int).to_string().parse(), Ok(Number::from(int)));
        if let Ok(number) = Number::try_from(float) {
            prop_assert_eq!(number.as_f64(), float);
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Number>(&text).unwrap(), number);
        } else {
            prop_assert!(!float.is_finite());
        }
    }

    #[test]
    fn a_lease_with_any_namespace_survives(lease in lease()) {
        prop_assert_eq!(Json::encode(&lease).unwrap().decode::<Lease>().unwrap(), lease);
    }
}
