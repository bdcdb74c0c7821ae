//! Both machines together: what one says, the other understands.

use std::time::Duration;

use arcp_proto::ErrorCode;

use crate::host::seconds;
use crate::pair::Pair;

const DELAY: Duration = Duration::from_millis(40);

#[test]
fn a_job_from_submit_to_result() {
    let mut pair = Pair::open(DELAY);
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    pair.submit("versioned", Some(&context));
    pair.run_for(DELAY * 2);
    assert_eq!(pair.is_told(), ["#1 accepted JOB"]);
    let job = pair.job();
    assert_eq!(pair.host.started[&job].agent.to_string(), "versioned@2.0.0");
    assert_eq!(pair.host.started[&job].trace_context.as_ref(), Some(&context));
    pair.host.emits(&job, &["a", "b"]);
    pair.host.succeed(&job);
    pair.run_for(DELAY - Duration::from_millis(1));
    assert!(pair.is_told().is_empty(), "still on their way");
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.is_told(), ["JOB says thought", "JOB says thought", "JOB ended success"]);
}

#[test]
fn refusals_find_their_requests() {
    let mut pair = Pair::open(DELAY);
    pair.submit("absent", None);
    pair.submit("echo", None);
    pair.submit("echo@9", None);
    pair.run_for(seconds(1));
    assert_eq!(
        pair.is_told(),
        ["#1 refused AGENT_NOT_AVAILABLE", "#2 accepted JOB", "#3 refused AGENT_VERSION_NOT_AVAILABLE"]
    );
}

#[test]
fn a_cancel_and_a_result_that_cross_end_the_job_once() {
    let mut pair = Pair::open(DELAY);
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    pair.is_told();
    let job = pair.job();
    pair.cancel(&job);
    pair.host.succeed(&job);
    pair.run_for(seconds(60));
    assert_eq!(pair.is_told(), ["#2 acknowledged", "JOB ended success"]);
}

#[test]
fn a_cancel_in_time_is_acknowledged_before_the_end() {
    let mut pair = Pair::open(DELAY);
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    let job = pair.job();
    pair.cancel(&job);
    pair.run_for(DELAY);
    pair.host.fail(&job, ErrorCode::InternalError, "interrupted");
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["#1 accepted JOB", "#2 acknowledged", "JOB ended cancelled CANCELLED"]);
}

#[test]
fn a_slow_link_is_followed_by_a_close_in_time_and_a_slower_one_by_a_bye() {
    let mut pair = Pair::open(Duration::from_millis(120));
    pair.close();
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["over Closed"]);
    assert!(pair.transcript.iter().any(|line| line.contains("session.closed")));
    let mut pair = Pair::open(Duration::from_millis(130));
    pair.close();
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["over Closed"]);
    assert!(pair.transcript.iter().any(|line| line.starts_with("> ") && line.contains("session.bye")));
}

#[test]
fn a_cut_link_is_told_to_both_and_the_job_goes_on() {
    let mut pair = Pair::open(DELAY);
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    let job = pair.job();
    pair.host.emits(&job, &["on its way"]);
    pair.run_for(DELAY / 2);
    pair.cut();
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["#1 accepted JOB", "over ConnectionLost"]);
    assert!(pair.host.emit(&job, "still running").is_ok());
}

#[test]
fn a_link_that_is_too_slow_for_the_handshake_is_given_up_by_both() {
    let mut pair = Pair::new(seconds(11));
    pair.connect();
    pair.run_for(seconds(60));
    assert_eq!(pair.is_told(), ["over HandshakeTimeout"]);
    assert!(pair.host.written.is_empty());
}

#[test]
fn a_shutdown_reaches_the_client_as_the_end_of_its_job_and_of_the_connection() {
    let mut pair = Pair::open(DELAY);
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    pair.host.shut_down();
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["#1 accepted JOB", "JOB ended error INTERNAL_ERROR", "over ConnectionLost"]);
}
