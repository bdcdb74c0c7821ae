//! Clients come with JWTs: whose jobs they are, and what these may ask for at most, is what the issuer has signed.
//!
//! ```sh
//! cargo run --example jwt
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{AgentError, JobContext, Runtime, agent_fn};
use arcp::transport::memory;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use arcp::jwt::{Jwt, Key};
use arcp::proto::Lease;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let whoami = agent_fn(async |ctx: JobContext, (): ()| {
        Ok::<_, AgentError>((ctx.principal().to_string(), ctx.lease().clone()))
    });
    // With an issuer that publishes its keys: `.discover()` in place of `.keys(…)`.
    let secret = b"a secret of 32 bytes, at the least";
    let tokens =
        Jwt::builder("https://id.example.com", "arcp").scope("arcp").keys([Key::shared_secret(secret)?])?;
    let sign =
        |claims: Value| jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret));
    let runtime = Runtime::builder().authenticator(tokens).agent("whoami@1.0.0", whoami).build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 60;
    let claims = json!({
        "iss": "https://id.example.com", "aud": "arcp", "sub": "ci", "scope": "arcp", "exp": expires,
        "arcp_lease": { "fs.read": ["/srv/build/**"] },
    });
    let client = Client::connect(connector.clone(), sign(claims.clone())?).await?;
    let allowed = Lease::empty().grant("fs.read", "/srv/build/log/*");
    let (name, lease) = client.submit("whoami").lease(allowed).await?.result::<(String, Lease)>().await?;
    println!("{name} may read {}", lease.patterns("fs.read").join(", "));
    let too_much = Lease::empty().grant("fs.read", "/etc/**");
    let error = client.submit("whoami").lease(too_much).await.err().context("that is not in the token")?;
    println!("{}", error.code().context("the runtime refused")?);

    let mut old = claims;
    old["exp"] = json!(expires - 3_600);
    let error = Client::connect(connector, sign(old)?).await.err().context("that token is out of date")?;
    println!("{}", error.code().context("the runtime refused")?);

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
