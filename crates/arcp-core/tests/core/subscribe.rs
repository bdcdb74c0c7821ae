//! Subscriptions (§7.6): who is shown what of whose jobs, from where on, and what it costs the others.

use std::ops::Range;

use arcp_core::runtime::Flow;
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, numbers, texts, types};

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["subscribe", "ack"])).0
}

/// The job says each number, and its submitter hears each at once.
fn counts(host: &mut Host, job: &str, numbers: Range<u32>, submitter: &mut Peer) {
    for n in numbers {
        host.emits(job, &[&n.to_string()]);
        submitter.hears(host);
    }
}

fn subscribes(peer: &mut Peer, host: &mut Host, job: &str, more: Value) -> Vec<Value> {
    let mut payload = json!({ "job_id": job });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = peer.asks(host, "job.subscribe", payload);
    let frames = peer.hears(host);
    assert_eq!(
        (&frames[0]["type"], &frames[0]["payload"]["request_id"]),
        (&json!("job.subscribed"), &json!(id))
    );
    frames
}

#[test]
fn the_answer_comes_first_then_the_replay_then_what_happens() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    let mut watcher = join(&mut host);
    let frames = subscribes(&mut watcher, &mut host, &job, json!({ "history": true, "from_event_seq": 0 }));
    assert_eq!(texts(&frames), ["a", "b"]);
    let subscribed = &frames[0]["payload"];
    assert_eq!((&subscribed["current_status"], &subscribed["replayed"]), (&json!("running"), &json!(true)));
    assert_eq!((&subscribed["subscribed_from"], &subscribed["parent_job_id"]), (&json!(2), &Value::Null));
    host.emits(&job, &["c"]);
    host.succeed(&job);
    let live = watcher.hears(&mut host);
    assert_eq!((types(&live), numbers(&live)), (vec!["job.event", "job.result"], vec![3, 4]));
    let original = alice.hears(&mut host);
    assert_eq!(original[0]["payload"], frames[1]["payload"], "a replayed event is the same event");
}

#[test]
fn without_history_only_what_happens_from_then_on_is_sent() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    let mut watcher = join(&mut host);
    let frames = subscribes(&mut watcher, &mut host, &job, json!({}));
    assert_eq!((frames.len(), &frames[0]["payload"]["replayed"]), (1, &json!(false)));
    host.emits(&job, &["b"]);
    assert_eq!(texts(&watcher.hears(&mut host)), ["b"]);
}

#[test]
fn the_replay_begins_after_a_number_of_the_submitters_count() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let other = alice.starts_job(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["one"]);
    host.emits(&other, &["two"]);
    host.emits(&job, &["three", "four"]);
    let mut watcher = join(&mut host);
    let frames = subscribes(&mut watcher, &mut host, &job, json!({ "history": true, "from_event_seq": 2 }));
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["three", "four"], vec![1, 2]));
    assert_eq!(frames[0]["payload"]["subscribed_from"], 4);
}

#[test]
fn own_jobs_and_two_subscriptions_are_one_count_without_a_gap() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let jobs = [alice.starts_job(&mut host), alice.starts_job(&mut host)];
    let mut watcher = join(&mut host);
    let own = watcher.starts_job(&mut host);
    for job in &jobs {
        subscribes(&mut watcher, &mut host, job, json!({}));
    }
    for _ in 0..5 {
        for job in [&jobs[0], &own, &jobs[1]] {
            host.emits(job, &["x"]);
        }
    }
    assert_eq!(numbers(&watcher.hears(&mut host)), (1..=15).collect::<Vec<_>>());
}

#[test]
fn a_job_that_has_ended_is_replayed_and_ends() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    host.succeed(&job);
    let mut watcher = join(&mut host);
    let frames = subscribes(&mut watcher, &mut host, &job, json!({ "history": true }));
    assert_eq!(types(&frames), ["job.subscribed", "job.event", "job.result"]);
    assert_eq!(frames[0]["payload"]["current_status"], "success");
    let frames = subscribes(&mut watcher, &mut host, &job, json!({}));
    assert_eq!(types(&frames), ["job.subscribed", "job.result"], "also without history");
    assert_eq!(numbers(&frames), [3]);
}

#[test]
fn an_observer_goes_on_when_the_submitter_leaves() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    subscribes(&mut watcher, &mut host, &job, json!({}));
    host.cut(&alice);
    host.emits(&job, &["a"]);
    host.wait(seconds(601));
    host.emits(&job, &["b"]);
    host.succeed(&job);
    let frames = watcher.hears(&mut host);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["a", "b"], vec![1, 2, 3]));
}

#[test]
fn a_wedged_observer_delays_nobody_and_costs_no_more_than_its_limits() {
    let mut host = Host::with(|config| {
        (config.limits.send_window_events, config.limits.buffer_events) = (2, 10);
    });
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let (mut wedged, mut good) = (join(&mut host), join(&mut host));
    for watcher in [&mut wedged, &mut good] {
        subscribes(watcher, &mut host, &job, json!({}));
    }
    host.stall(&wedged);
    for _ in 0..30 {
        assert_eq!(host.emit(&job, "x"), Ok(Flow::Continue));
    }
    assert_eq!((numbers(&alice.hears(&mut host)).len(), numbers(&good.hears(&mut host)).len()), (30, 30));
    assert!(host.machine.census().kept <= 22, "{:?}", host.machine.census());
    host.unstall(&wedged);
    host.succeed(&job);
    let told = wedged.hears(&mut host);
    assert_eq!((numbers(&told), types(&told).last()), ((1..=31).collect::<Vec<_>>(), Some(&"job.result")));
    assert_eq!((host.machine.census().followers, host.machine.census().connections), (0, 3));
}

#[test]
fn a_history_longer_than_any_window_is_read_at_the_readers_pace_and_costs_the_session_nothing() {
    let mut host = Host::with(|config| {
        (config.limits.send_window_events, config.limits.buffer_events) = (4, 8);
    });
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    counts(&mut host, &job, 0..100, &mut alice);
    let mut watcher = join(&mut host);
    let own = watcher.starts_job(&mut host);
    host.stall(&watcher);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    host.emits(&own, &["mine"]);
    counts(&mut host, &job, 100..150, &mut alice); // nobody waits for it, and it waits for nobody
    host.unstall(&watcher);
    host.succeed(&job);
    let frames = watcher.hears(&mut host);
    assert_eq!(frames[0]["type"], "job.subscribed");
    assert_eq!(numbers(&frames), (1..=152).collect::<Vec<_>>());
    let heard: Vec<_> = texts(&frames).into_iter().filter(|text| *text != "mine").collect();
    assert_eq!(heard, (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
    watcher.cancels(&mut host, &own);
    assert_eq!(host.stopped.len(), 1, "it has its session still, and may cancel");
}

#[test]
fn a_cut_in_the_middle_of_a_history_goes_on_where_it_was() {
    let mut host = Host::with(|config| config.limits.send_window_events = 4);
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    counts(&mut host, &job, 0..20, &mut alice);
    host.succeed(&job);
    let mut watcher = join(&mut host);
    host.stall(&watcher);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    host.take_from(&watcher, 8);
    host.cut(&watcher);
    let seen = 5;
    let again = watcher.resumes(&mut host, seen);
    let frames = again.hears(&mut host);
    assert_eq!(numbers(&frames), (seen + 1..=21).collect::<Vec<_>>());
}

#[test]
fn what_is_watched_does_not_keep_the_own_agents_of_a_session_waiting() {
    let mut host = Host::with(|config| config.limits.send_window_events = 8);
    let (mut other, mut alice) = (join(&mut host), join(&mut host));
    let flood = other.starts_job(&mut host);
    let own = alice.starts_job(&mut host);
    subscribes(&mut alice, &mut host, &flood, json!({}));
    host.stall(&alice);
    let (mut emitted, mut waits) = (0, false);
    for _ in 0..200 {
        host.emits(&flood, &["f", "f", "f"]);
        other.hears(&mut host);
        if !waits {
            waits = host.emit(&own, "o") == Ok(Flow::Wait);
            emitted += 1;
        }
        host.take_from(&alice, 2);
        let key = host.key_of(&own);
        waits &= !host.woken.drain(..).any(|woken| woken == key);
    }
    assert!(emitted > 40, "{emitted} of the own events in 400 places");
}

#[test]
fn a_flood_that_is_watched_does_not_keep_a_history_from_being_read() {
    let mut host = Host::with(|config| config.limits.send_window_events = 8);
    let (mut other, mut alice) = (join(&mut host), join(&mut host));
    let (flood, short) = (other.starts_job(&mut host), other.starts_job(&mut host));
    host.emits(&short, &["1", "2", "3", "4", "5"]);
    host.succeed(&short);
    subscribes(&mut alice, &mut host, &flood, json!({}));
    host.stall(&alice);
    for _ in 0..20 {
        host.emits(&flood, &["f", "f", "f"]);
        other.hears(&mut host);
    }
    alice.asks(&mut host, "job.subscribe", json!({ "job_id": short, "history": true }));
    for _ in 0..30 {
        host.emits(&flood, &["f", "f", "f"]);
        other.hears(&mut host);
        host.take_from(&alice, 2);
    }
    let heard = alice.hears(&mut host);
    let short: Vec<_> = heard.into_iter().filter(|frame| frame["job_id"] == short).collect();
    assert_eq!((texts(&short).len(), types(&short).last()), (5, Some(&"job.result")));
}

#[test]
fn a_job_that_is_forgotten_while_it_is_read_says_what_is_missing_and_how_it_ended() {
    let mut host = Host::with(|config| {
        (config.limits.send_window_events, config.limits.finished_jobs) = (4, 1);
    });
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    counts(&mut host, &job, 0..50, &mut alice);
    host.succeed(&job);
    let mut watcher = join(&mut host);
    host.stall(&watcher);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    host.take_from(&watcher, 4);
    for _ in 0..3 {
        let other = alice.starts_job(&mut host);
        host.succeed(&other);
    }
    host.unstall(&watcher);
    let frames = watcher.hears(&mut host);
    let [.., missed, end] = &frames[..] else { panic!("{frames:#?}") };
    assert_eq!(
        (&missed["payload"]["kind"], &missed["payload"]["body"], &end["type"]),
        (&json!("x-vendor.arcp.missed"), &json!({ "next_index": 50 }), &json!("job.result"))
    );
    assert_eq!(host.machine.census().followers, 0);
}

#[test]
fn an_agent_waits_for_its_own_submitter_also_while_that_reads_its_history_again() {
    let mut host = Host::with(|config| config.limits.send_window_events = 4);
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    for _ in 0..20 {
        host.emits(&job, &["x"]);
        alice.hears(&mut host);
    }
    host.stall(&alice);
    alice.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    assert_eq!(host.emit(&job, "y"), Ok(Flow::Wait), "twenty are to be read before it");
    host.unstall(&alice);
    assert_eq!(texts(&alice.hears(&mut host)).len(), 21);
    assert_eq!(host.woken, [host.key_of(&job)]);
    assert_eq!(host.emit(&job, "z"), Ok(Flow::Continue));
}

/// Never a silent gap.
#[test]
fn what_a_subscription_asks_for_and_is_no_longer_kept_is_said_to_be_missing() {
    let mut host = Host::with(|config| config.limits.history_events = 3);
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["1", "2", "3", "4", "5"]);
    for (from, missing) in [(0, true), (1, true), (2, false), (4, false)] {
        let mut watcher = join(&mut host);
        let history = json!({ "history": true, "from_event_seq": from });
        let frames = subscribes(&mut watcher, &mut host, &job, history);
        let next = if from < 2 { 2 } else { from };
        assert_eq!(frames[0]["extensions"]["x-vendor.arcp.next_index"], next);
        let first = &frames[1]["payload"];
        assert_eq!(first["kind"] == "x-vendor.arcp.missed", missing, "from {from}: {first}");
        if missing {
            assert_eq!(first["body"], json!({ "next_index": 2 }));
        }
        assert_eq!(frames.len(), 1 + usize::from(missing) + 5 - next);
    }
    // Nor is it in what a reader is too slow for.
    let mut slow = join(&mut host);
    host.machine.census();
    host.stall(&slow);
    slow.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true, "from_event_seq": 2 }));
    host.emits(&job, &["6", "7", "8", "9"]);
    host.unstall(&slow);
    let kinds =
        |frames: &[Value]| frames.iter().map(|frame| frame["payload"]["kind"].clone()).collect::<Vec<_>>();
    let frames = slow.hears(&mut host);
    assert!(
        kinds(&frames).contains(&json!("x-vendor.arcp.missed")) || texts(&frames).len() == 7,
        "{frames:#?}"
    );
}

#[test]
fn what_an_observer_acknowledges_frees_nothing_of_anybody_else() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    subscribes(&mut watcher, &mut host, &job, json!({}));
    host.emits(&job, &["a", "b"]);
    watcher.asks(&mut host, "session.ack", json!({ "last_processed_seq": 2 }));
    host.cut(&alice);
    let alice = alice.resumes(&mut host, 0);
    assert_eq!(texts(&alice.hears(&mut host)), ["a", "b"]);
    let mut third = join(&mut host);
    assert_eq!(texts(&subscribes(&mut third, &mut host, &job, json!({ "history": true }))), ["a", "b"]);
}

#[test]
fn a_subscription_survives_a_resume_and_gives_no_right_to_cancel() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    subscribes(&mut watcher, &mut host, &job, json!({}));
    host.cut(&watcher);
    host.emits(&job, &["a"]);
    let mut watcher = watcher.resumes(&mut host, 0);
    host.emits(&job, &["b"]);
    assert_eq!(texts(&watcher.hears(&mut host)), ["a", "b"]);
    let id = watcher.cancels(&mut host, &job);
    watcher.hears_refusal(&mut host, &id, "PERMISSION_DENIED");
    assert!(host.stopped.is_empty());
}

#[test]
fn unsubscribing_has_no_answer_and_ends_what_was_subscribed_and_nothing_else() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    subscribes(&mut watcher, &mut host, &job, json!({}));
    for (peer, expected) in [(&mut watcher, vec![]), (&mut alice, vec!["a"])] {
        peer.asks(&mut host, "job.unsubscribe", json!({ "job_id": job }));
        peer.asks(&mut host, "job.unsubscribe", json!({ "job_id": "job_unknown" }));
        peer.hears_nothing(&mut host);
        if !expected.is_empty() {
            host.emits(&job, &["a"]);
        }
        assert_eq!(texts(&peer.hears(&mut host)), expected);
    }
    watcher.hears_nothing(&mut host);
}

#[test]
fn a_session_that_subscribes_to_its_own_job_is_sent_the_replay_and_nothing_twice() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    alice.hears(&mut host);
    let frames = subscribes(&mut alice, &mut host, &job, json!({ "history": true }));
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["a"], vec![2]));
    host.emits(&job, &["b"]);
    assert_eq!(numbers(&alice.hears(&mut host)), [3]);
}

#[test]
fn what_is_left_of_an_earlier_subscription_comes_before_the_answer_to_the_next() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    subscribes(&mut watcher, &mut host, &job, json!({}));
    host.stall(&watcher);
    host.emits(&job, &["a", "b"]);
    watcher.asks(&mut host, "job.unsubscribe", json!({ "job_id": job }));
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    watcher.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    host.unstall(&watcher);
    let frames = watcher.hears(&mut host);
    let expected = ["job.event", "job.event", "job.subscribed", "session.pong", "job.event", "job.event"];
    assert_eq!((types(&frames), numbers(&frames)), (expected.to_vec(), vec![1, 2, 3, 4]));
    assert_eq!(texts(&frames), ["a", "b", "a", "b"]);
}

#[test]
fn unknown_jobs_and_those_of_others_are_not_found_alike() {
    let mut host = Host::new();
    let mut bob = host.join("bob");
    let foreign = bob.starts_job(&mut host);
    let mut alice = join(&mut host);
    for job in [foreign.as_str(), "job_unknown"] {
        let id = alice.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
        let refusal = alice.hears_refusal(&mut host, &id, "JOB_NOT_FOUND");
        assert_eq!(refusal["payload"]["message"], format!("job {job} is not known"));
        assert_eq!(refusal["job_id"], job);
    }
}

#[test]
fn subscriptions_have_a_limit() {
    let mut host = Host::with(|config| config.limits.subscriptions_per_session = 2);
    let mut alice = join(&mut host);
    let jobs: Vec<_> = (0..3).map(|_| alice.starts_job(&mut host)).collect();
    let mut watcher = join(&mut host);
    for job in &jobs[..2] {
        subscribes(&mut watcher, &mut host, job, json!({}));
    }
    let id = watcher.asks(&mut host, "job.subscribe", json!({ "job_id": jobs[2] }));
    watcher.hears_refusal(&mut host, &id, "INTERNAL_ERROR");
    host.succeed(&jobs[0]);
    watcher.hears(&mut host);
    subscribes(&mut watcher, &mut host, &jobs[2], json!({}));
}

#[test]
fn logs_are_kept_within_their_limits_and_those_of_ended_jobs_go_first() {
    let mut host = Host::with(|config| {
        (config.limits.history_events, config.limits.history_bytes) = (4, 1_000);
    });
    let mut alice = join(&mut host);
    let (ended, running) = (alice.starts_job(&mut host), alice.starts_job(&mut host));
    for _ in 0..6 {
        host.emits(&ended, &["x"]);
    }
    assert_eq!(host.machine.census().history, 4);
    host.succeed(&ended);
    host.emits(&running, &["y".repeat(700).as_str()]);
    let mut watcher = join(&mut host);
    assert_eq!(
        types(&subscribes(&mut watcher, &mut host, &ended, json!({ "history": true }))),
        ["job.subscribed", "job.event", "job.result"],
        "what is missing, and the end"
    );
    host.emits(&running, &["z".repeat(700).as_str()]);
    let frames = subscribes(&mut watcher, &mut host, &running, json!({ "history": true }));
    assert_eq!(frames.len(), 3);
    assert!(frames[2]["payload"]["body"]["text"].as_str().unwrap().starts_with('z'));
    assert!(host.machine.census().history_bytes <= 1_000);
}
