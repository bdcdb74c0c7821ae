//! Streamed results (§8.4).

use arcp_core::runtime::{Draft, EmitError, Flow, Outcome};
use arcp_proto::event::{ChunkEncoding, EventKind, ResultChunk};
use arcp_proto::{Json, ResultId};
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::Host;
use crate::peer::{Peer, types};

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["result_chunk"])).0
}

/// An agent that streams.
struct Stream<'a> {
    job: &'a str,
    id: ResultId,
    encoding: ChunkEncoding,
    chunks: u64,
}

fn begin<'a>(host: &mut Host, job: &'a str, encoding: ChunkEncoding) -> Stream<'a> {
    let (now, key) = (host.now(), host.key_of(job));
    let id = host.machine.begin_result(now, key, encoding.clone()).unwrap();
    Stream { job, id, encoding, chunks: 0 }
}

impl Stream<'_> {
    fn writes(
        &mut self,
        host: &mut Host,
        data: &[u8],
        last: Option<Option<String>>,
    ) -> Result<Flow, EmitError> {
        let (now, key) = (host.now(), host.key_of(self.job));
        let (id, more) = (self.id.clone(), last.is_none());
        let chunk = match self.encoding {
            ChunkEncoding::Utf8 => {
                ResultChunk::text(id, self.chunks, std::str::from_utf8(data).unwrap(), more)
            }
            _ => ResultChunk::bytes(id, self.chunks, data, more),
        };
        let draft = Draft::new(EventKind::ResultChunk, now.wall, &chunk).unwrap();
        let flow = host.machine.emit_chunk(now, key, draft, data, last)?;
        self.chunks += 1;
        host.settle();
        Ok(flow)
    }
}

fn returns(host: &mut Host, job: &str, value: Value) {
    host.finish(job, Outcome::Success(Json::from(value)));
}

#[test]
fn chunks_come_in_order_and_the_result_names_them() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut stream = begin(&mut host, &job, ChunkEncoding::Utf8);
    stream.writes(&mut host, "häl".as_bytes(), None).unwrap();
    stream.writes(&mut host, b"lo", Some(Some("in 2 chunks".to_owned()))).unwrap();
    returns(&mut host, &job, json!(null));
    let frames = alice.hears(&mut host);
    let bodies: Vec<_> = frames[..2].iter().map(|frame| &frame["payload"]["body"]).collect();
    assert_eq!(
        (&bodies[0]["chunk_seq"], &bodies[0]["data"], &bodies[0]["more"]),
        (&json!(0), &json!("häl"), &json!(true))
    );
    assert_eq!(
        (&bodies[1]["chunk_seq"], &bodies[1]["more"], &bodies[1]["encoding"]),
        (&json!(1), &json!(false), &json!("utf8"))
    );
    let result = &frames[2]["payload"];
    assert_eq!((&result["result_id"], &result["result_size"]), (&bodies[0]["result_id"], &json!(6)));
    assert_eq!((&result["summary"], result.get("result")), (&json!("in 2 chunks"), None));
}

#[test]
fn who_cannot_take_chunks_is_sent_the_result_inline_also_if_it_comes_late() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    begin(&mut host, &job, ChunkEncoding::Utf8).writes(&mut host, b"all of it", Some(None)).unwrap();
    returns(&mut host, &job, Value::Null);
    let mut late = join_with(&mut host, json!(["subscribe"])).0;
    late.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    let end = late.hears(&mut host).pop().unwrap();
    assert_eq!((&end["type"], &end["payload"]["result"]), (&json!("job.result"), &json!("all of it")));
}

#[test]
fn a_session_without_the_feature_is_sent_the_result_inline() {
    let cases: [(ChunkEncoding, &[u8], Value); 2] = [
        (ChunkEncoding::Utf8, b"abcd", json!("abcd")),
        (ChunkEncoding::Base64, &[0, 255, 1, 2], json!("AP8BAg==")),
    ];
    for (encoding, data, inline) in cases {
        let mut host = Host::new();
        let mut plain = host.join("alice");
        let job = plain.starts_job(&mut host);
        let mut stream = begin(&mut host, &job, encoding);
        stream.writes(&mut host, &data[..2], None).unwrap();
        stream.writes(&mut host, &data[2..], Some(None)).unwrap();
        returns(&mut host, &job, json!(null));
        let end = plain.hears_one(&mut host);
        assert_eq!((&end["type"], &end["event_seq"]), (&json!("job.result"), &json!(1)));
        assert_eq!((&end["payload"]["result"], end["payload"].get("result_id")), (&inline, None));
    }
}

#[test]
fn a_result_too_large_to_be_inline_names_the_feature_where_that_is_missing() {
    let mut host = Host::with(|config| config.limits.payload_bytes = 300);
    let mut plain = host.join("alice");
    let submit = json!({ "agent": "echo", "idempotency_key": "k" });
    let job = plain.starts(&mut host, submit.clone());
    let mut rich = join(&mut host);
    rich.starts(&mut host, submit);
    let mut stream = begin(&mut host, &job, ChunkEncoding::Utf8);
    for _ in 0..4 {
        stream.writes(&mut host, &[b'x'; 100], None).unwrap();
    }
    stream.writes(&mut host, b"", Some(None)).unwrap();
    returns(&mut host, &job, json!(null));
    let end = plain.hears_one(&mut host);
    assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("INTERNAL_ERROR")));
    assert!(end["payload"]["message"].as_str().unwrap().contains("result_chunk"), "{end}");
    let frames = rich.hears(&mut host);
    assert_eq!((frames.len(), &frames[5]["payload"]["result_size"]), (6, &json!(400)));
}

#[test]
fn inline_and_streamed_are_never_mixed_and_what_was_begun_must_be_finished() {
    for (finished, returned) in [(true, json!("inline too")), (false, json!(null)), (false, json!(1))] {
        let mut host = Host::new();
        let mut alice = join(&mut host);
        let job = alice.starts_job(&mut host);
        let mut stream = begin(&mut host, &job, ChunkEncoding::Utf8);
        stream.writes(&mut host, b"x", finished.then_some(None)).unwrap();
        returns(&mut host, &job, returned);
        let end = alice.hears(&mut host).pop().unwrap();
        assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("INTERNAL_ERROR")));
    }
}

#[test]
fn caps_end_the_job_even_if_its_agent_goes_on() {
    for (chunk, result) in [(3, 100), (100, 3)] {
        let mut host = Host::with(|config| {
            (config.limits.chunk_bytes, config.limits.result_bytes) = (chunk, result);
        });
        let mut alice = join(&mut host);
        let job = alice.starts_job(&mut host);
        let mut stream = begin(&mut host, &job, ChunkEncoding::Utf8);
        assert_eq!(stream.writes(&mut host, b"abcd", None), Err(EmitError::TooLarge { bytes: 4, limit: 3 }));
        stream.writes(&mut host, b"ab", Some(None)).unwrap();
        returns(&mut host, &job, json!(null));
        let end = alice.hears(&mut host).pop().unwrap();
        assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("INTERNAL_ERROR")));
    }
}

#[test]
fn a_job_streams_once() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut stream = begin(&mut host, &job, ChunkEncoding::Utf8);
    let (now, key) = (host.now(), host.key_of(&job));
    let again = host.machine.begin_result(now, key, ChunkEncoding::Utf8);
    assert_eq!(again, Err(EmitError::AlreadyStreaming));
    stream.writes(&mut host, b"x", Some(None)).unwrap();
    assert_eq!(stream.writes(&mut host, b"y", None), Err(EmitError::NotStreaming));
}

#[test]
fn an_agent_that_fails_half_way_ends_in_its_own_error() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    begin(&mut host, &job, ChunkEncoding::Utf8).writes(&mut host, b"x", None).unwrap();
    host.fail(&job, arcp_proto::ErrorCode::from("QUOTA"), "no more");
    let frames = alice.hears(&mut host);
    assert_eq!(
        (types(&frames), &frames[1]["payload"]["code"]),
        (vec!["job.event", "job.error"], &json!("QUOTA"))
    );
}
