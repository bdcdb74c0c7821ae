//! What was negotiated and what was not (§6.2).

use arcp_proto::event::EventKind;
use serde_json::json;

use crate::host::Host;
use crate::peer::{Peer, hello, message, numbers, types};

pub(crate) fn join_with(host: &mut Host, features: serde_json::Value) -> (Peer, serde_json::Value) {
    join_as(host, "alice", features)
}

pub(crate) fn join_as(host: &mut Host, who: &str, features: serde_json::Value) -> (Peer, serde_json::Value) {
    let mut peer = host.connect();
    let mut payload = hello(who);
    payload["capabilities"]["features"] = features;
    peer.sends(host, &message("h", "session.hello", payload));
    let welcome = peer.hears_one(host);
    peer.session = welcome["session_id"].as_str().unwrap().to_owned();
    peer.token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    peer.who = who.to_owned();
    (peer, welcome["payload"]["capabilities"]["features"].clone())
}

fn progress(host: &mut Host, job: &str) {
    host.emit_body(job, EventKind::Progress, &json!({ "current": 1 })).unwrap();
}

#[test]
fn a_session_has_what_both_sides_named() {
    let mut host = Host::new();
    let all =
        json!(["provisioned_credentials", "heartbeat", "progress", "x-vendor.acme.more", "agent_versions"]);
    assert_eq!(join_with(&mut host, all).1, json!(["heartbeat", "progress", "agent_versions"]));
    assert_eq!(join_with(&mut host, json!([])).1, json!([]));
    assert_eq!(join_with(&mut host, json!(null)).1, json!([]));
}

#[test]
fn progress_is_withheld_where_it_was_not_negotiated_and_leaves_no_gap() {
    let mut host = Host::new();
    let (mut plain, _) = join_with(&mut host, json!([]));
    let (mut rich, _) = join_with(&mut host, json!(["progress"]));
    for (peer, expected) in [(&mut plain, 3), (&mut rich, 5)] {
        let job = peer.starts_job(&mut host);
        host.emits(&job, &["a"]);
        progress(&mut host, &job);
        host.emits(&job, &["b"]);
        progress(&mut host, &job);
        host.succeed(&job);
        let frames = peer.hears(&mut host);
        assert_eq!(numbers(&frames), (1..=expected).collect::<Vec<_>>());
        let seen = frames.iter().filter(|frame| frame["payload"]["kind"] == "progress").count();
        assert_eq!(seen as u64, expected - 3);
    }
}

#[test]
fn what_was_withheld_stays_withheld_in_a_replay() {
    let mut host = Host::new();
    let (mut peer, _) = join_with(&mut host, json!([]));
    let job = peer.starts_job(&mut host);
    host.cut(&peer);
    progress(&mut host, &job);
    host.emits(&job, &["a"]);
    progress(&mut host, &job);
    host.succeed(&job);
    let peer = peer.resumes(&mut host, 0);
    let frames = peer.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.result"]);
    assert_eq!(numbers(&frames), [1, 2]);
}

#[test]
fn features_that_were_not_negotiated_cannot_be_used() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let job = peer.starts_job(&mut host);
    for request in ["session.list_jobs", "job.subscribe", "job.unsubscribe"] {
        let id = peer.asks(&mut host, request, json!({ "job_id": job }));
        peer.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    }
    peer.asks(&mut host, "session.ack", json!({ "last_processed_seq": 0 }));
    peer.hears_nothing(&mut host);
}
