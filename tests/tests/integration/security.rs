//! What strangers get: nothing before they are known, nothing about others, and no secret anywhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arcp_axum::Mount;
use arcp_client::Client;
use arcp_client::proto::{BearerToken, Json};
use arcp_runtime::{AuthenticationError, Authenticator, Caller, Limits, Principal, Runtime};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing_subscriber::filter::LevelFilter;

use crate::log::Log;
use crate::support::{Host, Neighbour, Raw, hello, http, token};

/// Lets everybody in, but only when the test does.
struct Slow(Arc<Semaphore>);

impl Authenticator for Slow {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        self.0.acquire().await.map_err(|_| AuthenticationError::Unavailable)?.forget();
        Ok(Principal::new("somebody").into())
    }
}

#[tokio::test]
async fn nothing_is_sent_before_authentication() {
    let gate = Arc::new(Semaphore::new(0));
    let runtime = Runtime::builder().authenticator(Slow(Arc::clone(&gate))).build().unwrap();
    let server = arcp_axum::Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let router = axum::Router::new().route("/arcp", arcp_axum::serve(runtime));
    tokio::spawn(server.serve(router, std::future::pending()));

    let mut silent = Raw::connect(address).await;
    let mut eager = Raw::connect(address).await;
    eager.say("session.hello", hello("t")).await;
    eager.say("job.submit", json!({ "agent": "none" })).await;

    // A third peer comes, is let in, is answered and goes: by then the others would have been answered too.
    let mut third = Raw::connect(address).await;
    third.say("session.hello", hello("t")).await;
    gate.add_permits(2);
    third.receive_type("session.welcome").await;
    third.is_alive().await;
    assert!(silent.socket.next().now_or_never().is_none(), "nobody has said who that is");

    eager.receive_type("session.welcome").await;
    eager.receive_error("AGENT_NOT_AVAILABLE").await;
}

#[tokio::test] // on one thread, for which the subscriber is
async fn every_subscription_is_on_record_with_who_asked_for_whose_job_and_what_was_decided() {
    let (log, _capturing) = Log::capture("arcp::audit", LevelFilter::INFO);
    let host = Host::start().await;
    let client = host.client("alice").await;
    let mut job = client.submit("echo").await.unwrap();
    job.result_json().await.unwrap();
    client.subscribe(job.id()).await.unwrap();
    host.client("bob").await.subscribe(job.id()).await.unwrap_err();
    host.client("bob").await.subscribe(&"job_00000000000000000000000000".parse().unwrap()).await.unwrap_err();

    let text = log.text();
    let lines: Vec<_> = text.lines().collect();
    let [own, foreign, unknown] = lines[..] else { panic!("three decisions: {text}") };
    for (line, parts) in [
        (own, ["subscriber=alice", "owner=\"alice\"", "decision=\"allowed\""]),
        (foreign, ["subscriber=bob", "owner=\"alice\"", "decision=\"not_found\""]),
        (unknown, ["subscriber=bob", "job_id=job_00000000000000000000000000", "decision=\"not_found\""]),
    ] {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[tokio::test] // on one thread, for which the subscriber is
async fn no_secret_is_logged_or_shown() {
    const CANARY: &str = "canary";
    let (log, _capturing) = Log::capture("arcp", LevelFilter::TRACE);

    let mut shown = String::new();
    let host = Host::start().await;
    let client = host.client("alice").await;
    let submit = client.submit("echo").input(&json!({ "password": "canary-input" }));
    let mut job = submit.idempotency_key("canary-key").await.unwrap();
    let events: Vec<_> = job.by_ref().collect().await;
    let result: Json = job.result_json().await.unwrap();
    assert!(result.as_str().contains(CANARY), "the canary is alive");
    shown.push_str(&format!("{client:?} {job:?} {events:?} {result:?} {:?}", client.opened()));

    // The text of an agent's own error is for its client; of a panic it is for the host's own panic hook alone.
    for input in [json!({ "message": "canary-error" }), json!({ "panic": true, "message": "canary-panic" })] {
        let mut job = client.submit("fail").input(&input).await.unwrap();
        let error = job.result::<Value>().await.unwrap_err();
        assert_eq!(error.to_string().contains(CANARY), input.get("panic").is_none());
    }
    let again =
        client.submit("count").input(&json!({ "n": "canary-text" })).idempotency_key("canary-key").await;
    shown.push_str(&format!("{again:?}"));
    client.close().await;

    let refused = arcp_client::connect(host.url(), format!("{}-wrong", token("alice"))).await.unwrap_err();
    shown.push_str(&format!("{refused} {refused:?}"));
    let gone = format!("ws://{}/arcp?token=canary-query", host.address);
    let refused = arcp_client::connect(&gone, "canary-wrong").await.unwrap_err();
    shown.push_str(&format!("{refused} {refused:?}"));
    let error = arcp_client::connect("ws://user:canary-password@[::1]/", token("alice")).await.unwrap_err();
    shown.push_str(&format!("{error} {error:?}"));

    // Tokens where none belongs, and a resume token that is wrong.
    let (mut raw, welcome) = Raw::open(host.address, "bob").await;
    let resume_token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    raw.say("session.hello", hello(&token("bob"))).await;
    shown.push_str(&raw.receive().await.to_string());
    raw.say("job.submit", json!({ "agent": { "token": "canary-agent" } })).await;
    shown.push_str(&raw.receive().await.to_string());
    raw.send(format!("{{\"arcp\": {}", token("bob"))).await;
    shown.push_str(&raw.receive().await.to_string());
    for (kind, wrong) in [("auth", json!({ "token": ["canary-list"] })), ("resume", json!("canary-resume"))] {
        let mut payload = hello(&token("bob"));
        payload[kind] = wrong;
        let mut raw = Raw::connect(host.address).await;
        raw.say("session.hello", payload).await;
        shown.push_str(&raw.receive().await.to_string());
    }
    drop(raw);
    host.runtime.shutdown().await;

    let log = log.text();
    assert!(log.contains("handshake refused") && log.contains("job starts"), "the log is kept: {log}");
    for text in [log, shown] {
        for secret in [CANARY, &resume_token] {
            let at = text.find(secret).map(|at| text[..at + secret.len()].lines().last());
            assert_eq!(at, None);
        }
    }
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn status(host: &Host, request_line: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = format!("{request_line}\r\nHost: runtime\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_web_page_gets_in_unless_it_is_named() {
    let allow = |mount: Mount| mount.allow_origin("https://console.example.com");
    let host = Host::with(Limits::default(), allow).await;
    let cases = [
        ("", 101),
        ("Origin: https://console.example.com\r\n", 101),
        ("Origin: HTTPS://Console.Example.com\r\n", 101),
        ("Origin: https://console.example.com.evil.example\r\n", 403),
        ("Origin: http://console.example.com\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: \r\n", 403),
        ("Origin: \u{e9}\r\n", 403),
        ("Origin: https://console.example.com\r\nOrigin: https://evil.example\r\n", 403),
    ];
    for (origin, expected) in cases {
        let headers = format!("{UPGRADE}{origin}");
        assert_eq!(status(&host, "GET /arcp HTTP/1.1", &headers).await, expected, "{origin}");
    }
    let strict = Host::start().await;
    let headers = format!("{UPGRADE}Origin: https://console.example.com\r\n");
    assert_eq!(status(&strict, "GET /arcp HTTP/1.1", &headers).await, 403);
}

#[tokio::test]
async fn what_is_no_handshake_gets_the_status_that_says_so() {
    let host = Host::start().await;
    let without = |name: &str| -> String {
        UPGRADE.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
    };
    let cases = [
        ("GET /arcp HTTP/1.1", UPGRADE.to_owned(), 101),
        ("GET /arcp?x=1 HTTP/1.1", UPGRADE.to_owned(), 101),
        ("GET /arcp HTTP/1.1", String::new(), 426),
        ("GET /arcp HTTP/1.1", without("Upgrade"), 426),
        ("GET /arcp HTTP/1.1", without("Sec-WebSocket-Version"), 426),
        ("GET /arcp HTTP/1.1", UPGRADE.replace("13", "8"), 426),
        ("GET /arcp HTTP/1.1", without("Sec-WebSocket-Key"), 400),
        ("GET /arcp HTTP/1.1", UPGRADE.replace("dGhl", "...."), 400),
        ("POST /arcp HTTP/1.1", UPGRADE.to_owned(), 405),
        ("GET /elsewhere HTTP/1.1", UPGRADE.to_owned(), 404),
        ("GET /arcp HTTP/1.0", UPGRADE.to_owned(), 400),
    ];
    for (line, headers, expected) in cases {
        assert_eq!(status(&host, line, &headers).await, expected, "{line}\n{headers}");
    }
    let answer = http(host.address, "GET /arcp HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n").await;
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{answer}");
}

#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let host = Host::start().await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        let silent = TcpStream::connect(host.address).await.unwrap();
        let mut half = TcpStream::connect(host.address).await.unwrap();
        half.write_all(b"GET /arcp HTTP/1.1\r\nHost:").await.unwrap();
        idle.push((silent, half, Raw::connect(host.address).await));
    }
    Neighbour::of(&host).await.ends_well(&host).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_little_and_delays_nobody() {
    const N: u64 = 100_000;
    const SIZE: usize = 1_000;
    let limits = Limits { send_window_bytes: 1 << 20, ..Limits::default() };
    let host = Host::with_limits(limits).await;
    let neighbour = Neighbour::of(&host).await;
    let (mut wedged, _) = Raw::open(host.address, "alice").await;
    wedged.say("job.submit", json!({ "agent": "flood", "input": [N, "x".repeat(SIZE)] })).await;
    wedged.receive_type("job.accepted").await;
    wedged.receive_type("job.event").await;

    let client = host.client("bob").await;
    for _ in 0..10 {
        let mut count = client.submit("count").input(&json!({ "n": 1_000 })).await.unwrap();
        assert_eq!(count.result::<Value>().await.unwrap(), json!({ "count": 1_000 }));
    }
    neighbour.ends_well(&host).await;
    // The window, the write buffer and what the sockets hold: far from all that its agent has to say.
    let emitted = host.stage.emitted.load(Ordering::Relaxed);
    assert!(emitted < N / 2, "{emitted} events of {SIZE} bytes wait for a peer that reads nothing");

    // Once it is gone its agent waits no more.
    drop(wedged);
    while host.stage.emitted.load(Ordering::Relaxed) < N {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn jobs_of_others_are_no_jobs() {
    let host = Host::start().await;
    let alice = host.client("alice").await;
    let mut job = alice.submit("gated").await.unwrap();
    let (mut bob, _) = Raw::open(host.address, "bob").await;
    let mut answers = Vec::new();
    let unknown = format!("job_{}", "0".repeat(26));
    for job_id in [job.id().as_str(), &unknown] {
        let id = bob.say_with("job.cancel", json!({}), json!({ "job_id": job_id })).await;
        let answer = bob.receive().await;
        let text = answer["payload"].to_string().replace(job_id, "JOB").replace(&id, "REQUEST");
        assert_eq!(answer["payload"]["code"], "JOB_NOT_FOUND", "{answer}");
        answers.push(text);
    }
    assert_eq!(answers[0], answers[1]);

    // Another session of the same principal may know of it, but not cancel it.
    let (mut other, _) = Raw::open(host.address, "alice").await;
    other.say_with("job.cancel", json!({}), json!({ "job_id": job.id() })).await;
    other.receive_error("PERMISSION_DENIED").await;
    host.stage.open(1);
    assert_eq!(job.result::<String>().await.unwrap(), "through");
}

#[tokio::test]
async fn a_client_takes_no_more_than_it_is_asked_to() {
    // The connector's own limit holds towards a runtime, too.
    let host = Host::start().await;
    let config = arcp_client::ws::WsConfig { max_frame_bytes: 50_000, ..arcp_client::ws::WsConfig::client() };
    let connector = arcp_client::ws::WsConnector::new(&host.url()).unwrap().with_config(config);
    let client = Client::connect(connector, token("alice")).await.unwrap();
    let mut job = client.submit("count").input(&json!({ "n": 1, "size": 100_000 })).await.unwrap();
    assert!(matches!(
        job.result::<Value>().await,
        Err(arcp_client::JobError::SessionEnded(arcp_client::Loss::FrameTooLarge))
    ));
}
