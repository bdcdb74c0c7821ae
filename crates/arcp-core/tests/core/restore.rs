//! Restarts (§6.3, §12): another runtime goes on from what is committed, and nobody is told anything that it does not know.

use arcp_core::runtime::{Config, Outcome, RestoreError, Runtime};
use arcp_core::{Observation, ObservationPolicy, Principal};
use arcp_proto::event::EventKind;
use arcp_proto::session::Peer as Identity;
use arcp_proto::{ErrorPayload, Json};
use serde_json::{Value, json};

use crate::credentials::{self, credential, provisioned};
use crate::features::{join_as, join_with};
use crate::host::{Host, agents, seconds, seeded};
use crate::peer::{Peer, ends, hello, message, numbers, texts, types};

/// A session that may do everything.
fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["subscribe", "list_jobs", "ack", "cost.budget"])).0
}

/// Goes on in a session whose connection went with its runtime.
fn back(host: &mut Host, peer: &Peer, last_event_seq: u64) -> Peer {
    peer.resumes(host, last_event_seq)
}

#[test]
fn a_session_is_resumed_with_the_same_numbers_and_bytes() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let (one, two) = (alice.starts_job(&mut host), alice.starts_job(&mut host));
    host.emits(&one, &["a"]);
    host.emits(&two, &["b", "c"]);
    host.succeed(&one);
    let before = alice.hears_text(&mut host);
    assert_eq!(before.len(), 4);
    host.crash();
    let again = back(&mut host, &alice, 0);
    let after = again.hears_text(&mut host);
    assert_eq!(after[..4], before);
    let end: Value = serde_json::from_str(&after[4]).unwrap();
    assert_eq!((end["job_id"].as_str(), end["event_seq"].as_u64()), (Some(two.as_str()), Some(5)));
    // And it goes on, twice.
    let mut again = again;
    let third = again.starts_job(&mut host);
    host.emits(&third, &["d"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], 6);
    host.crash();
    assert_eq!(numbers(&back(&mut host, &again, 5).hears(&mut host)), [6, 7]);
}

/// §11.
#[test]
fn the_last_message_of_a_job_says_where_the_job_stands_in_its_trace_also_after_a_restart() {
    const EXTENSION: &str = "x-vendor.opentelemetry.tracecontext";
    let context = json!({ "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b" });
    let mut host = Host::new();
    let alice = host.join("alice");
    let mut submit = message("m", "job.submit", json!({ "agent": "echo" }));
    submit["extensions"] = json!({ EXTENSION: context });
    for _ in 0..2 {
        alice.sends(&mut host, &submit);
    }
    let accepted = alice.hears(&mut host);
    let jobs: Vec<_> = accepted.iter().map(|one| one["job_id"].as_str().unwrap().to_owned()).collect();
    assert!(accepted.iter().all(|one| one["extensions"] == json!({ EXTENSION: context })), "{accepted:?}");
    host.emits(&jobs[0], &["a"]);
    host.succeed(&jobs[0]);
    let before = alice.hears_text(&mut host);
    let read = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let (event, end) = (read(&before[0]), read(&before[1]));
    assert_eq!((event.get("extensions"), &end["extensions"][EXTENSION]), (None, &context));
    host.crash();
    let after = back(&mut host, &alice, 0).hears_text(&mut host);
    assert_eq!(after[..2], before);
    let lost = read(&after[2]);
    assert_eq!((lost["job_id"].as_str(), &lost["extensions"][EXTENSION]), (Some(jobs[1].as_str()), &context));
}

#[test]
fn a_job_that_was_running_ends_retryable_for_everybody_who_follows_it() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let mut watcher = join(&mut host);
    let job = alice.starts_job(&mut host);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    host.emits(&job, &["a"]);
    host.crash();
    for peer in [&alice, &watcher] {
        let frames = back(&mut host, peer, 0).hears(&mut host);
        assert_eq!((texts(&frames), numbers(&frames)), (vec!["a"], vec![1, 2]));
        let end = ends(&frames)[0];
        assert_eq!(end["payload"]["final_status"], "error");
        assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
        assert_eq!(end["payload"]["retryable"], true);
        assert!(end["payload"]["message"].as_str().unwrap().contains("restarted"));
    }
}

#[test]
fn what_was_not_committed_was_told_to_nobody_and_is_not_there() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    host.hold_commits();
    host.emits(&job, &["never"]);
    alice.submits(&mut host, json!({ "agent": "echo" }));
    assert_eq!(texts(&alice.hears(&mut host)), ["a"]);
    host.crash();
    let frames = back(&mut host, &alice, 1).hears(&mut host);
    assert_eq!((types(&frames), numbers(&frames)), (vec!["job.error"], vec![2]));
}

#[test]
fn keys_listings_and_histories_are_there() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let submit = json!({ "agent": "echo", "idempotency_key": "k" });
    let job = alice.starts(&mut host, submit.clone());
    host.emits(&job, &["a", "b"]);
    host.succeed(&job);
    alice.hears(&mut host);
    host.crash();
    let mut alice = back(&mut host, &alice, 3);
    alice.asks(&mut host, "session.list_jobs", json!({}));
    let listed = alice.hears_one(&mut host);
    assert_eq!(listed["payload"]["jobs"][0]["job_id"], job);
    assert_eq!(listed["payload"]["jobs"][0]["status"], "success");
    assert_eq!(listed["payload"]["jobs"][0]["last_event_seq"], 3);
    // The same key is the same job, and another submit under it is refused.
    alice.submits(&mut host, submit);
    let frames = alice.hears(&mut host);
    assert_eq!(frames[0]["payload"]["job_id"], job);
    assert_eq!(types(&frames), ["job.accepted", "job.result"]);
    let request = alice.submits(&mut host, json!({ "agent": "versioned", "idempotency_key": "k" }));
    alice.hears_refusal(&mut host, &request, "DUPLICATE_KEY");
    let mut watcher = join(&mut host);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    let frames = watcher.hears(&mut host);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["a", "b"], vec![1, 2, 3]));
    assert!(host.started.is_empty(), "nothing was run again");
}

#[test]
fn windows_go_on_while_there_is_no_runtime() {
    let mut host = Host::with(|config| config.limits.idempotency_window = seconds(1_000));
    let mut away = host.join("alice");
    let job = away.starts(&mut host, json!({ "agent": "echo", "idempotency_key": "k" }));
    host.succeed(&job);
    host.cut(&away);
    host.wait(seconds(500));
    let mut there = host.join("alice");
    let waited = host.clock.after(seconds(200));
    host.clock = waited; // nobody lives to see it
    host.crash();
    host.wait(seconds(0));
    let mut late = host.connect();
    late.resumes_with(&mut host, "alice", &away.session, &away.token, 1);
    late.hears_refusal(&mut host, "hello", "RESUME_WINDOW_EXPIRED");
    // Nobody saw the other connection go: its window begins now.
    host.wait(seconds(599));
    there = back(&mut host, &there, 0);
    there.submits(&mut host, json!({ "agent": "echo", "idempotency_key": "k" }));
    assert_ne!(there.hears(&mut host)[0]["payload"]["job_id"], job, "the key was forgotten after 1,000 s");
}

#[test]
fn a_welcome_that_is_lost_with_its_runtime_can_be_asked_for_again() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.cut(&alice);
    let mut lost = host.connect();
    lost.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    host.crash();
    let next = back(&mut host, &alice, 0);
    next.sends(&mut host, &message("p", "session.ping", json!({ "nonce": "n" })));
    host.crash();
    let mut old = host.connect();
    old.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    old.hears_refusal(&mut host, "hello", "PERMISSION_DENIED");
    back(&mut host, &next, 0);
}

#[test]
fn a_job_that_was_told_to_stop_ends_in_that() {
    for agent in ["echo", "tireless"] {
        let mut host = Host::new();
        let mut alice = host.join("alice");
        let job = alice.starts(&mut host, json!({ "agent": agent }));
        alice.cancels(&mut host, &job);
        assert_eq!(types(&alice.hears(&mut host)), ["job.cancelled"]);
        host.crash();
        let frames = back(&mut host, &alice, 0).hears(&mut host);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0]["payload"]["final_status"], "cancelled");
    }
}

#[test]
fn an_answer_is_not_given_before_what_it_says_would_survive() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    let mut watcher = join(&mut host);
    host.hold_commits();
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    watcher.hears_nothing(&mut host);
    alice.cancels(&mut host, &job);
    alice.hears_nothing(&mut host);
    host.release_commits();
    assert_eq!(types(&watcher.hears(&mut host)), ["job.subscribed"]);
    assert_eq!(types(&alice.hears(&mut host)), ["job.cancelled"]);
}

#[test]
fn an_agent_that_asks_for_it_is_run_again_and_its_log_goes_on() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let submit = json!({
        "agent": "tireless", "input": { "n": 1 }, "max_runtime_sec": 100,
        "lease_request": { "cost.budget": ["USD:5"] },
    });
    let job = alice.starts(&mut host, submit);
    host.emits(&job, &["a"]);
    host.emit_body(&job, EventKind::Metric, &json!({ "name": "cost.llm", "value": 2, "unit": "USD" }))
        .unwrap();
    let (key, now) = (host.key_of(&job), host.now());
    let position = host.machine.checkpoint(now, key, Json::from(json!({ "at": 1 }))).unwrap();
    assert!(position > 0);
    host.settle();
    let before = numbers(&alice.hears(&mut host)).len() as u64;
    host.wait(seconds(60));
    host.crash();
    let spec = &host.started[&job];
    assert_eq!(spec.input.as_str(), r#"{"n":1}"#);
    assert_eq!(spec.restored.as_ref().unwrap().as_str(), r#"{"at":1}"#);
    assert_eq!(spec.authority.remaining().remaining("USD").unwrap().to_string(), "3");
    let again = back(&mut host, &alice, before);
    host.emits(&job, &["b"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], before + 1);
    // Its time is counted from its acceptance.
    host.wait(seconds(39));
    assert!(host.stopped.is_empty());
    host.wait(seconds(2));
    assert_eq!(host.stopped.len(), 1);
    host.succeed(&job);
    assert_eq!(again.hears_one(&mut host)["payload"]["final_status"], "timed_out");
}

#[test]
fn what_a_job_had_delegated_ends_and_its_money_comes_back() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let lease = json!({ "cost.budget": ["USD:5"], "agent.delegate": ["echo@*"] });
    let job = alice.starts(&mut host, json!({ "agent": "tireless", "lease_request": lease }));
    let delegation = arcp_core::runtime::Delegation::new(
        "echo".parse().unwrap(),
        Json::null(),
        arcp_proto::Lease::empty().grant("cost.budget", "USD:3"),
        arcp_proto::LeaseConstraints::default(),
    );
    let child = host.machine.delegate(host.now(), host.key_of(&job), delegation).unwrap();
    host.settle();
    let child = child.job_id.to_string();
    host.emit_body(&child, EventKind::Metric, &json!({ "name": "cost.llm", "value": 1, "unit": "USD" }))
        .unwrap();
    host.crash();
    let remaining = host.started[&job].authority.remaining();
    assert_eq!(remaining.remaining("USD").unwrap().to_string(), "4");
    let frames = back(&mut host, &alice, 0).hears(&mut host);
    let ended: Vec<_> = ends(&frames).iter().map(|end| end["job_id"].as_str().unwrap()).collect();
    assert_eq!(ended, [child.as_str()]);
    let announced = frames.iter().find(|frame| frame["type"] == "job.accepted").unwrap();
    assert_eq!(announced["payload"]["parent_job_id"], job, "it is announced again");
}

#[test]
fn a_checkpoint_is_kept_of_who_is_run_again_only() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    let written = host.written.len();
    let (key, now) = (host.key_of(&job), host.now());
    assert_eq!(host.machine.checkpoint(now, key, Json::null()), Ok(0));
    host.settle();
    assert_eq!(host.written.len(), written);
}

#[test]
fn a_history_that_was_cut_short_stays_cut_short() {
    let mut host = Host::with(|config| config.limits.history_events = 2);
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b", "c", "d"]);
    host.succeed(&job);
    let mut watcher = join(&mut host);
    let subscribe = json!({ "job_id": job, "history": true });
    watcher.asks(&mut host, "job.subscribe", subscribe.clone());
    let before = watcher.hears(&mut host);
    host.crash();
    let mut watcher = join(&mut host);
    watcher.asks(&mut host, "job.subscribe", subscribe);
    let after = watcher.hears(&mut host);
    assert_eq!((texts(&after), numbers(&after)), (texts(&before), numbers(&before)));
    assert_eq!(after[1]["payload"], before[1]["payload"], "what is missing is said");
    // The submitter's own view has everything.
    assert_eq!(texts(&back(&mut host, &alice, 0).hears(&mut host)), ["a", "b", "c", "d"]);
}

#[test]
fn what_is_acknowledged_is_not_kept() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    alice.asks(&mut host, "session.ack", json!({ "last_processed_seq": 2 }));
    host.emits(&job, &["c"]);
    host.crash();
    let mut late = host.connect();
    late.resumes_with(&mut host, "alice", &alice.session, &alice.token, 1);
    late.hears_refusal(&mut host, "hello", "RESUME_WINDOW_EXPIRED");
    assert_eq!(texts(&back(&mut host, &alice, 2).hears(&mut host)), ["c"]);
}

#[test]
fn a_store_that_gives_back_what_no_runtime_has_written_is_refused() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    let restore = |change: fn(&mut arcp_core::runtime::Recovered)| {
        let identity = Identity { name: "host".to_owned(), version: "0".to_owned() };
        let mut recovered = host.store.recover();
        change(&mut recovered);
        let mut machine = Runtime::new(Config::new(identity, agents()), Box::new(seeded(1)));
        machine.restore(host.now(), recovered)
    };
    assert!(restore(|_| {}).is_ok());
    let missing = restore(|recovered| drop(recovered.jobs[0].entries.remove(0)));
    assert!(matches!(missing, Err(RestoreError::View { index: 0, .. })), "{missing:?}");
    let nameless = restore(|recovered| {
        let record = &mut recovered.sessions[0].record;
        record.session_id = "sess_none".parse().unwrap();
    });
    assert!(matches!(nameless, Err(RestoreError::SessionId(_))), "{nameless:?}");
    let endless = restore(|recovered| {
        recovered.sessions.clear();
        recovered.jobs[0].entries.clear();
        recovered.jobs[0].ended = Some("success".into());
    });
    assert!(endless.unwrap_err().to_string().contains("ended, but not how"));
}

#[test]
fn a_full_store_ends_who_has_said_something_and_refuses_the_rest() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let (loud, quiet) = (alice.starts_job(&mut host), alice.starts_job(&mut host));
    let (away, late) = (host.join("alice"), host.connect());
    host.cut(&away);
    host.hold_commits();
    host.emits(&loud, &["a"]);
    assert!(host.awaits_commits());
    host.fills_up();
    assert!(host.emit(&loud, "b").is_err());
    for (request, payload) in [
        ("job.submit", json!({ "agent": "echo" })),
        ("session.list_jobs", json!({})),
        ("job.subscribe", json!({ "job_id": quiet })),
    ] {
        let request = alice.asks(&mut host, request, payload);
        let refused = alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
        assert_eq!(refused["payload"]["retryable"], true);
        assert!(refused["payload"]["message"].as_str().unwrap().contains("no room"));
    }
    let request = alice.cancels(&mut host, &quiet);
    alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    assert_eq!(types(&alice.hears(&mut host)), ["session.pong"], "it lives");
    late.sends(&mut host, &message("hello", "session.hello", hello("bob")));
    late.hears_refusal(&mut host, "hello", "INTERNAL_ERROR");
    let mut resuming = host.connect();
    resuming.resumes_with(&mut host, "alice", &away.session, &away.token, 0);
    resuming.hears_refusal(&mut host, "hello", "INTERNAL_ERROR");
    assert!(host.emit(&quiet, "too late").is_err(), "it ends when it wants something written");

    host.release_commits();
    let frames = alice.hears(&mut host);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["a"], vec![1, 2, 3]), "nothing numbered is lost");
    for end in ends(&frames) {
        assert_eq!(
            (end["payload"]["code"].as_str(), end["payload"]["retryable"].as_bool()),
            (Some("INTERNAL_ERROR"), Some(true))
        );
    }
    alice.starts_job(&mut host);
    back(&mut host, &away, 0);
    assert_eq!(host.aborted.len(), 2, "their tasks are gone");
}

#[test]
fn draining_takes_nothing_new_and_tells_who_runs() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.machine.drain(host.now());
    host.settle();
    let status = alice.hears_one(&mut host);
    assert_eq!(status["payload"]["body"]["phase"], "draining");
    let request = alice.submits(&mut host, json!({ "agent": "echo" }));
    alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    let late = host.connect();
    late.sends(&mut host, &message("hello", "session.hello", hello("bob")));
    late.hears_refusal(&mut host, "hello", "INTERNAL_ERROR");
    host.cut(&alice);
    let again = back(&mut host, &alice, 1);
    assert!(!host.notices.iter().any(|notice| notice == "Drained"));
    host.finish(&job, Outcome::Failure(ErrorPayload::new("QUOTA".into(), "no more")));
    assert_eq!(again.hears_one(&mut host)["type"], "job.error");
    assert_eq!(host.notices.iter().filter(|notice| *notice == "Drained").count(), 1);
    host.machine.drain(host.now());
    host.settle();
    assert_eq!(host.notices.iter().filter(|notice| *notice == "Drained").count(), 1, "said once");
}

#[test]
fn who_is_run_again_has_new_credentials_of_what_is_left() {
    let mut host = credentials::host();
    let (mut alice, _) = join_with(&mut host, json!(["cost.budget", "provisioned_credentials"]));
    let lease = json!({ "cost.budget": ["USD:5"] });
    alice.submits(&mut host, json!({ "agent": "tireless", "lease_request": lease }));
    let job = provisioned(&mut host, Ok(vec![credential("first")]));
    alice.hears(&mut host);
    host.emit_body(&job, EventKind::Metric, &json!({ "name": "cost.llm", "value": 2, "unit": "USD" }))
        .unwrap();
    host.crash();
    assert!(host.started.is_empty(), "not before it has its credentials");
    let spec = host.provisioning.pop_front().unwrap();
    assert_eq!(spec.job_id.as_str(), job);
    let left = host.machine.provision_budget(spec.job).unwrap();
    assert_eq!(left.remaining("USD").unwrap().to_string(), "3");
    host.provisioning.push_front(spec);
    provisioned(&mut host, Ok(vec![credential("second")]));
    assert!(host.started.contains_key(&job));
    let frames = back(&mut host, &alice, 2).hears(&mut host);
    let told = &frames[0]["payload"]["body"];
    assert_eq!(
        (&told["phase"], &told["id"], &told["value"]),
        (&json!("credential_rotated"), &json!("cred_1"), &json!("sk-canary-second"))
    );
    assert!(host.written.iter().all(|write| !write.contains("second")));
    // Where none can be had, the job fails.
    host.crash();
    let error = ErrorPayload::new("INTERNAL_ERROR".into(), "upstream is down");
    provisioned(&mut host, Err(error));
    let frames = back(&mut host, &alice, 3).hears(&mut host);
    assert_eq!(ends(&frames)[0]["payload"]["message"], "upstream is down");
}

#[test]
fn a_job_is_remembered_for_so_long_after_its_end_also_over_a_restart() {
    let mut host = Host::with(|config| {
        config.limits.job_retention = seconds(1_000);
        config.limits.idempotency_window = seconds(2_000);
    });
    let mut alice = join(&mut host);
    for key in 0..100 {
        let job =
            alice.starts(&mut host, json!({ "agent": "echo", "idempotency_key": (key == 7).then_some("k") }));
        host.succeed(&job);
    }
    host.wait(seconds(500));
    let late = alice.starts_job(&mut host);
    host.succeed(&late);
    host.crash();
    assert_eq!(host.machine.census().jobs, 101);
    host.wait(seconds(501));
    assert_eq!(host.machine.census().jobs, 2, "the last one, and the one whose key is remembered");
    assert!(host.written.iter().filter(|write| write.contains("JobGone")).count() == 99);
    host.wait(seconds(500));
    assert_eq!(host.machine.census().jobs, 1);
    host.wait(seconds(500));
    assert_eq!((host.machine.census().jobs, host.machine.census().timers), (0, 0));
}

#[test]
fn a_job_whose_credentials_come_while_the_store_is_full_never_begins() {
    let mut host = credentials::host();
    let (mut alice, bob) = (host.join("alice"), host.join("bob"));
    let request = alice.submits(&mut host, json!({ "agent": "echo", "idempotency_key": "k" }));
    host.hold_commits();
    host.cut(&bob);
    host.fills_up();
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    assert!(!host.started.contains_key(&job));
    assert_eq!(host.revoked.len(), 1, "what was issued is revoked");
}

#[test]
fn signs_of_life_do_not_wait_for_a_store_that_is_full() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.hold_commits();
    alice.submits(&mut host, json!({ "agent": "echo" }));
    host.emits(&job, &["a"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    alice.hears_nothing(&mut host); // answers come in order
    host.fills_up();
    assert_eq!(types(&alice.hears(&mut host)), ["session.pong"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    assert_eq!(types(&alice.hears(&mut host)), ["session.pong"]);
    host.release_commits();
    assert_eq!(types(&alice.hears(&mut host))[0], "job.accepted");
}

#[test]
fn who_was_connected_makes_room_for_nobody_until_it_had_time_to_come_back() {
    let mut host = Host::with(|config| config.limits.sessions_per_principal = 2);
    let (one, two) = (host.join("alice"), host.join("alice"));
    host.crash();
    let late = host.connect();
    late.sends(&mut host, &message("hello", "session.hello", hello("alice")));
    late.hears_refusal(&mut host, "hello", "PERMISSION_DENIED");
    back(&mut host, &one, 0);
    host.wait(seconds(61));
    host.join("alice");
    let mut gone = host.connect();
    gone.resumes_with(&mut host, "alice", &two.session, &two.token, 0);
    gone.hears_refusal(&mut host, "hello", "RESUME_WINDOW_EXPIRED");
}

#[test]
fn who_may_no_longer_observe_is_shown_nothing_more() {
    struct BobLooks(bool);
    impl ObservationPolicy for BobLooks {
        fn observation(&self, _: &Principal, _: &Principal) -> Observation {
            if self.0 { Observation::Allowed } else { Observation::Hidden }
        }
    }
    let mut host = Host::with(|config| config.observation = std::sync::Arc::new(BobLooks(true)));
    let (mut alice, (mut bob, _)) = (join(&mut host), join_as(&mut host, "bob", json!(["subscribe"])));
    let job = alice.starts_job(&mut host);
    bob.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    host.emits(&job, &["a"]);
    host.config.observation = std::sync::Arc::new(BobLooks(false));
    host.crash();
    let frames = back(&mut host, &bob, 1).hears(&mut host);
    assert!(frames.is_empty(), "{frames:?}");
    assert_eq!(ends(&back(&mut host, &alice, 1).hears(&mut host)).len(), 1);
}

#[test]
fn money_set_aside_for_a_child_that_never_was_is_not_lost() {
    let mut host = credentials::host();
    let (mut alice, _) = join_with(&mut host, json!(["cost.budget"]));
    let lease = json!({ "cost.budget": ["USD:5"], "agent.delegate": ["echo@*"] });
    alice.submits(&mut host, json!({ "agent": "tireless", "lease_request": lease }));
    let job = provisioned(&mut host, Ok(Vec::new()));
    let delegation = arcp_core::runtime::Delegation::new(
        "echo".parse().unwrap(),
        Json::null(),
        arcp_proto::Lease::empty().grant("cost.budget", "USD:3"),
        arcp_proto::LeaseConstraints::default(),
    );
    assert!(host.machine.delegate(host.now(), host.key_of(&job), delegation).unwrap().provisioning);
    host.settle();
    host.crash();
    let spec = host.provisioning.pop_front().unwrap();
    assert_eq!(spec.authority.remaining().remaining("USD").unwrap().to_string(), "5");
}
