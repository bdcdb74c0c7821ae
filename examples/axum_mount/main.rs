//! A runtime as a part of a web application: beside other routes, nested, and in a handler that chooses among several.
//!
//! ```sh
//! cargo run --example axum_mount
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it shows")]

use std::collections::HashMap;
use std::sync::Arc;

use arcp::axum::{Server, Upgrade};
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

/// A runtime with one agent, which says where it is.
fn runtime(place: &'static str) -> anyhow::Result<Runtime> {
    let place = agent_fn(move |_: JobContext, (): ()| async move { Ok::<_, AgentError>(place) });
    let tokens = StaticTokens::new().token("s3cret", "you");
    Ok(Runtime::builder().authenticator(tokens).agent("place@1.0.0", place).build()?)
}

/// What the application knows: a runtime for each tenant.
type Tenants = Arc<HashMap<&'static str, Runtime>>;

/// A handler of one's own: it takes from the request what it likes, and has a runtime serve it.
async fn tenant(State(tenants): State<Tenants>, Path(name): Path<String>, upgrade: Upgrade) -> Response {
    match tenants.get(name.as_str()) {
        Some(runtime) => upgrade.serve(runtime),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let tenants = [("red", runtime("the red tenant's")?), ("blue", runtime("the blue tenant's")?)];
    let api = Router::new()
        .route("/agents", arcp::axum::serve(runtime("nested")?))
        .route("/version", get(|| async { "1.0.0" }));
    let app = Router::new()
        .route("/arcp", arcp::axum::serve(runtime("at the top")?))
        .route("/healthz", get(|| async { "ok" }))
        .route("/tenants/{name}/arcp", any(tenant))
        .nest("/api/v1", api)
        .with_state(Tenants::new(tenants.into_iter().collect()));
    let server = Server::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    tokio::spawn(server.serve(app, std::future::pending()));

    for path in ["/arcp", "/api/v1/agents", "/tenants/red/arcp", "/tenants/blue/arcp"] {
        let client = arcp::connect(format!("ws://{address}{path}"), "s3cret").await?;
        let place: String = client.submit("place").input(&()).await?.result().await?;
        println!("{path} is {place}");
        client.close().await;
    }
    match arcp::connect(format!("ws://{address}/tenants/green/arcp"), "s3cret").await {
        Ok(_) => anyhow::bail!("there is no such tenant"),
        Err(_) => println!("/tenants/green/arcp is nowhere"),
    }
    Ok(())
}
