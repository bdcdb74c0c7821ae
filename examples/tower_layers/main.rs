//! A runtime behind layers: one that says who somebody is, one that limits how often an address may ask, a log, and a timeout
//! that ends no session.
//!
//! ```sh
//! cargo run --example tower_layers
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it shows")]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arcp::Client;
use arcp::axum::Server;
use arcp::client::ConnectError;
use arcp::proto::BearerToken;
use arcp::runtime::{
    AgentError, AuthenticationError, Authenticator, Caller, JobContext, Principal, Runtime, Visitor, agent_fn,
};
use arcp::transport::ConnectError as LinkError;
use arcp::ws::WsConnector;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

/// Who somebody is. Only the layer below makes one.
#[derive(Clone)]
struct SignedIn(String);

/// Finds out who asks. What stands behind a cookie is for the application to know; here it is the name itself.
async fn sign_in(mut request: Request, next: Next) -> Response {
    let cookie = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok());
    let Some(name) = cookie.and_then(|cookie| cookie.strip_prefix("user=")).map(str::to_owned) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(SignedIn(name));
    next.run(request).await
}

type PerAddress = Arc<DefaultKeyedRateLimiter<IpAddr>>;

/// Lets an address ask so often and not more. A session is one request, however long it lasts.
async fn limit(
    State(rate): State<PerAddress>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match rate.check_key(&from.ip()) {
        Ok(()) => next.run(request).await,
        Err(_) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
    }
}

/// Lets in whoever the layer has let in, as who it says that they are. Their token is not looked at.
struct InFront;

impl Authenticator for InFront {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        Err(AuthenticationError::Invalid) // they did not come through the layer
    }

    async fn authenticate_visitor(
        &self,
        _: &BearerToken,
        visitor: &Visitor,
    ) -> Result<Caller, AuthenticationError> {
        let signed_in = visitor.request::<Parts>().and_then(|request| request.extensions.get::<SignedIn>());
        let SignedIn(name) = signed_in.ok_or(AuthenticationError::Invalid)?;
        Ok(Principal::new(name.as_str()).into())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let greet = agent_fn(async |ctx: JobContext, (): ()| {
        tokio::time::sleep(Duration::from_millis(300)).await; // longer than the timeout below
        Ok::<_, AgentError>(format!("hello, {}", ctx.principal()))
    });
    let runtime = Runtime::builder().authenticator(InFront).agent("greet@1.0.0", greet).build()?;
    let rate =
        RateLimiter::keyed(Quota::per_hour(NonZeroU32::MIN).allow_burst(NonZeroU32::MIN.saturating_add(2)));
    let app = Router::new()
        .route("/arcp", arcp::axum::serve(runtime))
        .layer(from_fn(sign_in))
        .layer(from_fn_with_state(PerAddress::new(rate), limit))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(200)))
        .layer(TraceLayer::new_for_http());
    let server = Server::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", server.local_addr()?);
    tokio::spawn(server.serve(app, std::future::pending()));

    for cookie in [Some("user=ada"), Some("user=grace"), None, Some("user=ada")] {
        let mut connector = WsConnector::new(&url)?;
        if let Some(cookie) = cookie {
            let cookie = HeaderValue::from_static(cookie);
            connector = connector.with_header(HeaderName::from_static("cookie"), cookie);
        }
        match Client::connect(connector, "unused").await {
            Ok(client) => {
                let greeting: String = client.submit("greet").input(&()).await?.result().await?;
                println!("{greeting}");
                client.close().await;
            }
            Err(ConnectError::Transport(LinkError::Refused { status, .. })) => println!("{status}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
