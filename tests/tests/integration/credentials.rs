//! Provisioned credentials (§9.8) over the wire: who is shown them, what the upstream is asked, and that no value leaks.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arcp_client::Client;
use arcp_client::proto::{Credential, Feature, Lease};
use arcp_client::ws::WsConnector;
use arcp_runtime::credentials::{
    CredentialOrder, CredentialProvisioner, FileLedger, Issued, MemoryLedger, Outstanding, ProvisionError,
};
use arcp_runtime::proto::event::Body;
use arcp_runtime::store::{Batch, Epoch, Opened, Write};
use arcp_runtime::{
    Authenticated, MemoryStore, Observation, ObservationPolicy, Principal, Runtime, RuntimeBuilder,
    StaticTokens, Store, StoreError,
};
use arcp_testing::{FixtureGateway, with_fixtures};
use axum::extract::ConnectInfo;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::log::Log;
use crate::support::{Raw, token};

/// Bob may observe what alice does.
struct BobLooks;

impl ObservationPolicy for BobLooks {
    fn observation(&self, observer: &Principal, _: &Principal) -> Observation {
        if observer.as_str() == "bob" { Observation::Allowed } else { Observation::Hidden }
    }
}

fn builder() -> RuntimeBuilder<Authenticated> {
    let tokens = ["alice", "bob"]
        .into_iter()
        .fold(StaticTokens::new(), |tokens, principal| tokens.token(token(principal), principal));
    with_fixtures(Runtime::builder().authenticator(tokens).observation(BobLooks))
}

async fn listen(runtime: &Runtime) -> SocketAddr {
    let server = arcp_axum::Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let router = axum::Router::new().route("/arcp", arcp_axum::serve(runtime.clone()));
    tokio::spawn(server.serve(router, std::future::pending()));
    address
}

async fn client(address: SocketAddr, principal: &str) -> Client {
    arcp_client::connect(format!("ws://{address}"), token(principal)).await.unwrap()
}

async fn all_revoked(runtime: &Runtime) {
    while runtime.outstanding_credentials() != Default::default() {
        tokio::task::yield_now().await;
    }
}

fn calls(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lease() -> Lease {
    Lease::empty().grant("cost.budget", "USD:2.00").grant("model.use", "tier-fast/*")
}

/// The example of §13.7.
#[tokio::test]
async fn a_credential_is_issued_rotated_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls");
    let gateway = FixtureGateway::open(&path).unwrap().failing_revocations(2);
    let ledger = FileLedger::open(dir.path().join("ledger")).unwrap();
    let runtime = builder().credentials(gateway, ledger).build().unwrap();
    let address = listen(&runtime).await;
    let alice = client(address, "alice").await;
    assert!(alice.opened().features.contains(&Feature::ProvisionedCredentials));

    let mut job = alice.submit("rotate").lease(lease()).await.unwrap();
    let [credential] = &job.accepted().credentials[..] else { panic!("one credential") };
    let credential: Credential = credential.clone();
    let constraints = json!({ "cost.budget": ["USD:2.00"], "model.use": ["tier-fast/*"] });
    assert_eq!(serde_json::to_value(&credential.constraints).unwrap(), constraints);
    let event = job.next().await.unwrap();
    let Body::Status(status) = &event.body else { panic!("{event:?}") };
    assert_eq!((status.phase.as_str(), status.id.as_ref()), ("credential_rotated", Some(&credential.id)));
    assert!(status.value.as_ref().is_some_and(|value| *value != credential.value));
    let result: Value = job.result().await.unwrap();
    assert_eq!(result, json!({ "credential_id": credential.id }));

    all_revoked(&runtime).await;
    let calls = calls(&path);
    let ops: Vec<_> = calls.iter().map(|call| call["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["issue", "rotate", "revoke", "revoke"]);
    for call in &calls {
        assert_eq!((&call["credential_id"], &call["job_id"]), (&json!(credential.id), &json!(job.id())));
        assert_eq!(call["constraints"], constraints);
    }
    let mut revoked: Vec<_> = calls[2..].iter().map(|call| &call["handle"]).collect();
    revoked.sort_by_key(|handle| handle.as_str());
    assert_eq!(revoked, [&calls[0]["handle"], &calls[1]["handle"]]);
}

#[tokio::test]
async fn children_have_credentials_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls");
    let gateway = FixtureGateway::open(&path).unwrap();
    let runtime = builder().credentials(gateway, MemoryLedger::dangerous()).build().unwrap();
    let address = listen(&runtime).await;
    let alice = client(address, "alice").await;
    let input = json!({ "agent": "rotate", "input": {}, "lease_request": { "cost.budget": ["USD:0.50"] } });
    let lease = lease().grant("agent.delegate", "*");
    let mut job = alice.submit("delegate").input(&input).lease(lease).await.unwrap();
    let result: Value = job.result().await.unwrap();
    assert_eq!(result["final_status"], "success", "{result}");
    let child = &result["child_job_id"];
    all_revoked(&runtime).await;
    let calls = calls(&path);
    let ops: Vec<_> = calls.iter().take(3).map(|call| call["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["issue", "constrain", "issue"]);
    assert_eq!(calls[1]["job_id"], json!(job.id()));
    assert_eq!(calls[1]["constraints"]["cost.budget"], json!(["USD:1.50"]), "less what the child is given");
    let calls: Vec<_> = calls.iter().filter(|call| call["op"] != "constrain").collect();
    let of_child: Vec<_> = calls.iter().filter(|call| call["job_id"] == *child).collect();
    assert_eq!((calls.len(), of_child.len()), (6, 4));
    assert_eq!(
        of_child[0]["constraints"],
        json!({ "cost.budget": ["USD:0.50"], "model.use": ["tier-fast/*"] })
    );
    assert_eq!(of_child[0]["credential_id"], result["result"]["credential_id"]);
    assert_ne!(of_child[0]["credential_id"], calls[0]["credential_id"]);
}

#[tokio::test]
async fn without_a_provisioner_nothing_is_offered_and_nothing_rotated() {
    let runtime = builder().build().unwrap();
    let address = listen(&runtime).await;
    let alice = client(address, "alice").await;
    assert!(!alice.opened().features.contains(&Feature::ProvisionedCredentials));
    let mut job = alice.submit("rotate").await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "credential_id": null }));
}

/// Whether `provisioned_credentials` is offered where a router says that this is who asks.
async fn is_offered(runtime: RuntimeBuilder<Authenticated>, asks: Option<&str>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let gateway = FixtureGateway::open(dir.path().join("calls")).unwrap();
    let runtime = runtime.credentials(gateway, MemoryLedger::dangerous()).build().unwrap();
    let mut router = axum::Router::new().route("/arcp", arcp_axum::serve(runtime));
    if let Some(asks) = asks {
        let asks = SocketAddr::new(asks.parse().unwrap(), 0);
        router = router.layer(axum::Extension(ConnectInfo(asks)));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let alice = client(address, "alice").await;
    alice.opened().features.contains(&Feature::ProvisionedCredentials)
}

/// The same where a client on this machine sends a header.
async fn is_offered_with(
    runtime: RuntimeBuilder<Authenticated>,
    name: &'static str,
    value: &'static str,
) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let gateway = FixtureGateway::open(dir.path().join("calls")).unwrap();
    let runtime = runtime.credentials(gateway, MemoryLedger::dangerous()).build().unwrap();
    let connector = WsConnector::new(&format!("ws://{}/arcp", listen(&runtime).await)).unwrap();
    let connector = connector.with_header(HeaderName::from_static(name), HeaderValue::from_static(value));
    let alice = Client::connect(connector, token("alice")).await.unwrap();
    alice.opened().features.contains(&Feature::ProvisionedCredentials)
}

/// Who listens on the way has nothing of it (§14).
#[tokio::test]
async fn credentials_are_offered_to_this_machine_and_over_tls() {
    for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(is_offered(builder(), Some(local)).await, "{local}");
    }
    for distant in [Some("192.0.2.7"), Some("2001:db8::7"), None] {
        assert!(!is_offered(builder(), distant).await, "{distant:?}");
        assert!(is_offered(builder().behind_tls(), distant).await, "{distant:?}");
    }
}

/// A proxy on this machine says nothing about the way to it.
#[tokio::test]
async fn what_a_proxy_hands_on_does_not_count_as_of_this_machine() {
    assert!(is_offered_with(builder(), "x-tenant", "a").await);
    for (name, value) in [
        ("forwarded", "for=192.0.2.7"),
        ("via", "1.1 proxy"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "192.0.2.7"),
    ] {
        assert!(!is_offered_with(builder(), name, value).await, "{name}");
        assert!(is_offered_with(builder().behind_tls(), name, value).await, "{name}");
    }
}

const CANARY: &str = "sk-canary";

/// Issues values that are found wherever they leak.
struct Leaky;

impl CredentialProvisioner for Leaky {
    async fn issue(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        tracing::debug!(target: "arcp", ?order, "issues");
        let issued = Issued::bearer(format!("{CANARY}-{}", order.handle), "https://gateway.invalid/v1");
        tracing::debug!(target: "arcp", ?issued, "issued");
        Ok(issued)
    }

    async fn revoke(&self, _: &Outstanding) -> Result<(), ProvisionError> {
        Err(ProvisionError::Permanent("no".into()))
    }
}

/// Shows what it is given to write.
#[derive(Clone)]
struct Shown(MemoryStore, Arc<Mutex<String>>);

impl Store for Shown {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        self.0.open()
    }

    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut shown = self.1.lock().unwrap();
        shown.push_str(&format!("{batch:?}\n"));
        for write in &batch.writes {
            match write {
                Write::Job(record) => {
                    shown.push_str(&serde_json::to_string(&record.accepted).unwrap());
                }
                Write::Appended(entries) => {
                    entries.iter().for_each(|one| shown.push_str(one.entry.payload.as_str()));
                }
                _ => {}
            }
        }
        self.0.commit(epoch, batch)
    }
}

#[tokio::test] // on one thread, for which the subscriber is
async fn no_value_is_logged_stored_listed_or_shown_to_others() {
    let (log, _capturing) = Log::capture("arcp", LevelFilter::TRACE);

    let written = Arc::new(Mutex::new(String::new()));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let ledger = FileLedger::open(&path).unwrap();
    let store = Shown(MemoryStore::new(), Arc::clone(&written));
    let runtime = builder().store(store).credentials(Leaky, ledger).build().unwrap();
    let address = listen(&runtime).await;

    let alice = client(address, "alice").await;
    let mut job = alice.submit("rotate").lease(lease()).idempotency_key("k").await.unwrap();
    assert!(job.accepted().credentials[0].value.expose().starts_with(CANARY), "the canary is alive");
    let mut shown = format!("{alice:?} {job:?} {:?} {:?}", job.accepted(), alice.opened());
    while let Some(event) = job.next().await {
        assert!(event.raw.as_str().contains(CANARY), "the canary is alive");
        shown.push_str(&format!("{event} {event:?}"));
    }
    job.result::<Value>().await.unwrap();
    let entries: Vec<_> = alice.jobs().stream().try_collect().await.unwrap();
    shown.push_str(&serde_json::to_string(&entries).unwrap());

    // Somebody else, who may look: at a replay, and at what happens.
    let (mut bob, _) = Raw::open(address, "bob").await;
    let features = json!(["subscribe", "list_jobs", "provisioned_credentials"]);
    let mut hello = crate::support::hello(&token("bob"));
    hello["capabilities"]["features"] = features;
    let mut rich = Raw::connect(address).await;
    rich.say("session.hello", hello).await;
    shown.push_str(&rich.receive_type("session.welcome").await.to_string());
    rich.say("session.list_jobs", json!({})).await;
    shown.push_str(&rich.receive_type("session.jobs").await.to_string());
    rich.say("job.subscribe", json!({ "job_id": job.id(), "history": true })).await;
    let subscribed = rich.receive_type("job.subscribed").await;
    assert!(subscribed["payload"].get("credentials").is_none());
    let event = rich.receive_type("job.event").await;
    assert_eq!(event["payload"]["body"]["phase"], "credential_rotated");
    assert!(event["payload"]["body"].get("value").is_none());
    shown.push_str(&format!("{subscribed}{event}{}", rich.receive_type("job.result").await));
    bob.say("job.cancel", json!({ "job_id": job.id() })).await;
    shown.push_str(&bob.receive().await.to_string());

    while runtime.outstanding_credentials().unrevocable < 2 {
        tokio::task::yield_now().await;
    }
    runtime.shutdown().await;
    shown.push_str(&std::fs::read_to_string(&path).unwrap());
    let (log, written) = (log.text(), written.lock().unwrap().clone());
    assert!(log.contains("credential cannot be revoked") && log.contains("issued"), "the log is kept: {log}");
    assert!(written.contains("credential_rotated"), "what is written is seen");
    for text in [log, written, shown] {
        let at = text.find(CANARY).map(|at| text[..at + CANARY.len()].lines().last());
        assert_eq!(at, None);
    }
}
