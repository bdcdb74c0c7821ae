//! The same inputs give the same bytes: no clock, no chance and no order of a hash map reaches the wire.

use std::time::Duration;

use serde_json::json;

use crate::host::{Host, seconds};
use crate::pair::Pair;

fn a_busy_day(seed: u64) -> Vec<String> {
    let mut host = Host::seeded(seed, |config| {
        config.limits.send_window_events = 8;
        config.limits.finished_jobs = 3;
        config.limits.idempotency_keys = 4;
    });
    let mut peers: Vec<_> = (0..12).map(|index| host.join(&format!("principal-{}", index % 5))).collect();
    let mut jobs = Vec::new();
    for round in 0..4 {
        for peer in &mut peers {
            let payload =
                json!({ "agent": "echo", "idempotency_key": format!("k{round}"), "max_runtime_sec": 50 });
            peer.submits(&mut host, payload);
            jobs.push(peer.starts_job(&mut host));
        }
        for job in &jobs {
            let _ = host.emit(job, "hello");
        }
        for peer in peers.iter().step_by(3) {
            host.cut(peer);
        }
        host.wait(seconds(15));
        for job in jobs.iter().step_by(2) {
            host.succeed(job);
        }
        for peer in peers.iter_mut().step_by(3) {
            *peer = peer.resumes(&mut host, 0);
        }
    }
    host.wait(seconds(40));
    host.shut_down();
    let mut out = host.written;
    out.extend(host.notices);
    out.extend(host.wires.into_values().flat_map(|wire| wire.everything));
    out
}

#[test]
fn the_same_script_twice_gives_identical_bytes() {
    let first = a_busy_day(7);
    assert!(first.len() > 500);
    assert_eq!(first, a_busy_day(7));
    assert_ne!(first, a_busy_day(8), "and another seed gives others");
}

fn an_exchange() -> Vec<String> {
    let mut pair = Pair::open(Duration::from_millis(7));
    for agent in ["echo", "absent", "versioned"] {
        pair.submit(agent, None);
    }
    pair.run_for(seconds(1));
    let job = pair.job();
    pair.host.emits(&job, &["a", "b"]);
    pair.cancel(&job);
    pair.run_for(seconds(60));
    pair.close();
    pair.run_for(seconds(1));
    pair.transcript
}

#[test]
fn two_machines_that_talk_say_the_same_every_time() {
    let first = an_exchange();
    assert!(first.len() > 10);
    assert_eq!(first, an_exchange());
}
