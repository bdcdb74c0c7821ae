//! Runtimes that let their clients in by JWT: what these are told, and what their jobs are given.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arcp_client::proto::Lease;
use arcp_client::{Client, State};
use arcp_jwt::Jwt;
use arcp_runtime::{AgentError, JobContext, Runtime, agent_fn};
use arcp_transport::memory;
use futures_util::StreamExt;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::signer::Signer;
use crate::{ISSUER, claims};

async fn serving(signer: &Signer) -> memory::MemoryConnector {
    let tells = agent_fn(async |ctx: JobContext, (): ()| {
        Ok::<_, AgentError>(json!({ "principal": ctx.principal().as_str(), "lease": ctx.lease() }))
    });
    let jwt = Jwt::builder(ISSUER, "arcp").issuer_in_principal().keys([signer.key()]).unwrap();
    let runtime = Runtime::builder().authenticator(jwt).agent("tells@1", tells).build().unwrap();
    let (connector, listener) = memory::listener();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    connector
}

#[tokio::test]
async fn a_job_has_what_its_token_lets_it_have() {
    let signer = Signer::new("k", Algorithm::ES256);
    let connector = serving(&signer).await;
    let mut claims = claims();
    claims["arcp_lease"] = json!({ "fs.read": ["/data/**"], "cost.budget": ["USD:5"] });
    let client = Client::connect(connector, signer.sign(&claims)).await.unwrap();
    let lease = Lease::empty().grant("fs.read", "/data/x").grant("cost.budget", "USD:7");
    let told: Value = client.submit("tells").lease(lease).await.unwrap().result().await.unwrap();
    assert_eq!(
        told,
        json!({ "principal": "https://id.example#alice", "lease": { "fs.read": ["/data/x"], "cost.budget": ["USD:5"] } })
    );
    let lease = Lease::empty().grant("fs.read", "/etc/passwd");
    let error = client.submit("tells").lease(lease).await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "PERMISSION_DENIED");
    assert!(error.to_string().contains("[\"fs.read\"][0]"), "{error}");
}

#[tokio::test]
async fn who_is_refused_is_not_told_why() {
    let signer = Signer::new("k", Algorithm::ES256);
    let mut expired = claims();
    expired["exp"] = json!(1);
    let mut of_another = claims();
    of_another["iss"] = json!("https://evil.example");
    let mut texts = Vec::new();
    for token in [signer.sign(&expired), signer.sign(&of_another), "hunter2".to_owned()] {
        let error = Client::connect(serving(&signer).await, token.clone()).await.unwrap_err();
        assert_eq!(error.code().unwrap().as_str(), "UNAUTHENTICATED");
        assert!(!format!("{error} {error:?}").contains(&token));
        texts.push(error.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

/// On a clock that is moved: the minutes of the tokens are none.
#[tokio::test(start_paused = true)]
async fn a_session_that_outlives_its_tokens_loses_nothing() {
    let signer = Arc::new(Signer::new("k", Algorithm::EdDSA));
    let ticks = agent_fn(async |ctx: JobContext, count: u32| {
        let mut ticks = tokio::time::interval(Duration::from_secs(10));
        for number in 0..count {
            ticks.tick().await;
            ctx.info(number.to_string()).await?;
        }
        Ok::<_, AgentError>(count)
    });
    let jwt = Jwt::builder(ISSUER, "arcp").skew(Duration::ZERO).keys([signer.key()]).unwrap();
    let runtime = Runtime::builder().authenticator(jwt).agent("ticks@1", ticks).build().unwrap();
    let (connector, listener) = memory::listener();
    tokio::spawn(async move { runtime.serve_all(listener).await });

    let asked = Arc::new(AtomicUsize::new(0));
    let (issuer, count) = (Arc::clone(&signer), Arc::clone(&asked));
    let token = move || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = claims();
        claims["exp"] = json!(now + 60);
        issuer.sign(&claims)
    };
    let first = token();
    let connect = Client::connect(connector, first).renew_token(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let token = token();
        async move { Ok::<_, Infallible>(token) }
    });
    let client = connect.await.unwrap();
    let session = client.opened().session_id.clone();
    let mut job = client.submit("ticks").input(&30).await.unwrap();
    let events: Vec<_> =
        job.by_ref().map(|event| (event.event_seq.unwrap(), event.to_string())).collect().await;
    let expected: Vec<_> = (0..30).map(|number| (number + 1, format!("info {number}"))).collect();
    assert_eq!(events, expected);
    assert_eq!(job.result::<u32>().await.unwrap(), 30);
    assert_eq!(client.opened().session_id, session);
    assert_eq!(*client.state().borrow(), State::Connected, "it was resumed, and not opened anew");
    let asked = asked.load(Ordering::Relaxed);
    assert!((4..=6).contains(&asked), "a token a minute for five minutes: {asked}");
}
