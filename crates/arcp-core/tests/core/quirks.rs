//! Published clients that are served with deviations from the draft: who they are, what each deviation is, and that nobody else
//! sees any.

use std::time::Duration;

use arcp_core::quirks::{PAUSE, Quirk, QuirkPolicy, SMALL_CHUNK, SMALL_MESSAGE};
use arcp_core::runtime::{Config, Outcome};
use arcp_proto::Json;
use serde_json::{Value, json};

use crate::host::{Host, seconds};
use crate::peer::{Peer, ends, hello, message, numbers, texts, types};

const FEATURES: [&str; 5] = ["subscribe", "cost.budget", "ack", "progress", "lease_expires_at"];

/// The hello of a client that says no more of itself than the draft has.
fn exact() -> Value {
    let mut payload = hello("alice");
    payload["capabilities"]["features"] = json!(FEATURES);
    payload
}

/// The hello of the published Python SDK.
fn python() -> Value {
    let mut payload = exact();
    payload["capabilities"]["agents"] = json!([]);
    payload
}

fn join(host: &mut Host, payload: Value) -> Peer {
    let mut peer = host.connect();
    peer.sends(host, &message("h", "session.hello", payload));
    peer.expects_welcome(host);
    "alice".clone_into(&mut peer.who);
    peer
}

fn forced(quirks: &[Quirk]) -> impl FnOnce(&mut Config) {
    let quirks = quirks.iter().copied().collect();
    move |config| config.quirks = QuirkPolicy::Forced(quirks)
}

fn with_budget() -> Value {
    json!({ "agent": "echo", "lease_request": { "cost.budget": ["USD:5.00", "credits:0.0000004"] } })
}

/// Submits, subscribes to the job, and has it cancelled: everything that could be said otherwise. Returns what was heard.
fn everything(host: &mut Host, peer: &mut Peer) -> Vec<Value> {
    peer.submits(host, with_budget());
    let mut frames = peer.hears(host);
    let job = frames[0]["payload"]["job_id"].as_str().unwrap().to_owned();
    host.emits(&job, &["a"]);
    peer.asks(host, "job.subscribe", json!({ "job_id": job, "history": true }));
    frames.extend(peer.hears(host));
    host.wait(PAUSE);
    peer.cancels(host, &job);
    host.finish(&job, Outcome::Panicked);
    frames.extend(peer.hears(host));
    frames
}

fn find<'a>(frames: &'a [Value], message_type: &str) -> &'a Value {
    frames.iter().find(|frame| frame["type"] == message_type).unwrap_or_else(|| panic!("{frames:#?}"))
}

#[test]
fn a_client_that_speaks_the_draft_is_spoken_to_as_the_draft_has_it() {
    for hello in [exact(), {
        let mut hello = exact();
        hello["capabilities"]["agents"] = Value::Null;
        hello
    }] {
        let mut host = Host::new();
        let mut peer = join(&mut host, hello);
        let frames = everything(&mut host, &mut peer);
        for answer in ["job.accepted", "job.subscribed"] {
            assert_eq!(find(&frames, answer)["payload"]["budget"], json!({ "USD": 5.0, "credits": 4e-7 }));
        }
        let end = &ends(&frames)[0];
        assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("CANCELLED")));
        assert!(host.machine.poll_timeout().unwrap() > host.now().monotonic + seconds(1), "nothing waits");
    }
}

#[test]
fn a_known_peer_has_its_quirks_unless_they_are_off() {
    for (policy, budget, end) in
        [(QuirkPolicy::Auto, json!("USD:5.00"), "job.result"), (QuirkPolicy::Off, json!(5.0), "job.error")]
    {
        let mut host = Host::with(|config| config.quirks = policy);
        let mut peer = join(&mut host, python());
        let frames = everything(&mut host, &mut peer);
        assert_eq!(find(&frames, "job.accepted")["payload"]["budget"]["USD"], budget);
        assert_eq!(ends(&frames)[0]["type"], end);
    }
}

#[test]
fn quirks_can_be_forced_upon_everybody_one_by_one() {
    let mut host = Host::with(forced(&[Quirk::BudgetAsText]));
    let mut peer = join(&mut host, exact());
    let frames = everything(&mut host, &mut peer);
    let budget = json!({ "USD": "USD:5.00", "credits": "credits:0.0000004" });
    assert_eq!(find(&frames, "job.accepted")["payload"]["budget"], budget);
    assert_eq!(find(&frames, "job.subscribed")["payload"]["budget"], budget);
    assert_eq!(ends(&frames)[0]["type"], "job.error");
}

#[test]
fn quirks_of_one_session_are_nothing_to_another() {
    let mut host = Host::new();
    let mut odd = join(&mut host, python());
    let mut plain = join(&mut host, exact());
    let job = odd.starts(&mut host, with_budget());
    plain.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    odd.cancels(&mut host, &job);
    host.finish(&job, Outcome::Panicked);
    let (odd, plain) = (odd.hears(&mut host), plain.hears(&mut host));
    assert_eq!(
        (&ends(&odd)[0]["type"], &ends(&plain)[0]["type"]),
        (&json!("job.result"), &json!("job.error"))
    );
    assert_eq!(find(&plain, "job.subscribed")["payload"]["budget"]["USD"], 5.0);
}

#[test]
fn a_stopped_job_ends_in_a_result_that_says_how_and_when() {
    let mut host = Host::with(forced(&[Quirk::StopAsResult]));
    let mut peer = join(&mut host, exact());
    let cancelled = peer.starts_job(&mut host);
    let late = peer.starts(&mut host, json!({ "agent": "echo", "max_runtime_sec": 1 }));
    let failed = peer.starts_job(&mut host);
    let done = peer.starts_job(&mut host);
    peer.cancels(&mut host, &cancelled);
    host.finish(&cancelled, Outcome::Panicked);
    let result = json!({ "final_status": "cancelled", "completed_at": "2026-05-13T19:42:13.000Z" });
    let frames = peer.hears(&mut host);
    assert_eq!(types(&frames), ["job.cancelled", "job.result"]);
    assert_eq!((&frames[1]["payload"], &frames[1]["event_seq"]), (&result, &json!(1)));
    host.wait(seconds(1));
    host.finish(&late, Outcome::Panicked);
    let end = peer.hears_one(&mut host);
    assert_eq!((&end["type"], &end["payload"]["final_status"]), (&json!("job.result"), &json!("timed_out")));
    // What failed or succeeded is said as ever.
    host.finish(&failed, Outcome::Panicked);
    assert_eq!(peer.hears_one(&mut host)["type"], "job.error");
    host.finish(&done, Outcome::Success(Json::from(json!(1))));
    assert_eq!(peer.hears_one(&mut host)["payload"]["result"], 1);
}

#[test]
fn a_moment_passes_between_the_answer_and_the_replay() {
    let mut host = Host::with(forced(&[Quirk::PauseBeforeReplay]));
    let mut alice = join(&mut host, exact());
    let mut watcher = join(&mut host, exact());
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    let own = watcher.starts_job(&mut host);
    host.hold_commits();
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    host.wait(seconds(1));
    watcher.hears_nothing(&mut host); // the moment begins with the answer, which is not committed yet
    host.release_commits();
    assert_eq!(types(&watcher.hears(&mut host)), ["job.subscribed"]);
    host.emits(&job, &["b"]);
    host.emits(&own, &["own"]);
    assert_eq!(texts(&watcher.hears(&mut host)), ["own"], "what it has submitted goes on");
    host.wait(PAUSE - Duration::from_millis(1));
    watcher.hears_nothing(&mut host);
    host.wait(Duration::from_millis(1));
    let replay = watcher.hears(&mut host);
    assert_eq!((texts(&replay), numbers(&replay)), (vec!["a", "b"], vec![2, 3]));
    host.emits(&job, &["c"]);
    host.succeed(&job);
    assert_eq!(types(&watcher.hears(&mut host)), ["job.event", "job.result"], "then it is live");
}

#[test]
fn what_is_said_in_that_moment_is_not_lost_without_a_replay() {
    let mut host = Host::with(forced(&[Quirk::PauseBeforeReplay]));
    let mut alice = join(&mut host, exact());
    let mut watcher = join(&mut host, exact());
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["before"]);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    assert_eq!(watcher.hears_one(&mut host)["payload"]["replayed"], false);
    host.emits(&job, &["at once"]);
    host.succeed(&job);
    watcher.hears_nothing(&mut host);
    host.wait(PAUSE);
    let frames = watcher.hears(&mut host);
    assert_eq!((types(&frames), texts(&frames)), (vec!["job.event", "job.result"], vec!["at once"]));
}

#[test]
fn a_connection_that_goes_in_that_moment_takes_nothing_with_it() {
    let mut host = Host::with(forced(&[Quirk::PauseBeforeReplay]));
    let mut alice = join(&mut host, exact());
    let mut watcher = join(&mut host, exact());
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    host.cut(&watcher);
    host.wait(PAUSE);
    assert_eq!(texts(&watcher.resumes(&mut host, 0).hears(&mut host)), ["a"]);
}

#[test]
fn a_session_keeps_its_quirks_and_its_bytes_over_a_resume_and_a_restart() {
    let mut host = Host::new();
    let mut peer = join(&mut host, python());
    let job = peer.starts_job(&mut host);
    host.emits(&job, &["a"]);
    peer.cancels(&mut host, &job);
    host.finish(&job, Outcome::Panicked);
    let before: Vec<String> =
        peer.hears_text(&mut host).into_iter().filter(|text| text.contains("event_seq")).collect();
    assert!(before[1].contains("job.result"), "{before:#?}");
    host.cut(&peer);
    // The hello of a resume decides nothing: this one says no more than the draft has.
    let resumed = peer.resumes(&mut host, 0);
    assert_eq!(resumed.hears_text(&mut host), before);
    host.crash();
    let mut again = resumed.resumes(&mut host, 0);
    assert_eq!(again.hears_text(&mut host), before);
    let another = again.starts(&mut host, with_budget());
    again.cancels(&mut host, &another);
    host.finish(&another, Outcome::Panicked);
    assert_eq!(ends(&again.hears(&mut host))[0]["type"], "job.result");
}

#[test]
fn what_streams_to_a_reader_of_short_lines_comes_in_small_chunks() {
    let mut host = Host::new();
    let mut sizes = |hello: Value| {
        let mut peer = join(&mut host, hello);
        peer.submits(&mut host, json!({ "agent": "echo" }));
        let job = peer.hears(&mut host)[0]["payload"]["job_id"].as_str().unwrap().to_owned();
        let key = host.key_of(&job);
        host.machine.chunk_limits(key)
    };
    let (exact, python) = (sizes(exact()), sizes(python()));
    assert_eq!((exact.data, exact.payload > SMALL_MESSAGE), (512 << 10, true));
    assert_eq!((python.data, python.payload < SMALL_MESSAGE), (SMALL_CHUNK, true));
}
