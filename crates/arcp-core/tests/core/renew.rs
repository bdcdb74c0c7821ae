//! A client whose session is gone when it comes back (§6.3): it goes on in another, where each job was.

use arcp_proto::event::EventKind;
use serde_json::{Value, json};

use crate::host::seconds;
use crate::pair::Pair;
use crate::peer::message;
use crate::played::{Desk, accepted, event, of_job, result, session_error};
use crate::reconnect::{dials, numbered, resumable};

fn delay() -> std::time::Duration {
    std::time::Duration::from_millis(20)
}

/// A pair with a job of its own that has said "a" and "b".
fn with_job() -> (Pair, String) {
    with_job_on(Pair::resilient(7, delay()))
}

fn with_job_on(mut pair: Pair) -> (Pair, String) {
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    let job = pair.job();
    pair.host.emits(&job, &["a", "b"]);
    pair.run_for(seconds(1));
    pair.is_told();
    (pair, job)
}

/// A pair that watches another's job, after a number or from now on.
fn with_watched(from: Option<u64>) -> (Pair, String) {
    let mut pair = Pair::resilient(7, delay());
    let mut other = pair.host.join("alice");
    let job = other.starts_job(&mut pair.host);
    pair.host.emits(&job, &["1", "2"]);
    pair.subscribe(&job, from);
    pair.run_for(seconds(1));
    pair.host.emits(&job, &["3", "4"]);
    pair.run_for(seconds(1));
    pair.is_told();
    (pair, job)
}

/// The link is away for longer than the runtime keeps the session, and the client is back after it.
fn away(pair: &mut Pair, meanwhile: impl FnOnce(&mut Pair)) {
    pair.reachable = false;
    pair.cut();
    pair.run_for(seconds(590));
    meanwhile(pair);
    pair.run_for(seconds(60));
    pair.reachable = true;
    pair.run_for(seconds(30));
}

/// The link is cut, and the runtime forgets the session at once.
fn forgotten(pair: &mut Pair, meanwhile: impl FnOnce(&mut Pair)) {
    pair.cut();
    pair.host.machine.handle_timeout(pair.host.clock.after(seconds(601)).now());
    meanwhile(pair);
    pair.run_for(seconds(10));
}

#[test]
fn what_happened_meanwhile_is_told_and_what_was_told_is_not() {
    let (mut pair, job) = with_job();
    away(&mut pair, |pair| pair.host.emits(&job, &["c", "d"]));
    pair.host.emits(&job, &["e"]);
    pair.host.succeed(&job);
    pair.run_for(seconds(1));
    let told = pair.is_told();
    assert_eq!(told[..2], ["disconnected", "lapsed -"]);
    assert!(told[2].starts_with("renewed sess_"), "{told:?}");
    assert_eq!(told[3..], ["JOB says thought", "JOB says thought", "JOB says thought", "JOB ended success"]);
    assert_eq!(pair.heard, ["a", "b", "c", "d", "e"]);
    assert_eq!(pair.seen, [1, 2, 1, 2, 3], "numbers are those of the session that tells");
}

#[test]
fn a_job_that_has_ended_meanwhile_gives_its_outcome() {
    let (mut pair, job) = with_job();
    away(&mut pair, |pair| pair.host.succeed(&job));
    assert_eq!(pair.is_told().last().unwrap(), "JOB ended success");
    assert_eq!(pair.heard, ["a", "b"]);
}

#[test]
fn a_runtime_that_forgets_sooner_than_it_said_says_so() {
    let (mut pair, job) = with_job();
    // As for a client that was asleep, and whose clock stood still.
    forgotten(&mut pair, |pair| pair.host.emits(&job, &["c"]));
    let told = pair.is_told();
    assert_eq!(told[..2], ["disconnected", "lapsed RESUME_WINDOW_EXPIRED"]);
    assert!(told[2].starts_with("renewed sess_"), "{told:?}");
    assert_eq!(pair.heard, ["a", "b", "c"]);
}

#[test]
fn sessions_may_go_one_after_the_other() {
    let (mut pair, job) = with_job();
    for text in ["c", "d", "e"] {
        away(&mut pair, |pair| pair.host.emits(&job, &[text]));
    }
    pair.host.succeed(&job);
    pair.run_for(seconds(1));
    let told = pair.is_told();
    assert_eq!(pair.heard, ["a", "b", "c", "d", "e"]);
    assert_eq!(told.iter().filter(|words| *words == "lapsed -").count(), 3, "{told:?}");
    assert_eq!(told.iter().filter(|words| words.contains("missed")).count(), 0, "{told:?}");
    assert_eq!(told.last().unwrap(), "JOB ended success");
}

#[test]
fn a_watched_job_is_taken_up_where_it_was() {
    for (from, first) in [(Some(0), 1), (Some(1), 2), (None, 3)] {
        let (mut pair, job) = with_watched(from);
        for text in ["5", "6"] {
            away(&mut pair, |pair| pair.host.emits(&job, &[text]));
        }
        pair.host.emits(&job, &["7"]);
        pair.run_for(seconds(1));
        let expected: Vec<_> = (first..=7).map(|text| text.to_string()).collect();
        assert_eq!(pair.heard, expected, "from {from:?}");
        assert!(!pair.is_told().iter().any(|words| words.contains("missed")));
    }
}

#[test]
fn what_is_no_longer_kept_is_said_to_be_missed() {
    let pair = Pair::resilient_with(7, delay(), |config| config.limits.history_events = 3);
    let (mut pair, job) = with_job_on(pair);
    away(&mut pair, |pair| pair.host.emits(&job, &["c", "d", "e", "f", "g"]));
    let told = pair.is_told();
    assert!(told.contains(&"JOB missed".to_owned()), "{told:?}");
    assert_eq!(pair.heard, ["a", "b", "e", "f", "g"]);
    // What is missed is missed once.
    away(&mut pair, |pair| pair.host.emits(&job, &["h"]));
    assert!(!pair.is_told().contains(&"JOB missed".to_owned()));
    assert_eq!(pair.heard.last().unwrap(), "h");
}

#[test]
fn a_cut_while_jobs_are_taken_up_loses_and_repeats_nothing() {
    for halves in 0..12 {
        let (mut pair, job) = with_job();
        pair.reachable = false;
        pair.cut();
        pair.host.emits(&job, &["c"]);
        pair.run_for(seconds(650));
        pair.reachable = true;
        while pair.host.machine.census().connections == 0 {
            pair.run_for(delay() / 2);
        }
        pair.run_for(delay() / 2 * halves);
        pair.host.emits(&job, &["d"]);
        pair.cut();
        pair.host.emits(&job, &["e"]);
        pair.host.succeed(&job);
        pair.run_for(seconds(60));
        assert_eq!(pair.heard, ["a", "b", "c", "d", "e"], "cut after {halves} half-ways");
        assert_eq!(pair.is_told().iter().filter(|words| *words == "JOB ended success").count(), 1);
    }
}

#[test]
fn a_submit_that_was_not_answered_in_the_session_before_is_one_job_from_its_beginning() {
    let mut pair = Pair::resilient(7, delay());
    pair.submit("echo", None);
    pair.run_for(delay());
    let job = pair.job();
    forgotten(&mut pair, |pair| pair.host.emits(&job, &["a", "b"]));
    pair.host.emits(&job, &["c"]);
    pair.host.succeed(&job);
    pair.run_for(seconds(1));
    assert_eq!(pair.host.started.len(), 1);
    let told = pair.is_told();
    assert_eq!(told.iter().filter(|words| *words == "#1 accepted JOB").count(), 1, "{told:?}");
    assert_eq!(pair.heard, ["a", "b", "c"]);
    assert_eq!(told.last().unwrap(), "JOB ended success");
}

#[test]
fn a_submit_that_was_asked_again_does_not_count_what_came_before_its_answer_twice() {
    let mut pair = Pair::resilient(7, delay());
    pair.submit("echo", None);
    pair.run_for(delay());
    let job = pair.job();
    pair.host.emits(&job, &["a", "b"]);
    pair.cut();
    pair.run_for(seconds(10));
    forgotten(&mut pair, |pair| pair.host.emits(&job, &["c", "d", "e"]));
    assert_eq!(pair.heard, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_cancel_that_was_not_answered_says_so_and_another_session_may_not_cancel() {
    let (mut pair, job) = with_job();
    pair.cancel(&job);
    forgotten(&mut pair, |_| {});
    assert!(pair.is_told().contains(&"#2 interrupted".to_owned()));
    pair.cancel(&job);
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["#4 refused PERMISSION_DENIED"], "the third was to take up the job");
}

#[test]
fn who_follows_a_job_is_not_told_again_for_a_subscription_that_has_its_history_come_again() {
    let (mut pair, job) = with_job();
    pair.subscribe(&job, Some(0));
    pair.run_for(seconds(1));
    pair.host.emits(&job, &["c"]);
    pair.run_for(seconds(1));
    let told = ["#2 subscribed JOB", "JOB says thought to #2", "JOB says thought to #2", "JOB says thought"];
    assert_eq!(pair.is_told(), told);
    // It is still known how far the job is.
    away(&mut pair, |pair| pair.host.emits(&job, &["d"]));
    assert_eq!(pair.heard, ["a", "b", "a", "b", "c", "d"]);
}

/// A pair in which little is on its way at a time, whose own job has said 30 things.
fn with_history() -> (Pair, String) {
    let mut pair = Pair::resilient_with(7, delay(), |config| {
        config.limits.send_window_events = 4;
        config.limits.resume_window = seconds(1);
    });
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    let job = pair.job();
    for n in 0..30 {
        pair.host.emits(&job, &[&n.to_string()]);
        pair.run_for(seconds(1));
    }
    pair.is_told();
    (pair, job)
}

/// How many events who follows the job by a request was told; `None` for the submitter.
fn count(told: &[String], request: Option<&str>) -> usize {
    let says = told.iter().filter(|words| words.starts_with("JOB says"));
    says.filter(|words| match request {
        None => *words == "JOB says thought" || words.contains("to all but"),
        Some(name) if words.contains("to all but") => !words.contains(name),
        Some(name) => *words == "JOB says thought" || words.contains(name),
    })
    .count()
}

#[test]
fn histories_that_overlap_are_told_whole_to_each_who_asked() {
    for pause in 0..12 {
        let (mut pair, job) = with_history();
        pair.subscribe(&job, Some(0));
        pair.run_for(delay() / 2 * pause);
        pair.subscribe(&job, Some(0));
        pair.run_for(delay() / 2 * pause);
        pair.subscribe(&job, Some(15));
        pair.run_for(seconds(5));
        pair.host.succeed(&job);
        pair.run_for(seconds(1));
        let told = pair.is_told();
        let counts = [Some("#2"), Some("#3"), Some("#4"), None].map(|request| count(&told, request));
        assert_eq!(counts, [30, 30, 15, 0], "{pause} half-ways in between: {told:#?}");
        assert!(!told.iter().any(|words| words.contains("missed")), "{told:#?}");
    }
}

#[test]
fn a_history_that_comes_again_when_the_session_is_lost_is_told_whole() {
    for moment in 2..12 {
        let (mut pair, job) = with_history();
        pair.subscribe(&job, Some(0));
        pair.run_for(delay() / 2 * moment);
        if !pair.is_told().contains(&"#2 subscribed JOB".to_owned()) {
            continue;
        }
        pair.reachable = false;
        pair.cut();
        pair.run_for(seconds(5));
        pair.host.emits(&job, &["30"]);
        pair.reachable = true;
        pair.run_for(seconds(30));
        pair.host.succeed(&job);
        pair.run_for(seconds(1));
        let heard: Vec<_> = pair.heard[30..].iter().map(|text| text.parse::<usize>().unwrap()).collect();
        assert_eq!(heard, (0..31).collect::<Vec<_>>(), "lost after {moment} half-ways");
        assert!(!pair.is_told().iter().any(|words| words.contains("missed")));
    }
}

#[test]
fn a_subscription_to_a_job_that_is_followed_may_be_cut_off() {
    for halves in 0..8 {
        let (mut pair, job) = with_job();
        pair.subscribe(&job, Some(0));
        pair.run_for(delay() / 2 * halves);
        pair.cut();
        pair.host.emits(&job, &["c"]);
        pair.run_for(seconds(10));
        pair.host.emits(&job, &["d"]);
        pair.host.succeed(&job);
        pair.run_for(seconds(10));
        let told = pair.is_told();
        let all: Vec<_> = told.iter().filter(|words| *words == "JOB says thought").collect();
        assert_eq!(all.len(), 2, "cut after {halves} half-ways: {told:?}");
        assert_eq!(told.last().unwrap(), "JOB ended success", "cut after {halves} half-ways");
    }
}

#[test]
fn what_is_asked_while_there_is_no_session_is_done_in_the_next() {
    let (mut pair, _) = with_job();
    forgotten(&mut pair, |pair| pair.submit("echo", None));
    assert_eq!(pair.host.started.len(), 2);
}

#[test]
fn acknowledgements_begin_again_with_the_session() {
    let (mut pair, job) = with_job();
    away(&mut pair, |pair| pair.host.emits(&job, &["c"]));
    pair.transcript.clear();
    pair.host.emits(&job, &["d"]);
    pair.run_for(seconds(1));
    let acks: Vec<_> = pair.transcript.iter().filter(|frame| frame.contains("session.ack")).collect();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert!(acks[0].contains("\\\"last_processed_seq\\\":2"), "{acks:?}");
}

#[test]
fn all_kinds_of_events_are_counted() {
    let (mut pair, job) = with_watched(Some(0));
    let progress = json!({ "current": 1 });
    pair.host.emit_body(&job, EventKind::Progress, &progress).unwrap();
    away(&mut pair, |pair| {
        pair.host.emit_body(&job, EventKind::Progress, &progress).unwrap();
        pair.host.emits(&job, &["5"]);
    });
    assert_eq!(pair.heard, ["1", "2", "3", "4", "", "", "5"]);
}

// Against runtimes that do not behave as ours

fn welcome(session: &str, features: &Value) -> Value {
    let payload = json!({ "session_id": session, "resume_token": "rt_2", "resume_window_sec": 60,
        "capabilities": { "features": features } });
    message("w", "session.welcome", payload)
}

/// A client with a job whose session is refused to it, and which is connected anew.
fn refused(code: &str) -> Desk {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 1));
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    desk.hears(&session_error(code, None));
    assert_eq!(desk.is_told(), [format!("lapsed {code}")]);
    dials(&mut desk);
    let hello = desk.says().pop().unwrap();
    assert!(hello["payload"].get("resume").is_none(), "{hello}");
    desk
}

#[test]
fn whatever_the_reason_for_which_a_session_is_not_given_back_another_is_opened() {
    for code in ["RESUME_WINDOW_EXPIRED", "PERMISSION_DENIED", "INVALID_REQUEST"] {
        let mut desk = refused(code);
        desk.hears(&welcome("sess_2", &json!(["subscribe"])));
        assert_eq!(desk.is_told(), ["renewed sess_2"]);
        let subscribe = desk.says_one();
        assert_eq!(
            (subscribe["type"].as_str(), &subscribe["payload"], &subscribe["session_id"]),
            (
                Some("job.subscribe"),
                &json!({ "job_id": "job_1", "from_event_seq": 1, "history": true }),
                &json!("sess_2")
            )
        );
        let subscribed = json!({ "job_id": "job_1", "current_status": "running", "subscribed_from": 3 });
        desk.hears(&of_job("job_1", "job.subscribed", subscribed));
        desk.hears(&numbered(event("job_1"), 1));
        desk.hears(&numbered(result("job_1"), 2));
        assert_eq!(desk.is_told(), ["job_1 says log", "job_1 ended success"]);
    }
}

#[test]
fn another_session_than_the_one_asked_for_is_gone_on_with() {
    let mut desk = resumable();
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    desk.says();
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    assert_eq!(desk.is_told(), ["lapsed RESUME_WINDOW_EXPIRED", "renewed sess_2"]);
    assert_eq!(desk.says_one()["type"], "job.subscribe");
}

#[test]
fn a_job_that_cannot_be_taken_up_says_so() {
    let mut desk = refused("RESUME_WINDOW_EXPIRED");
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    let id = desk.says_one()["id"].as_str().unwrap().to_owned();
    desk.hears(&session_error("JOB_NOT_FOUND", Some(&id)));
    assert_eq!(desk.is_told(), ["renewed sess_2", "job_1 lost JOB_NOT_FOUND"]);
    desk.hears(&numbered(event("job_1"), 1));
    assert_eq!(desk.is_told(), Vec::<String>::new());

    let mut desk = refused("RESUME_WINDOW_EXPIRED");
    desk.hears(&welcome("sess_2", &json!([])));
    assert_eq!(desk.is_told(), ["renewed sess_2", "job_1 lost INVALID_REQUEST"]);

    let mut desk = refused("RESUME_WINDOW_EXPIRED");
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    desk.wait(seconds(31));
    assert_eq!(desk.is_told(), ["renewed sess_2", "job_1 lost INTERNAL_ERROR"]);
}

#[test]
fn a_job_that_nobody_follows_any_more_is_not_said_to_be_lost() {
    let mut desk = refused("RESUME_WINDOW_EXPIRED");
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    let id = desk.says_one()["id"].as_str().unwrap().to_owned();
    desk.machine.unsubscribe(desk.clock.now(), "job_1".parse().unwrap());
    desk.hears(&session_error("JOB_NOT_FOUND", Some(&id)));
    assert_eq!(desk.is_told(), ["renewed sess_2"]);

    let mut desk = refused("RESUME_WINDOW_EXPIRED");
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    desk.machine.unsubscribe(desk.clock.now(), "job_1".parse().unwrap());
    desk.wait(seconds(31));
    assert_eq!(desk.is_told(), ["renewed sess_2"]);
}

#[test]
fn a_watched_job_whose_place_is_not_known_is_watched_from_now_on_and_says_so() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2", "history": true })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    let subscribed = json!({ "job_id": "job_2", "current_status": "running", "subscribed_from": 3 });
    desk.hears(&of_job("job_2", "job.subscribed", subscribed.clone()));
    desk.hears(&numbered(event("job_2"), 1));
    desk.hears(&numbered(result("job_1"), 2));
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    desk.is_told();
    let subscribe = desk.says().pop().unwrap();
    assert_eq!(subscribe["payload"], json!({ "job_id": "job_2" }));
    desk.hears(&of_job("job_2", "job.subscribed", subscribed));
    desk.hears(&numbered(event("job_2"), 1));
    assert_eq!(desk.is_told(), ["job_2 missed", "job_2 says log"]);
}

#[test]
fn a_runtime_that_resumes_nothing_is_gone_on_with_too() {
    let mut desk = Desk::with(|config| config.reconnect = Some(arcp_core::client::Backoff::default()));
    desk.machine.handle_connected(desk.clock.now());
    let payload = json!({ "session_id": "sess_1", "capabilities": { "features": ["subscribe"] } });
    desk.hears(&message("w", "session.welcome", payload));
    desk.submits();
    desk.says();
    desk.hears(&accepted("job_1", None));
    desk.machine.handle_disconnected(desk.clock.now());
    assert_eq!(desk.is_told()[2..], ["disconnected", "lapsed -"]);
    dials(&mut desk);
    desk.hears(&welcome("sess_2", &json!(["subscribe"])));
    assert_eq!(desk.is_told(), ["renewed sess_2"]);
}

#[test]
fn a_runtime_that_drops_every_connection_is_not_dialed_faster_and_faster() {
    let mut desk = resumable();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = desk.clock.0;
        desk.machine.handle_disconnected(desk.clock.now());
        while !desk.is_told().contains(&"dials".to_owned()) {
            desk.wait(std::time::Duration::from_millis(10));
        }
        pauses.push((desk.clock.0 - before).as_millis());
        desk.machine.handle_connected(desk.clock.now());
        desk.hears(&welcome("sess_1", &json!(["subscribe"])));
    }
    assert!(pauses[0] <= 200 && pauses[7] >= 5_000, "{pauses:?}");
}
