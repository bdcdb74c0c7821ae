//! Events that nobody takes: the session waits, and what must get through does.

use arcp_client::{JobError, State};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use std::future::IntoFuture;

use crate::host::{Host, connect, session, session_of, session_with, settle};

/// More than the queue of a job and the link hold.
const MANY: usize = 10_000;

/// Emits events of a job until nobody takes any more.
async fn fill(host: &mut Host, job_id: &Value) -> usize {
    for emitted in 0..MANY {
        if !host.try_log(&emitted.to_string(), job_id) {
            settle().await;
            if !host.try_log(&emitted.to_string(), job_id) {
                return emitted;
            }
        }
    }
    panic!("{MANY} events were taken for an application that takes none");
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_takes_stop_the_reading_and_not_the_writing() {
    let (client, mut host) = session().await;
    let mut job = host.job(&client, "job_1").await;
    let job_id = json!("job_1");
    let emitted = fill(&mut host, &job_id).await;

    // A cancel still gets out, though its answer has to wait for the events before it.
    let (cancelled, taken) = {
        let mut cancel = std::pin::pin!(job.cancel());
        assert!(cancel.as_mut().now_or_never().is_none());
        host.receive_type("job.cancel").await;
        (cancel.now_or_never(), emitted)
    };
    assert!(cancelled.is_none());
    for number in 0..taken {
        let event = job.next().await.unwrap();
        assert_eq!(event.to_string(), format!("info {number}"));
    }
    host.succeed(json!("in the end"), &job_id).await;
    assert_eq!(job.result::<String>().await.unwrap(), "in the end");
}

#[tokio::test(start_paused = true)]
async fn a_result_larger_than_is_kept_is_let_go_and_can_still_be_read_in_pieces() {
    let chunk = |number: u64| {
        let body = json!({
            "result_id": "res_1", "chunk_seq": number, "data": "x".repeat(400), "encoding": "utf8", "more": number < 2,
        });
        json!({ "kind": "result_chunk", "ts": "2026-01-01T00:00:00.000Z", "body": body })
    };
    let end = json!({ "final_status": "success", "result_id": "res_1", "result_size": 1_200 });
    for (limit, fits) in [(1_199, false), (1_200, true)] {
        let (connect, listener) = connect();
        let (client, mut host) = session_of(connect.max_result_bytes(limit), listener).await;
        let mut jobs = Vec::new();
        for id in ["job_1", "job_2"] {
            jobs.push(host.job(&client, id).await);
            for number in 0..3 {
                host.say("job.event", chunk(number), &json!(id)).await;
            }
            host.say("job.result", end.clone(), &json!(id)).await;
        }
        let pieces: Vec<_> = jobs.pop().unwrap().result_stream().collect().await;
        assert!(pieces.len() == 3 && pieces.iter().all(Result::is_ok), "{pieces:?}");
        match jobs.pop().unwrap().result_bytes().await {
            Ok(bytes) => assert!(fits && bytes.len() == 1_200),
            Err(error) => assert!(!fits && matches!(error, JobError::TooLarge { limit: 1_199 }), "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_takes_no_subscription_with_it_that_is_being_made() {
    let (client, mut host) = session_with(json!(["subscribe"])).await;
    let job_id: arcp_client::proto::JobId = "job_1".parse().unwrap();
    let first = client.subscribe(&job_id).into_future();
    let (first, ()) = tokio::join!(first, host.accept_subscribe("job_1"));
    let second = tokio::spawn(client.subscribe(&job_id).into_future());
    let asked = host.receive_type("job.subscribe").await;
    drop(first);
    settle().await;
    host.subscribed(&asked, "job_1").await;
    let mut second = second.await.unwrap().unwrap();
    assert!(host.try_log("still here", &json!("job_1")));
    assert_eq!(second.next().await.unwrap().to_string(), "info still here");
    drop(second);
    host.receive_type("job.unsubscribe").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_whose_future_was_dropped_is_ended() {
    let (client, mut host) = session_with(json!(["subscribe"])).await;
    let job_id = "job_1".parse().unwrap();
    let mut subscribing = client.subscribe(&job_id).into_future();
    assert!((&mut subscribing).now_or_never().is_none());
    let asked = host.receive_type("job.subscribe").await;
    drop(subscribing);
    host.subscribed(&asked, "job_1").await;
    host.receive_type("job.unsubscribe").await;
}

#[tokio::test(start_paused = true)]
async fn an_application_that_takes_nothing_for_an_hour_keeps_its_connection() {
    let (connect, listener) = connect();
    let (client, mut host) = tokio::join!(connect, async {
        let mut host = Host::accept(listener).await;
        let capabilities = json!({ "features": ["heartbeat"] });
        let welcome = json!({ "resume_token": "rt_1", "resume_window_sec": 60, "heartbeat_interval_sec": 30,
            "capabilities": capabilities });
        host.welcome_with(welcome).await;
        host
    });
    let client = client.unwrap();
    let mut job = host.job(&client, "job_1").await;
    let emitted = fill(&mut host, &json!("job_1")).await;
    for _ in 0..120 {
        host.receive_type("session.ping").await;
    }
    assert_eq!(*client.state().borrow(), State::Connected);
    for number in 0..emitted {
        assert_eq!(job.next().await.unwrap().to_string(), format!("info {number}"));
    }
    // What it does not hear now is heard of.
    host.receive_type("session.ping").await;
    client.state().wait_for(|state| *state == State::Reconnecting).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_job_frees_the_session() {
    let (client, mut host) = session().await;
    let job = host.job(&client, "job_1").await;
    fill(&mut host, &json!("job_1")).await;
    let other = client.submit("agent").into_future();
    let mut other = Box::pin(other);
    assert!(other.as_mut().now_or_never().is_none());
    drop(job);
    host.accept_submit("job_2").await;
    host.succeed(json!(2), &json!("job_2")).await;
    assert_eq!(other.await.unwrap().result::<u8>().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_handles_of_one_job_the_one_that_is_read_gets_all_that_has_come() {
    let (client, mut host) = session().await;
    let unread = host.job(&client, "job_1").await;
    let mut read = host.job(&client, "job_1").await;
    let job_id = json!("job_1");
    let mut emitted = 0;
    // What is sent is taken at once through one handle and never through the other.
    while emitted < MANY && host.try_log(&emitted.to_string(), &job_id) {
        settle().await;
        match read.next().now_or_never() {
            Some(event) => assert_eq!(event.unwrap().to_string(), format!("info {emitted}")),
            None => break,
        }
        emitted += 1;
    }
    assert!((1_025..MANY).contains(&emitted), "the one event that blocks was given to the reader: {emitted}");
    drop(unread);
    assert_eq!(read.next().await.unwrap().to_string(), format!("info {emitted}"));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_asks_and_reads_no_answers_is_not_answered_without_end() {
    let (_client, mut host) = session().await;
    for asked in 0..MANY {
        if !host.try_say("session.ping", json!({ "nonce": "n" }), &Value::Null) {
            settle().await;
            if !host.try_say("session.ping", json!({ "nonce": "n" }), &Value::Null) {
                for _ in 0..asked {
                    host.receive_type("session.pong").await;
                }
                return;
            }
        }
    }
    panic!("{MANY} answers are kept for a runtime that reads none");
}

/// Says the pieces of a result, and after them how the job has ended.
async fn streams(host: &mut Host, results: &[(&str, &[&str])], job_id: &Value) {
    let mut size = 0;
    for (result_id, pieces) in results {
        size = pieces.iter().map(|piece| piece.len()).sum();
        for (index, piece) in pieces.iter().enumerate() {
            let body = json!({
                "result_id": result_id, "chunk_seq": index, "data": piece, "encoding": "utf8",
                "more": index + 1 < pieces.len(),
            });
            let payload = json!({ "kind": "result_chunk", "ts": "2026-01-01T00:00:00.000Z", "body": body });
            host.say("job.event", payload, job_id).await;
        }
    }
    let result_id = results.last().unwrap().0;
    let payload = json!({ "final_status": "success", "result_id": result_id, "result_size": size });
    host.say("job.result", payload, job_id).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_begun_anew_is_the_new_one() {
    let job_id = json!("job_1");
    let anew: [(&str, &[&str]); 2] = [("res_1", &["olde", "r."]), ("res_2", &["ne", "w"])];
    let (client, mut host) = session_with(json!(["result_chunk"])).await;
    let mut job = host.job(&client, "job_1").await;
    streams(&mut host, &anew, &job_id).await;
    assert_eq!(job.result::<String>().await.unwrap(), "new");

    let (client, mut host) = session_with(json!(["result_chunk"])).await;
    let job = host.job(&client, "job_1").await;
    streams(&mut host, &anew, &job_id).await;
    let pieces: Vec<_> = job.result_stream().map(|piece| piece.map(|bytes| bytes.len())).collect().await;
    assert!(matches!(pieces[..], [Ok(4), Ok(2), Err(JobError::BegunAnew)]), "{pieces:?}");
}
