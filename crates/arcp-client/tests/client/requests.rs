//! Requests whose answers come late, wrong or never.

use std::time::Duration;

use arcp_client::{ConnectError, JobError, Loss, RequestError};
use arcp_transport::{Frame, Listener};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::host::{Host, connect, session, session_of, session_with, settle};

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_times_out_and_a_late_answer_is_nobodys() {
    let (connect, listener) = connect();
    let (client, mut host) = session_of(connect.request_timeout(Duration::from_secs(3)), listener).await;
    assert!(matches!(client.submit("agent").await, Err(RequestError::TimedOut)));
    let late = host.receive_type("job.submit").await;

    let second = client.submit("agent").into_future();
    let answers = async {
        let submit = host.receive_type("job.submit").await;
        host.accepted(&late, "job_late").await;
        host.accepted(&submit, "job_2").await;
        host.try_log("of the late one", &json!("job_late"));
        host.succeed(json!(2), &json!("job_2")).await;
    };
    let (second, ()) = tokio::join!(second, answers);
    let mut second = second.unwrap();
    assert_eq!(second.id().as_str(), "job_2");
    assert!(second.next().await.is_none());
    assert_eq!(second.result::<u8>().await.unwrap(), 2);

    assert!(matches!(second.cancel().await, Err(RequestError::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_request_and_touches_no_other() {
    let (client, mut host) = session().await;
    let mut job = host.job(&client, "job_1").await;
    let refused = client.submit("agent").into_future();
    let refuses = async {
        let submit = host.receive_type("job.submit").await;
        let payload = json!({ "code": "ACME_FULL", "message": "no room", "request_id": submit["id"] });
        host.say("session.error", payload, &Value::Null).await;
        // One that nobody has asked for.
        let payload = json!({ "code": "INTERNAL_ERROR", "message": "?", "request_id": "nobody's" });
        host.say("session.error", payload, &Value::Null).await;
    };
    let (refused, ()) = tokio::join!(refused, refuses);
    assert_eq!(refused.unwrap_err().code().unwrap().as_str(), "ACME_FULL");
    host.succeed(json!("well"), &json!("job_1")).await;
    assert_eq!(job.result::<String>().await.unwrap(), "well");
}

#[tokio::test(start_paused = true)]
async fn noise_is_ignored() {
    let (client, mut host) = session().await;
    let mut job = host.job(&client, "job_1").await;
    for noise in ["", "{", "[]", "{\"arcp\":\"1.1\",\"id\":\"i\",\"type\":\"job.event\",\"payload\":{}}"] {
        host.link.send(Frame::text(noise)).await.unwrap();
    }
    host.link.send(Frame::Binary(vec![1, 2].into())).await.unwrap();
    host.say("x-vendor.noise", json!(1), &Value::Null).await;
    host.say("job.event", json!({ "kind": "log" }), &json!("job_1")).await;
    host.say("job.result", json!({ "final_status": "success" }), &json!("job_unknown")).await;
    host.succeed(json!(1), &json!("job_1")).await;
    assert_eq!(job.result::<u8>().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_read_is_an_end() {
    let (client, mut host) = session().await;
    let mut job = host.job(&client, "job_1").await;
    host.say("job.result", json!({ "final_status": 7 }), &json!("job_1")).await;
    assert!(matches!(job.result::<Value>().await, Err(JobError::Result(_))));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_submit_takes_nothing_back_and_harms_nothing() {
    let (client, mut host) = session().await;
    let mut dropped = Box::pin(client.submit("agent").into_future());
    assert!(dropped.as_mut().now_or_never().is_none());
    let submit = host.receive_type("job.submit").await;
    drop(dropped);
    host.accepted(&submit, "job_1").await;
    for _ in 0..10 {
        host.try_log("for nobody", &json!("job_1"));
        settle().await;
    }
    let mut job = host.job(&client, "job_2").await;
    host.succeed(json!(1), &json!("job_1")).await;
    host.succeed(json!(2), &json!("job_2")).await;
    assert_eq!(job.result::<u8>().await.unwrap(), 2);
}

/// After a resume, what has been missed comes before what is asked again is answered.
#[tokio::test(start_paused = true)]
async fn a_delegation_that_is_announced_before_its_job_is_accepted_is_not_lost() {
    let (client, mut host) = session().await;
    let submit = client.submit("agent").into_future();
    let answers = async {
        let submit = host.receive_type("job.submit").await;
        let child = json!({ "job_id": "job_child", "lease": {}, "parent_job_id": "job_1" });
        host.say("job.accepted", child, &json!("job_child")).await;
        host.accepted(&submit, "job_1").await;
    };
    let (job, ()) = tokio::join!(submit, answers);
    let children = job.unwrap().children();
    assert_eq!(children.iter().map(|child| child.job_id.as_str()).collect::<Vec<_>>(), ["job_child"]);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_says_no_welcome_is_given_up() {
    let (connect, listener) = connect();
    let opening = connect.handshake_timeout(Duration::from_secs(2)).into_future();
    let (opened, mut host) = tokio::join!(opening, Host::accept(listener));
    assert!(matches!(opened, Err(ConnectError::Lost(Loss::HandshakeTimeout))));
    assert!(matches!(host.link.next().await, Some(Ok(Frame::Close(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_before_the_welcome_is_told_apart() {
    let (connect, mut listener) = connect();
    let opening = connect.into_future();
    let (opened, ()) = tokio::join!(opening, async { drop(listener.accept().await.unwrap()) });
    assert!(matches!(opened, Err(ConnectError::Lost(Loss::BeforeWelcome))), "{opened:?}");
}

/// What the one who asked is told at once of an answer that cannot be read.
fn unreadable<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> String {
    let error = answer.unwrap_err();
    assert!(error.code().is_none(), "{error:?}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_fails_its_request_at_once_and_no_other() {
    let (client, mut host) = session_with(json!(["list_jobs", "subscribe"])).await;
    let began = tokio::time::Instant::now();
    let mut job = host.job(&client, "job_1").await;
    let other = client.submit("agent").into_future();

    let mut listing = client.jobs().stream();
    let answers = async {
        let other = host.receive_type("job.submit").await;
        let asked = host.receive_type("session.list_jobs").await;
        let good = json!({ "job_id": "job_1", "agent": "a", "status": "running", "created_at": "2026-01-01T00:00:00Z" });
        let bad =
            json!({ "job_id": "job_2", "agent": "a", "status": 7, "created_at": "2026-01-01T00:00:00Z" });
        let page = json!({ "request_id": asked["id"], "jobs": [good, bad] });
        host.say("session.jobs", page, &Value::Null).await;
        host.accepted(&other, "job_3").await;
    };
    let (other, listed, ()) = tokio::join!(other, listing.next(), answers);
    let said = unreadable(listed.unwrap());
    assert!(said.contains("payload.jobs[1].status"), "{said}");
    assert_eq!(other.unwrap().id().as_str(), "job_3");
    assert!(listing.next().await.is_none());

    let submit = client.submit("agent").into_future();
    let answers = async {
        let asked = host.receive_type("job.submit").await;
        let payload = json!({ "job_id": "job_4", "lease": [], "request_id": asked["id"] });
        host.say("job.accepted", payload, &json!("job_4")).await;
    };
    let said = unreadable(tokio::join!(submit, answers).0);
    assert!(said.contains("payload.lease"), "{said}");

    let subscribe = client.subscribe(job.id()).into_future();
    let answers = async {
        let asked = host.receive_type("job.subscribe").await;
        let payload = json!({ "job_id": "job_1", "current_status": [], "request_id": asked["id"] });
        host.say("job.subscribed", payload, &json!("job_1")).await;
    };
    let said = unreadable(tokio::join!(subscribe, answers).0);
    assert!(said.contains("payload.current_status"), "{said}");

    let answers = async {
        let asked = host.receive_type("job.cancel").await;
        let payload = json!({ "code": 7, "request_id": asked["id"] });
        host.say("session.error", payload, &Value::Null).await;
    };
    let said = unreadable(tokio::join!(job.cancel(), answers).0);
    assert!(said.contains("payload.code"), "{said}");

    let submit = client.submit("agent").into_future();
    let answers = async {
        let asked = host.receive_type("job.submit").await;
        let payload = json!({ "job_id": "job_5", "lease": {}, "request_id": asked["id"] });
        host.say("job.accepted", payload, &json!(["no", "envelope"])).await;
    };
    let said = unreadable(tokio::join!(submit, answers).0);
    assert!(said.contains("job_id"), "{said}");

    assert!(began.elapsed() < Duration::from_secs(1));
    host.succeed(json!(1), &json!("job_1")).await;
    assert_eq!(job.result::<u8>().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submit_is_made_again_when_the_runtime_says_and_only_if_it_is_told_to() {
    let (client, mut host) = session().await;
    let refuse = async |host: &mut Host, details: Value| {
        let asked = host.receive_type("job.submit").await;
        let payload = json!({ "code": "INTERNAL_ERROR", "message": "too soon", "request_id": asked["id"],
            "details": details });
        host.say("session.error", payload, &Value::Null).await;
        asked
    };
    let soon = || json!({ "retry_after_ms": 2_000 });

    let refused = client.submit("agent").into_future();
    let error = tokio::join!(refused, refuse(&mut host, soon())).0.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));

    let began = tokio::time::Instant::now();
    let patient = client.submit("agent").idempotency_key("k").retry_within(Duration::from_secs(60));
    let answers = async {
        for tries in 0..3 {
            let asked = refuse(&mut host, soon()).await;
            assert_eq!(asked["payload"]["idempotency_key"], "k");
            assert!(began.elapsed() >= Duration::from_secs(2) * tries);
        }
        host.accept_submit("job_1").await;
    };
    let (job, ()) = tokio::join!(patient.into_future(), answers);
    assert_eq!(job.unwrap().id().as_str(), "job_1");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(7), "{took:?}");

    for (details, tries) in [(json!({}), 1), (json!({ "retry_after_ms": 61_000 }), 1), (soon(), 17)] {
        let impatient = client.submit("agent").retry_within(Duration::from_secs(60)).into_future();
        let answers = async {
            let mut refused = 0;
            let more = Duration::from_secs(15);
            while tokio::time::timeout(more, refuse(&mut host, details.clone())).await.is_ok() {
                refused += 1;
            }
            refused
        };
        let (error, refused) = tokio::join!(impatient, answers);
        assert_eq!(error.unwrap_err().code().unwrap().as_str(), "INTERNAL_ERROR");
        assert!(refused <= tries && (tries == 1 || refused > 3), "{refused}");
    }
}
