//! A runtime as one route among others: in a router, under layers, through shutdowns.

use std::net::SocketAddr;
use std::time::Duration;

use ::axum::Router;
use ::axum::extract::{ConnectInfo, Request};
use ::axum::middleware::{Next, from_fn};
use ::axum::response::IntoResponse;
use ::axum::routing::get;
use arcp_axum::Server;
use arcp_client::ws::WsConnector;
use arcp_client::{Client, ConnectError};
use arcp_runtime::{Limits, Runtime};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::support::{Host, Raw, http, runtime, token};

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { ::axum::serve(listener, router).await });
    address
}

async fn echoes(client: &Client) {
    let mut job = client.submit("echo").input(&1).await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "echoed": 1 }));
}

fn fixtures() -> Runtime {
    runtime(Limits::default()).0
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_runtime_stands_beside_other_routes_and_nested_ones() {
    let inner =
        Router::new().route("/agents", arcp_axum::serve(fixtures())).route("/who", get(|| async { "inner" }));
    let router = Router::new()
        .route("/arcp", arcp_axum::serve(fixtures()))
        .route("/health", get(|| async { "well" }))
        .nest("/api/v1", inner);
    let address = serve(router).await;
    for path in ["", "/arcp", "/api/v1/agents"] {
        let client = arcp_client::connect(format!("ws://{address}{path}"), token("alice")).await.unwrap();
        echoes(&client).await;
        client.close().await;
    }
    assert!(http(address, &request("/health")).await.ends_with("well"));
    assert!(http(address, &request("/api/v1/who")).await.ends_with("inner"));
    let error = arcp_client::connect(format!("ws://{address}/api/v1/arcp"), "t").await.unwrap_err();
    assert_refused(&error, 404);
}

fn assert_refused(error: &ConnectError, expected: u16) {
    match error {
        ConnectError::Transport(arcp_transport::ConnectError::Refused { status, .. }) => {
            assert_eq!(*status, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn layers_wrap_the_handshake_and_leave_the_session_alone() {
    let pass = HeaderName::from_static("x-pass");
    let check = from_fn(async |request: Request, next: Next| match request.headers().get("x-pass") {
        Some(pass) if pass == "open" => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    });
    let stamp = SetResponseHeaderLayer::overriding(header::SERVER, HeaderValue::from_static("gateway"));
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(30));
    let router = Router::new()
        .route("/arcp", arcp_axum::serve(fixtures()))
        .layer(check)
        .layer(timeout)
        .layer(stamp)
        .layer(TraceLayer::new_for_http())
        .layer(SetSensitiveRequestHeadersLayer::new([pass.clone()]));
    let url = format!("ws://{}", serve(router).await);

    let stranger = Client::connect(WsConnector::new(&url).unwrap(), token("alice")).await.unwrap_err();
    assert_refused(&stranger, 401);
    let connector = WsConnector::new(&url).unwrap().with_header(pass, HeaderValue::from_static("open"));
    let client = Client::connect(connector, token("alice")).await.unwrap();
    echoes(&client).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3_600)).await; // no layer's timeout is the session's
    tokio::time::resume();
    echoes(&client).await;
    client.close().await;
}

#[tokio::test]
async fn a_graceful_shutdown_of_axum_ends_sessions_in_order() {
    let (runtime, _stage) = runtime(Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/arcp", arcp_axum::serve(runtime.clone()));
    let (stop, stopping) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let serving = ::axum::serve(listener, router).with_graceful_shutdown(async move {
            let _ = stopping.await;
            runtime.shutdown().await;
        });
        serving.await
    });
    let (mut raw, _) = Raw::open(address, "alice").await;
    raw.say("job.submit", json!({ "agent": "gated" })).await;
    raw.receive_type("job.accepted").await;
    raw.receive_type("job.event").await;

    stop.send(()).unwrap();
    assert_eq!(raw.receive_type("job.error").await["payload"]["retryable"], true);
    assert_eq!(raw.receive_close().await, 1001);
    drop(raw);
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A server with a request in progress that will never be answered, and the way to stop it.
async fn server_with_a_stuck_request() -> (tokio::task::JoinHandle<()>, oneshot::Sender<()>, TcpStream) {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (reached, mut reaching) = tokio::sync::mpsc::channel(1);
    let stuck = get(move || {
        let reached = reached.clone();
        async move {
            reached.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (stop, stopping) = oneshot::channel::<()>();
    let stopping = async move { drop(stopping.await) };
    let server = tokio::spawn(server.serve(Router::new().route("/stuck", stuck), stopping));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request("/stuck").as_bytes()).await.unwrap();
    reaching.recv().await.unwrap();
    (server, stop, stream)
}

#[tokio::test]
async fn the_server_cuts_a_request_that_does_not_end() {
    let (server, stop, mut stream) = server_with_a_stuck_request().await;
    tokio::time::pause();
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let (server, _stop, mut stream) = server_with_a_stuck_request().await;
    server.abort();
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_server_stops_without_touching_sessions() {
    let (runtime, _stage) = runtime(Limits::default());
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let who = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() });
    let router = Router::new().route("/arcp", arcp_axum::serve(runtime.clone())).route("/who", who);
    let (stop, stopping) = oneshot::channel::<()>();
    let stopping = async move { drop(stopping.await) };
    let server = tokio::spawn(server.serve(router, stopping));
    assert!(http(address, &request("/who")).await.ends_with("127.0.0.1"));
    let client = arcp_client::connect(format!("ws://{address}"), token("alice")).await.unwrap();

    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    echoes(&client).await;
    assert!(runtime.shutdown().await);
}

#[tokio::test]
async fn as_many_connections_as_it_is_told_and_sessions_do_not_count() {
    let (runtime, _stage) = runtime(Limits::default());
    let server = Server::bind("127.0.0.1:0").await.unwrap().max_connections(1);
    let url = format!("ws://{}", server.local_addr().unwrap());
    let router = Router::new().route("/arcp", arcp_axum::serve(runtime));
    tokio::spawn(server.serve(router, std::future::pending()));
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(arcp_client::connect(&url, token("alice")).await.unwrap());
    }
    for client in &clients {
        echoes(client).await;
    }
}

#[tokio::test]
async fn a_runtime_that_stops_takes_no_new_connections() {
    let host = Host::start().await;
    assert!(host.runtime.shutdown().await);
    let error = arcp_client::connect(host.url(), token("alice")).await.unwrap_err();
    assert_refused(&error, 503);
    let ConnectError::Transport(error) = error else { panic!("{error:?}") };
    assert!(error.is_transient());
    let answer = http(host.address, &request("/arcp")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5"), "{answer}");
}
