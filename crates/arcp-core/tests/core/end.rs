//! How jobs end (§7.3, §7.4, §9.5): in one terminal message, whatever races.

use std::time::Duration;

use arcp_core::runtime::{Outcome, StopCause};
use arcp_proto::{ErrorCode, ErrorPayload, Json};
use serde_json::{Value, json};

use crate::host::{Host, seconds};
use crate::peer::{Peer, ends, message, types};

/// A host with one running job.
fn running() -> (Host, Peer, String) {
    running_with(json!({ "agent": "echo" }))
}

fn running_with(payload: Value) -> (Host, Peer, String) {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts(&mut host, payload);
    (host, alice, job)
}

/// Whatever else is tried, the job has ended and nothing more is said of it.
fn is_over(mut host: Host, alice: &mut Peer, job: &str) {
    host.succeed(job);
    host.fail(job, ErrorCode::InternalError, "again");
    host.finish(job, Outcome::Panicked);
    host.wait(seconds(100_000));
    alice.hears_nothing(&mut host);
    alice.cancels(&mut host, job);
    assert_eq!(alice.hears_one(&mut host)["type"], "job.cancelled", "a second end is not an end");
    host.wait(seconds(100_000));
    alice.hears_nothing(&mut host);
    assert_eq!(host.machine.census().timers, 1, "none is left but that which forgets the job");
}

#[test]
fn a_result_looks_exactly_like_this() {
    let (mut host, mut alice, job) = running();
    host.emits(&job, &["a"]);
    alice.hears(&mut host);
    host.wait(seconds(2));
    host.finish(&job, Outcome::Success(Json::from(json!({ "n": 1 }))));
    let end = alice.hears_one(&mut host);
    assert_eq!(
        end,
        json!({
            "arcp": "1.1",
            "id": end["id"],
            "type": "job.result",
            "session_id": alice.session,
            "trace_id": end["trace_id"],
            "job_id": job,
            "event_seq": 2,
            "payload": {
                "final_status": "success",
                "result": { "n": 1 },
                "completed_at": "2026-05-13T19:42:15.000Z"
            }
        })
    );
    is_over(host, &mut alice, &job);
}

#[test]
fn an_error_is_the_agents_own() {
    let (mut host, mut alice, job) = running();
    host.fail(&job, ErrorCode::from("x-vendor.acme.BROKEN"), "out of paper");
    let end = alice.hears_one(&mut host);
    assert_eq!(
        end["payload"],
        json!({
            "final_status": "error",
            "code": "x-vendor.acme.BROKEN",
            "message": "out of paper",
            "retryable": false,
            "completed_at": "2026-05-13T19:42:13.000Z"
        })
    );
    is_over(host, &mut alice, &job);
}

#[test]
fn an_agents_own_timeout_or_cancellation_is_an_error_like_any_other() {
    for code in [ErrorCode::Timeout, ErrorCode::Cancelled] {
        let (mut host, mut alice, job) = running();
        host.fail(&job, code.clone(), "upstream");
        let end = alice.hears_one(&mut host);
        assert_eq!(end["payload"]["final_status"], "error");
        assert_eq!(end["payload"]["code"], code.as_str());
        is_over(host, &mut alice, &job);
    }
}

#[test]
fn a_panic_is_an_internal_error_and_frees_its_slot() {
    let mut host = Host::with(|config| config.limits.jobs_per_session = 1);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.finish(&job, Outcome::Panicked);
    let end = alice.hears_one(&mut host);
    assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
    assert_eq!(end["payload"]["retryable"], true);
    alice.starts_job(&mut host);
}

#[test]
fn a_result_that_is_too_large_is_an_internal_error() {
    let mut host = Host::with(|config| config.limits.payload_bytes = 400);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.finish(&job, Outcome::Success(Json::from(json!("x".repeat(400)))));
    let end = alice.hears_one(&mut host);
    assert_eq!(
        (end["type"].as_str(), end["payload"]["code"].as_str()),
        (Some("job.error"), Some("INTERNAL_ERROR"))
    );
    is_over(host, &mut alice, &job);
}

#[test]
fn an_error_that_is_too_large_keeps_its_code_and_loses_the_rest() {
    let mut host = Host::with(|config| config.limits.payload_bytes = 400);
    let mut alice = host.join("alice");
    for large_details in [false, true] {
        let job = alice.starts_job(&mut host);
        let mut error = ErrorPayload::new(ErrorCode::PermissionDenied, "short");
        match large_details {
            true => error.details = Some(Json::from(json!({ "much": "x".repeat(400) }))),
            false => error.message = "x".repeat(400),
        }
        host.finish(&job, Outcome::Failure(error));
        let end = alice.hears_one(&mut host);
        assert!(end["payload"].to_string().len() <= 400, "{end}");
        assert_eq!(end["payload"]["code"], "PERMISSION_DENIED");
        assert!(!end["payload"]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_running_job_is_cancelled() {
    let (mut host, mut alice, job) = running();
    host.emits(&job, &["a"]);
    alice.hears(&mut host);
    let id = alice.cancels(&mut host, &job);
    let acknowledgement = alice.hears_one(&mut host);
    assert_eq!(
        acknowledgement,
        json!({
            "arcp": "1.1",
            "id": acknowledgement["id"],
            "type": "job.cancelled",
            "session_id": alice.session,
            "job_id": job,
            "payload": { "request_id": id }
        })
    );
    assert_eq!(host.stopped, [(host.key_of(&job), StopCause::Cancelled)]);
    host.emits(&job, &["cleaning up"]);
    host.fail(&job, ErrorCode::InternalError, "interrupted");
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.error"]);
    assert_eq!(
        frames[1]["payload"],
        json!({
            "final_status": "cancelled",
            "code": "CANCELLED",
            "message": "job was cancelled by its client",
            "retryable": false,
            "completed_at": "2026-05-13T19:42:13.000Z"
        })
    );
    assert!(host.aborted.is_empty());
    is_over(host, &mut alice, &job);
}

#[test]
fn a_cancel_may_name_its_job_in_the_payload_and_give_a_reason() {
    let (mut host, mut alice, job) = running();
    alice.asks(&mut host, "job.cancel", json!({ "job_id": job, "reason": "enough" }));
    assert_eq!(alice.hears_one(&mut host)["payload"]["reason"], "enough");
    host.succeed(&job);
    assert_eq!(alice.hears_one(&mut host)["payload"]["message"], "enough");
    let id = alice.asks(&mut host, "job.cancel", json!({ "reason": "of what?" }));
    alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
}

#[test]
fn a_cancel_at_once_is_told_to_the_agent_after_its_start() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    alice.submits(&mut host, json!({ "agent": "echo" }));
    let job = alice.hears_one(&mut host)["job_id"].as_str().unwrap().to_owned();
    alice.cancels(&mut host, &job);
    host.notices.retain(|notice| notice.starts_with("Start") || notice.starts_with("Stop"));
    assert_eq!(host.notices.len(), 2);
    assert!(host.notices[0].starts_with("Start") && host.notices[1].starts_with("Stop"));
    host.succeed(&job);
    assert_eq!(types(&alice.hears(&mut host)), ["job.cancelled", "job.error"]);
    is_over(host, &mut alice, &job);
}

#[test]
fn cancelling_twice_is_acknowledged_twice_and_ends_once() {
    let (mut host, mut alice, job) = running();
    alice.cancels(&mut host, &job);
    host.wait(seconds(20));
    alice.cancels(&mut host, &job);
    assert_eq!(host.stopped.len(), 1);
    host.wait(seconds(10));
    assert_eq!(host.aborted, [host.key_of(&job)], "the second cancel does not begin the grace again");
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.cancelled", "job.cancelled", "job.error"]);
    is_over(host, &mut alice, &job);
}

#[test]
fn a_result_before_the_cancel_stands_and_after_it_does_not() {
    let (mut host, mut alice, job) = running();
    host.succeed(&job);
    alice.cancels(&mut host, &job);
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.result", "job.cancelled"]);
    is_over(host, &mut alice, &job);

    let (mut host, mut alice, job) = running();
    alice.cancels(&mut host, &job);
    host.succeed(&job);
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.cancelled", "job.error"]);
    is_over(host, &mut alice, &job);
}

#[test]
fn a_cancel_while_the_result_is_not_stored_yet_changes_nothing() {
    let (mut host, mut alice, job) = running();
    host.hold_commits();
    host.succeed(&job);
    alice.cancels(&mut host, &job);
    alice.hears_nothing(&mut host);
    host.release_commits();
    let frames = alice.hears(&mut host);
    assert_eq!((ends(&frames).len(), types(&frames).len()), (1, 2));
    assert_eq!(ends(&frames)[0]["type"], "job.result");
}

#[test]
fn an_agent_that_does_not_stop_is_aborted_after_the_grace() {
    let (mut host, mut alice, job) = running();
    alice.cancels(&mut host, &job);
    alice.hears(&mut host);
    host.wait(Duration::from_millis(29_999));
    alice.hears_nothing(&mut host);
    host.wait(Duration::from_millis(1));
    assert_eq!(alice.hears_one(&mut host)["payload"]["final_status"], "cancelled");
    assert_eq!(host.aborted, [host.key_of(&job)]);
    is_over(host, &mut alice, &job);
}

#[test]
fn only_the_submitting_session_may_cancel() {
    let (mut host, alice, job) = running();
    let mut other = host.join("alice");
    let id = other.cancels(&mut host, &job);
    let refusal = other.hears_refusal(&mut host, &id, "PERMISSION_DENIED");
    assert_eq!((&refusal["job_id"], &refusal["payload"]["job_id"]), (&json!(job), &json!(job)));
    alice.hears_nothing(&mut host);
    assert!(host.stopped.is_empty());
    host.succeed(&job);
    alice.hears_one(&mut host);
    let id = other.cancels(&mut host, &job);
    other.hears_refusal(&mut host, &id, "PERMISSION_DENIED");
}

#[test]
fn a_job_of_another_principal_is_answered_as_one_that_does_not_exist() {
    let (mut host, _alice, job) = running();
    let mut mallory = host.join("mallory");
    let unknown = "job_00000000000000000000000000";
    let [mut foreign, mut absent] = [job.as_str(), unknown].map(|target| {
        let mut envelope = message("same", "job.cancel", json!({}));
        envelope["job_id"] = json!(target);
        mallory.sends(&mut host, &envelope);
        mallory.hears_refusal(&mut host, "same", "JOB_NOT_FOUND").to_string().replace(target, "JOB")
    });
    for answer in [&mut foreign, &mut absent] {
        let mut value: Value = serde_json::from_str(answer).unwrap();
        value["id"] = json!(null);
        *answer = value.to_string();
    }
    assert_eq!(foreign, absent);
    assert!(host.stopped.is_empty());
    mallory.starts_job(&mut host);
}

#[test]
fn a_job_that_runs_too_long_is_timed_out() {
    let (mut host, mut alice, job) = running_with(json!({ "agent": "echo", "max_runtime_sec": 5 }));
    host.wait(Duration::from_millis(4_999));
    assert!(host.stopped.is_empty());
    host.wait(Duration::from_millis(1));
    assert_eq!(host.stopped, [(host.key_of(&job), StopCause::TimedOut)]);
    alice.hears_nothing(&mut host);
    host.succeed(&job);
    let end = alice.hears_one(&mut host);
    assert_eq!(
        end["payload"],
        json!({
            "final_status": "timed_out",
            "code": "TIMEOUT",
            "message": "job exceeded its max_runtime_sec",
            "retryable": true,
            "completed_at": "2026-05-13T19:42:18.000Z"
        })
    );
    is_over(host, &mut alice, &job);
}

#[test]
fn a_job_that_is_done_in_time_is_not_timed_out() {
    let (mut host, mut alice, job) = running_with(json!({ "agent": "echo", "max_runtime_sec": 5 }));
    host.wait(seconds(4));
    host.succeed(&job);
    assert_eq!(alice.hears_one(&mut host)["type"], "job.result");
    assert_eq!(host.machine.census().timers, 1, "its own ends with it");
    is_over(host, &mut alice, &job);
}

#[test]
fn a_timed_out_agent_that_does_not_stop_is_aborted() {
    let (mut host, mut alice, job) = running_with(json!({ "agent": "echo", "max_runtime_sec": 5 }));
    host.wait(seconds(35));
    assert_eq!(alice.hears_one(&mut host)["payload"]["final_status"], "timed_out");
    assert_eq!(host.aborted, [host.key_of(&job)]);
    is_over(host, &mut alice, &job);
}

#[test]
fn a_lease_that_expires_ends_its_job_in_an_error() {
    let expiring = json!({ "agent": "echo", "lease_constraints": { "expires_at": "2026-05-13T19:42:23Z" } });
    let (mut host, mut alice, job) = running_with(expiring);
    host.wait(seconds(10));
    assert_eq!(host.stopped, [(host.key_of(&job), StopCause::LeaseExpired)]);
    host.succeed(&job);
    let end = alice.hears_one(&mut host);
    assert_eq!(
        (&end["payload"]["final_status"], &end["payload"]["code"]),
        (&json!("error"), &json!("LEASE_EXPIRED"))
    );
    assert_eq!(end["payload"]["retryable"], false);
    is_over(host, &mut alice, &job);
}

#[test]
fn the_first_cause_to_stop_is_the_one_that_counts() {
    let both = json!({
        "agent": "echo",
        "max_runtime_sec": 5,
        "lease_constraints": { "expires_at": "2026-05-13T19:42:20Z" }
    });
    // Cancelled at 4 s, out of time at 5 s, expired at 7 s.
    let (mut host, mut alice, job) = running_with(both.clone());
    host.wait(seconds(4));
    alice.cancels(&mut host, &job);
    host.wait(seconds(4));
    host.succeed(&job);
    let frames = alice.hears(&mut host);
    assert_eq!(ends(&frames)[0]["payload"]["code"], "CANCELLED");
    assert_eq!((ends(&frames).len(), host.stopped.len()), (1, 1));
    is_over(host, &mut alice, &job);
    // Out of time at 5 s, cancelled at 6 s.
    let (mut host, mut alice, job) = running_with(both);
    host.wait(seconds(6));
    alice.cancels(&mut host, &job);
    host.wait(seconds(29));
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.cancelled", "job.error"]);
    assert_eq!(frames[1]["payload"]["code"], "TIMEOUT");
    is_over(host, &mut alice, &job);
}

#[test]
fn a_job_ends_for_a_session_that_is_away_too() {
    let (mut host, alice, job) = running();
    host.cut(&alice);
    host.succeed(&job);
    let mut alice = alice.resumes(&mut host, 0);
    assert_eq!(alice.hears_one(&mut host)["type"], "job.result");
    is_over(host, &mut alice, &job);
}

#[test]
fn a_resumed_session_may_cancel_its_jobs() {
    let (mut host, alice, job) = running();
    host.cut(&alice);
    let mut alice = alice.resumes(&mut host, 0);
    alice.cancels(&mut host, &job);
    host.succeed(&job);
    assert_eq!(types(&alice.hears(&mut host)), ["job.cancelled", "job.error"]);
}

#[test]
fn finished_jobs_are_forgotten_the_first_ended_first() {
    let mut host = Host::with(|config| config.limits.finished_jobs = 2);
    let mut alice = host.join("alice");
    let jobs: Vec<_> = (0..3).map(|_| alice.starts_job(&mut host)).collect();
    for job in [&jobs[1], &jobs[0], &jobs[2]] {
        host.succeed(job);
    }
    alice.hears(&mut host);
    for (job, expected) in
        [(&jobs[0], "job.cancelled"), (&jobs[1], "session.error"), (&jobs[2], "job.cancelled")]
    {
        alice.cancels(&mut host, job);
        assert_eq!(alice.hears_one(&mut host)["type"], expected);
    }
}
