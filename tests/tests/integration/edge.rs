//! Who is let near a runtime behind axum: layers and handlers in front that know who asks, addresses with too many connections,
//! and clients that never finish a handshake.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::axum::extract::{ConnectInfo, FromRef, Path, Request, State};
use ::axum::middleware::{Next, from_fn};
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::{any, get};
use ::axum::{Extension, Router};
use arcp_axum::{Server, TlsPeer, Upgrade};
use arcp_client::proto::{BearerToken, Feature};
use arcp_client::ws::WsConnector;
use arcp_client::{Client, ConnectError};
use arcp_runtime::credentials::MemoryLedger;
use arcp_runtime::{
    Authenticated, AuthenticationError, Authenticator, Caller, Limits, Principal, Runtime, RuntimeBuilder,
    Visitor,
};
use arcp_testing::{FixtureGateway, with_fixtures};
use arcp_transport_ws::WsListener;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::support::{Raw, hello, http, runtime, token};

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { ::axum::serve(listener, router).await });
    address
}

async fn whoami(client: &Client) -> String {
    let mut job = client.submit("whoami").await.unwrap();
    job.result::<Value>().await.unwrap()["principal"].as_str().unwrap().to_owned()
}

fn status_of(error: ConnectError) -> u16 {
    match error {
        ConnectError::Transport(arcp_transport::ConnectError::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

fn connector(address: SocketAddr, path: &str, header: Option<(&'static str, &'static str)>) -> WsConnector {
    let connector = WsConnector::new(&format!("ws://{address}{path}")).unwrap();
    match header {
        Some((name, value)) => {
            connector.with_header(HeaderName::from_static(name), HeaderValue::from_static(value))
        }
        None => connector,
    }
}

/// Who somebody is, as a layer in front has found out.
#[derive(Clone)]
struct SignedIn(&'static str);

/// Lets in who is signed in, whatever the token, and nobody else.
struct InFront;

impl Authenticator for InFront {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        Err(AuthenticationError::Invalid)
    }

    async fn authenticate_visitor(
        &self,
        _: &BearerToken,
        visitor: &Visitor,
    ) -> Result<Caller, AuthenticationError> {
        let request = visitor.request::<Parts>().ok_or(AuthenticationError::Unavailable)?;
        assert!(request.headers.contains_key(header::SEC_WEBSOCKET_KEY), "it is the request as it came");
        match request.extensions.get::<SignedIn>() {
            Some(SignedIn(name)) => Ok(Principal::new(*name).into()),
            None => Err(AuthenticationError::Invalid),
        }
    }
}

#[tokio::test]
async fn a_layer_in_front_decides_who_somebody_is() {
    let runtime = with_fixtures(Runtime::builder().authenticator(InFront)).build().unwrap();
    let sign_in = from_fn(async |mut request: Request, next: Next| {
        let name = match request.headers().get("x-session") {
            Some(value) if value == "one" => Some("alice"),
            Some(value) if value == "two" => Some("bob"),
            _ => None,
        };
        if let Some(name) = name {
            request.extensions_mut().insert(SignedIn(name));
        }
        next.run(request).await
    });
    let address = serve(Router::new().route("/arcp", arcp_axum::serve(runtime)).layer(sign_in)).await;
    for (value, principal) in [("one", "alice"), ("two", "bob")] {
        let connector = connector(address, "", Some(("x-session", value)));
        assert_eq!(whoami(&Client::connect(connector, "any").await.unwrap()).await, principal);
    }
    for header in [None, Some(("x-session", "three")), Some(("x-signed-in", "alice"))] {
        let refused = Client::connect(connector(address, "", header), "any").await.unwrap_err();
        assert!(refused.to_string().contains("UNAUTHENTICATED"), "{refused}");
    }
}

/// What an application has, of which runtimes are a part.
#[derive(Clone)]
struct App {
    runtimes: Arc<[(&'static str, Runtime)]>,
}

#[derive(Clone)]
struct Motto(&'static str);

impl FromRef<App> for Motto {
    fn from_ref(_: &App) -> Self {
        Self("well")
    }
}

async fn tenant(
    State(app): State<App>,
    Path(name): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
) -> Response {
    assert_eq!(upgrade.peer().address, Some(from));
    match app.runtimes.iter().find(|(tenant, _)| *tenant == name) {
        Some((_, runtime)) => upgrade.allow_origin("https://console.example").serve(runtime),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_handler_looks_at_the_request_and_chooses_among_runtimes() {
    let (one, other) = (runtime(Limits::default()).0, runtime(Limits::default()).0);
    let app = App { runtimes: Arc::new([("one", one.clone()), ("other", other)]) };
    let inner = Router::new().route("/{tenant}/arcp", any(tenant));
    let motto = get(|State(Motto(motto)): State<Motto>| async move { motto });
    let router = Router::new().nest("/tenants", inner).route("/motto", motto).with_state(app);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve(router, std::future::pending()));

    let client =
        Client::connect(connector(address, "/tenants/one/arcp", None), token("alice")).await.unwrap();
    assert_eq!(whoami(&client).await, "alice");
    let nobody = Client::connect(connector(address, "/tenants/none/arcp", None), token("alice")).await;
    assert_eq!(status_of(nobody.unwrap_err()), 404);
    let plain = http(address, "GET /tenants/one/arcp HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 426 "), "{plain}");
    let motto = http(address, "GET /motto HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n").await;
    assert!(motto.ends_with("well"), "{motto}");
    for (origin, expected) in [("https://console.example", None), ("https://evil.example", Some(403))] {
        let connector = connector(address, "/tenants/other/arcp", Some(("origin", origin)));
        let connected = Client::connect(connector, token("alice")).await;
        assert_eq!(connected.err().map(status_of), expected, "{origin}");
    }
    assert!(one.shutdown().await);
    let gone = Client::connect(connector(address, "/tenants/one/arcp", None), token("alice")).await;
    assert_eq!(status_of(gone.unwrap_err()), 503);
}

#[tokio::test]
async fn sessions_do_not_count_as_requests_to_a_layer_that_limits_those() {
    let (runtime, _stage) = runtime(Limits::default());
    let tokens = Arc::new(Semaphore::new(3));
    let limit = from_fn(move |request: Request, next: Next| {
        let tokens = Arc::clone(&tokens);
        async move {
            match tokens.try_acquire() {
                Ok(token) => token.forget(),
                Err(_) => return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
            }
            next.run(request).await
        }
    });
    let router = Router::new()
        .route("/arcp", arcp_axum::serve(runtime))
        .layer(tower::limit::ConcurrencyLimitLayer::new(1))
        .layer(limit);
    let url = format!("ws://{}", serve(router).await);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(arcp_client::connect(&url, token("alice")).await.unwrap()); // one request at a time, three sessions
    }
    for client in &clients {
        assert_eq!(whoami(client).await, "alice");
    }
    let ConnectError::Transport(refused) = arcp_client::connect(&url, token("alice")).await.unwrap_err()
    else {
        panic!("the layer does not let it through")
    };
    assert!(refused.is_transient(), "{refused:?}");
}

fn builder() -> RuntimeBuilder<Authenticated> {
    let tokens = arcp_runtime::StaticTokens::new().token(token("alice"), "alice");
    with_fixtures(Runtime::builder().authenticator(tokens))
}

#[tokio::test]
async fn a_request_that_came_over_tls_is_secure_from_wherever_it_came() {
    for (over_tls, expected) in [(true, true), (false, false)] {
        let dir = tempfile::tempdir().unwrap();
        let gateway = FixtureGateway::open(dir.path().join("calls")).unwrap();
        let runtime = builder().credentials(gateway, MemoryLedger::dangerous()).build().unwrap();
        let from = SocketAddr::from(([192, 0, 2, 7], 0));
        let mut router = Router::new().route("/arcp", arcp_axum::serve(runtime));
        router = router.layer(Extension(ConnectInfo(from)));
        if over_tls {
            router = router.layer(Extension(TlsPeer::new(Vec::new())));
        }
        let url = format!("ws://{}", serve(router).await);
        let client = arcp_client::connect(&url, token("alice")).await.unwrap();
        assert_eq!(client.opened().features.contains(&Feature::ProvisionedCredentials), expected);
    }
}

/// A server whose addresses may have so many connections at the door.
async fn narrow(limit: usize) -> SocketAddr {
    let (runtime, _stage) = runtime(Limits::default());
    let server = Server::bind("127.0.0.1:0").await.unwrap().max_connections_per_address(Some(limit));
    let address = server.local_addr().unwrap();
    let router =
        Router::new().route("/arcp", arcp_axum::serve(runtime)).route("/health", get(|| async { "well" }));
    tokio::spawn(server.serve(router, std::future::pending()));
    address
}

/// Whether a connection is closed though nobody has said anything.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}

/// What `/health` says to somebody with this address, if anything.
async fn health(address: SocketAddr, from: Ipv4Addr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // Both fail where the connection is closed at once.
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n").await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// Every address of 127.0.0.0/8 is this machine's here.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_cannot_take_every_place_at_the_door() {
    let address = narrow(4).await;
    let (here, elsewhere) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(TcpStream::connect(address).await.unwrap());
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /health HTTP/1.1\r\nHost:").await.unwrap();
        idle.push(half);
    }
    for _ in 0..20 {
        let mut more = TcpStream::connect(address).await.unwrap();
        assert!(is_closed(&mut more).await);
    }
    assert_eq!(health(address, here).await, "");
    assert!(health(address, elsewhere).await.ends_with("well"));
    drop(idle);
    while !health(address, here).await.ends_with("well") {}
}

#[tokio::test]
async fn who_has_said_nothing_over_a_websocket_counts_and_who_has_a_session_does_not() {
    let address = narrow(2).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(Raw::open(address, "alice").await.0);
    }
    let mut silent = [Raw::connect(address).await, Raw::connect(address).await];
    assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
    silent[0].say("session.hello", hello(&token("bob"))).await;
    silent[0].receive_type("session.welcome").await;
    let last = Raw::connect(address).await; // its place is another's
    assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
    // Who is refused has its place until its connection is gone.
    silent[1].say("session.hello", hello("wrong")).await;
    silent[1].receive_error("UNAUTHENTICATED").await;
    assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
    drop((silent, last));
    while health(address, Ipv4Addr::LOCALHOST).await.is_empty() {}
    for session in &mut sessions {
        session.is_alive().await;
    }
}

/// The same for a runtime that has its port to itself.
#[tokio::test]
async fn at_a_listener_too_who_has_a_session_does_not_count() {
    let (runtime, _stage) = runtime(Limits::default());
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap().with_max_per_address(Some(2));
    let address = listener.local_addr();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(Raw::open(address, "alice").await.0);
    }
    let mut silent = Raw::connect(address).await;
    let idle = TcpStream::connect(address).await.unwrap();
    assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
    silent.say("session.hello", hello(&token("bob"))).await;
    silent.receive_type("session.welcome").await;
    sessions.extend([silent, Raw::connect(address).await]);
    assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
    drop(idle);
    sessions.pop();
    for session in &mut sessions {
        session.is_alive().await;
    }
}

/// Without anything in front: an authenticator sees the request as it came.
#[tokio::test]
async fn at_a_listener_too_requests_are_shown_to_authenticators() {
    struct Named;
    impl Authenticator for Named {
        async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
            Err(AuthenticationError::Invalid)
        }

        async fn authenticate_visitor(
            &self,
            _: &BearerToken,
            visitor: &Visitor,
        ) -> Result<Caller, AuthenticationError> {
            let name = visitor.request::<Parts>().and_then(|request| request.headers.get("x-name"));
            let name = name.and_then(|name| name.to_str().ok()).ok_or(AuthenticationError::Invalid)?;
            Ok(Principal::new(name).into())
        }
    }
    let runtime = with_fixtures(Runtime::builder().authenticator(Named)).build().unwrap();
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let address = listener.local_addr();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    let client = Client::connect(connector(address, "", Some(("x-name", "ada"))), "any").await.unwrap();
    assert_eq!(whoami(&client).await, "ada");
    assert!(Client::connect(connector(address, "", None), "any").await.is_err());
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_not_waited_for() {
    let server = Server::bind("127.0.0.1:0").await.unwrap().handshake_timeout(Duration::from_millis(50));
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve(Router::new(), std::future::pending()));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer).await;
    let _ = half.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200"), "{answer:?}");
}

#[tokio::test]
async fn who_asks_for_ever_does_not_stay_for_ever() {
    let server = Server::bind("127.0.0.1:0").await.unwrap().handshake_timeout(Duration::from_millis(50));
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve(Router::new(), std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Each request comes whole and in time.
    let mut answer = [0; 1024];
    while stream.write_all(b"GET / HTTP/1.1\r\nHost: r\r\n\r\n").await.is_ok() {
        match stream.read(&mut answer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_not_read_to_its_end() {
    let address = narrow(100).await;
    let head = |bytes: usize| {
        let value = "x".repeat(bytes);
        format!("GET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\nX-Long: {value}\r\n\r\n")
    };
    assert!(http(address, &head(12 << 10)).await.starts_with("HTTP/1.1 200 "));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    stream.write_all(&head(1 << 20).into_bytes()[..16 << 10]).await.unwrap(); // and no more: nobody would read it
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn jobs_that_are_submitted_too_often_are_refused_over_a_connection_that_goes_on() {
    let rates = arcp_runtime::RateLimits::none().submits("1/h:2".parse().unwrap());
    let runtime = builder().rate_limits(rates).build().unwrap();
    let url = format!("ws://{}", serve(Router::new().route("/arcp", arcp_axum::serve(runtime))).await);
    let client = arcp_client::connect(&url, token("alice")).await.unwrap();
    let mut first = client.submit("echo").input(&1).await.unwrap();
    whoami(&client).await;
    let refused = client.submit("echo").input(&2).await.unwrap_err();
    let arcp_client::RequestError::Refused(error) = refused else { panic!("{refused:?}") };
    assert!(error.retryable && error.message.contains("try again in "), "{error}");
    let details: Value = error.details.unwrap().decode().unwrap();
    assert!(details["retry_after_ms"].as_u64().unwrap() > 1_000_000, "{details}");
    assert_eq!(first.result::<Value>().await.unwrap(), json!({ "echoed": 1 }));
}
