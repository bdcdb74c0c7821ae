//! Signs of life (§6.4), on the runtime's side.

use arcp_core::Incoming;
use serde_json::json;

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, message, texts, types};

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["heartbeat"])).0
}

#[test]
fn the_interval_is_told_where_it_was_negotiated_and_only_there() {
    let mut host = Host::with(|config| config.limits.heartbeat_interval = seconds(7));
    for (features, told) in [(json!(["heartbeat"]), json!(7)), (json!([]), json!(null))] {
        let mut payload = crate::peer::hello("alice");
        payload["capabilities"]["features"] = features;
        let peer = host.connect();
        peer.sends(&mut host, &crate::peer::message("h", "session.hello", payload));
        assert_eq!(peer.hears_one(&mut host)["payload"]["heartbeat_interval_sec"], told);
    }
}

#[test]
fn a_silent_runtime_shows_life_once_an_interval() {
    let mut host = Host::new();
    let mut peer = join(&mut host);
    host.wait(seconds(29));
    peer.hears_nothing(&mut host);
    host.wait(seconds(1));
    let ping = peer.hears_one(&mut host);
    assert_eq!(ping["type"], "session.ping");
    assert!(ping["payload"]["nonce"].as_str().unwrap().starts_with("p_") && ping.get("event_seq").is_none());
    peer.asks(&mut host, "session.pong", json!({ "ping_nonce": ping["payload"]["nonce"] }));
    host.wait(seconds(30));
    assert_eq!(types(&peer.hears(&mut host)), ["session.ping"]);
}

#[test]
fn whoever_speaks_need_not_ping() {
    let mut host = Host::new();
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    for _ in 0..5 {
        host.wait(seconds(20));
        host.emits(&job, &["still here"]);
        peer.asks(&mut host, "x-vendor.acme.hum", json!({}));
        assert_eq!(types(&peer.hears(&mut host)), ["job.event"]);
    }
}

#[test]
fn a_peer_that_is_silent_for_two_intervals_is_disconnected_and_its_session_kept() {
    let mut host = Host::new();
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    host.wait(seconds(59));
    assert_eq!(peer.close_code(&host), None);
    host.emits(&job, &["before"]);
    host.wait(seconds(1));
    let last = peer.hears(&mut host).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["payload"]["code"]),
        (&json!("session.error"), &json!("HEARTBEAT_LOST"))
    );
    assert_eq!(last["payload"]["retryable"], false);
    assert_eq!(peer.close_code(&host), Some(4408));
    host.emits(&job, &["after"]);
    let again = peer.resumes(&mut host, 0);
    assert_eq!(texts(&again.hears(&mut host)), ["before", "after"]);
    assert!(host.stopped.is_empty() && host.aborted.is_empty(), "the job is none the worse");
}

#[test]
fn anything_that_comes_in_counts_as_life() {
    let mut host = Host::new();
    let peer = join(&mut host);
    for text in ["not json", r#"{"arcp":"1.1","id":"x","type":"x-vendor.a.b","payload":{}}"#] {
        host.wait(seconds(45));
        peer.sends_text(&mut host, text);
    }
    host.wait(seconds(45));
    assert_eq!(peer.close_code(&host), None);
}

#[test]
fn without_the_feature_nobody_pings_and_nobody_is_disconnected() {
    let mut host = Host::new();
    let peer = host.join("alice");
    host.wait(seconds(10_000));
    peer.hears_nothing(&mut host);
    assert_eq!(peer.close_code(&host), None);
}

#[test]
fn a_peer_that_takes_nothing_is_not_sent_a_second_ping_before_an_interval_is_over() {
    let mut host = Host::new();
    let peer = join(&mut host);
    host.stall(&peer);
    host.wait(seconds(45));
    host.unstall(&peer);
    assert_eq!(types(&peer.hears(&mut host)), ["session.ping"]);
}

#[test]
fn no_timer_is_left_of_a_connection() {
    let mut host = Host::new();
    let peer = join(&mut host);
    host.wait(seconds(31));
    host.cut(&peer);
    host.wait(seconds(601));
    assert_eq!(host.machine.poll_timeout(), None);
}

#[test]
fn the_silence_of_a_peer_that_is_not_read_says_nothing() {
    let mut host = Host::new();
    let peer = join(&mut host);
    host.wait(seconds(50));
    let reads = |host: &mut Host, reads| host.machine.handle_reading(host.clock.now(), peer.key, reads);
    reads(&mut host, false);
    host.wait(seconds(1_000));
    assert_eq!(peer.close_code(&host), None);
    let heard = peer.hears(&mut host);
    assert!(heard.len() > 30 && types(&heard).iter().all(|kind| *kind == "session.ping"), "{heard:#?}");
    reads(&mut host, true);
    host.wait(seconds(59));
    assert_eq!(peer.close_code(&host), None, "it is given as long as anybody to say something");
    host.wait(seconds(1));
    assert_eq!(peer.close_code(&host), Some(4408));
}

#[test]
fn what_shows_life_acknowledges_or_cancels_is_urgent_and_nothing_else_is() {
    let is_urgent = |kind: &str, payload| Incoming::text(message("m", kind, payload).to_string()).is_urgent();
    let nonce = json!({ "nonce": "n", "sent_at": crate::host::START });
    for (kind, payload) in [
        ("session.ping", nonce),
        ("session.pong", json!({ "ping_nonce": "n" })),
        ("session.ack", json!({ "last_processed_seq": 7 })),
        ("job.cancel", json!({})),
    ] {
        assert!(is_urgent(kind, payload), "{kind}");
    }
    for (kind, payload) in [
        ("session.ping", json!([])),
        ("session.ack", json!({ "last_processed_seq": "x" })),
        ("session.list_jobs", json!({})),
        ("job.submit", json!({ "agent": "echo" })),
        ("session.close", json!({})),
        ("x-vendor.acme.hum", json!({})),
    ] {
        assert!(!is_urgent(kind, payload), "{kind}");
    }
    assert!(!Incoming::text("{").is_urgent() && !Incoming::binary(1).is_urgent());
}
