//! Acknowledgements and lag (§6.5).

use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::Host;
use crate::peer::{Peer, numbers};

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["ack"])).0
}

fn acks(peer: &mut Peer, host: &mut Host, seq: u64) {
    peer.asks(host, "session.ack", json!({ "last_processed_seq": seq }));
}

fn lags(frames: &[Value]) -> Vec<&str> {
    let told = |frame: &&Value| frame["payload"]["body"]["phase"] == "back_pressure";
    frames.iter().filter(told).map(|frame| frame["payload"]["body"]["message"].as_str().unwrap()).collect()
}

#[test]
fn what_was_processed_is_not_kept_and_the_rest_is() {
    let mut host = Host::new();
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    host.emits(&job, &["1", "2", "3", "4"]);
    acks(&mut peer, &mut host, 3);
    assert_eq!(host.machine.census().kept, 1);
    host.cut(&peer);
    let mut late = host.connect();
    late.resumes_with(&mut host, "alice", &peer.session, &peer.token, 2);
    assert_eq!(late.hears_one(&mut host)["payload"]["code"], "RESUME_WINDOW_EXPIRED");
    let again = peer.resumes(&mut host, 3);
    assert_eq!(numbers(&again.hears(&mut host)), [4]);
}

#[test]
fn a_number_that_makes_no_sense_frees_nothing_that_was_not_sent() {
    let mut host = Host::new();
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    host.stall(&peer);
    host.emits(&job, &["1", "2"]);
    acks(&mut peer, &mut host, u64::try_from(i64::MAX).unwrap());
    host.unstall(&peer);
    assert_eq!(numbers(&peer.hears(&mut host)), [1, 2]);
    acks(&mut peer, &mut host, 2);
    acks(&mut peer, &mut host, 1);
    assert_eq!(host.machine.census().kept, 0);
    host.emits(&job, &["3"]);
    assert_eq!(numbers(&peer.hears(&mut host)), [3]);
}

#[test]
fn acknowledgements_that_were_not_negotiated_are_ignored() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    let job = peer.starts_job(&mut host);
    host.emits(&job, &["1"]);
    acks(&mut peer, &mut host, 1);
    assert_eq!(host.machine.census().kept, 1);
}

#[test]
fn one_session_frees_nothing_of_another() {
    let mut host = Host::new();
    let (mut one, mut other) = (join(&mut host), join(&mut host));
    let submit = json!({ "agent": "echo", "idempotency_key": "k" });
    let job = one.starts(&mut host, submit.clone());
    other.starts(&mut host, submit);
    host.emits(&job, &["1", "2"]);
    acks(&mut one, &mut host, 2);
    host.cut(&other);
    let other = other.resumes(&mut host, 0);
    assert_eq!(numbers(&other.hears(&mut host)), [1, 2]);
}

#[test]
fn lag_is_told_at_the_threshold_and_whenever_it_has_grown_by_as_much() {
    let mut host = Host::with(|config| config.limits.back_pressure_lag = 5);
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    for _ in 0..14 {
        host.emits(&job, &["x"]);
    }
    let frames = peer.hears(&mut host);
    assert_eq!(lags(&frames), ["consumer lag 5 events", "consumer lag 10 events", "consumer lag 15 events"]);
    assert_eq!(numbers(&frames), (1..=17).collect::<Vec<_>>());
    acks(&mut peer, &mut host, 16);
    for _ in 0..4 {
        host.emits(&job, &["x"]);
    }
    assert_eq!(lags(&peer.hears(&mut host)), ["consumer lag 5 events"], "told anew once it had caught up");
}

#[test]
fn whoever_keeps_up_or_does_not_acknowledge_hears_nothing_of_lag() {
    let mut host = Host::with(|config| config.limits.back_pressure_lag = 5);
    let mut peer = join(&mut host);
    let job = peer.starts_job(&mut host);
    let mut quiet = host.join("alice");
    let other = quiet.starts_job(&mut host);
    for seq in 1..=20 {
        host.emits(&job, &["x"]);
        host.emits(&other, &["x"]);
        acks(&mut peer, &mut host, seq);
    }
    assert!(lags(&peer.hears(&mut host)).is_empty() && lags(&quiet.hears(&mut host)).is_empty());
}
