//! Each job has a key of its own for an upstream that costs money: issued before the job begins, bounded as its lease is, and revoked
//! when it ends, in whatever way.
//!
//! ```sh
//! cargo run --example provisioned_credentials
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use arcp::proto::Lease;
use arcp::runtime::credentials::{
    CredentialOrder, CredentialProvisioner, FileLedger, Issued, Outstanding, ProvisionError,
};

/// Something that is paid for, with an API for keys. Keys are known by the handles that the runtime gives them.
#[derive(Clone, Default)]
struct Upstream {
    keys: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Upstream {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, key: &str, question: &str) -> io::Result<String> {
        let known = self.keys().values().any(|known| known == key);
        let answer = known.then(|| format!("{question} Because."));
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "the key is not known here"))
    }
}

impl CredentialProvisioner for Upstream {
    async fn issue(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| ProvisionError::Transient(error.into()))?;
        let key = format!("sk-{:032x}", u128::from_le_bytes(secret));
        self.keys().insert(order.handle.clone(), key.clone());
        // An upstream says what it enforces, and no more than that.
        Ok(Issued::bearer(key, "https://llm.example.com/v1")
            .profile("openai")
            .constraints(order.constraints()))
    }

    async fn revoke(&self, credential: &Outstanding) -> Result<(), ProvisionError> {
        self.keys().remove(&credential.handle);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let upstream = Upstream::default();
    let ask = agent_fn({
        let upstream = upstream.clone();
        move |ctx: JobContext, question: String| {
            let upstream = upstream.clone();
            async move {
                let credentials = ctx.credentials();
                let key = credentials.first().ok_or_else(|| AgentError::invalid_request("no key"))?;
                Ok::<_, AgentError>(upstream.answer(key.value.expose(), &question)?)
            }
        }
    });
    let directory = tempfile::tempdir()?;
    let ledger = FileLedger::open(directory.path().join("ledger"))?;
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("ask@1.0.0", ask)
        .credentials(upstream.clone(), ledger)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let lease = Lease::empty().grant("cost.budget", "USD:0.50").grant("model.use", "small/*");
    let mut job = client.submit("ask").input("why?").lease(lease).await?;
    println!("{}", job.result::<String>().await?);
    let key = job.credentials().first().context("its client is shown the key")?.clone();
    println!("{} at {}: {:?}", key.scheme, key.endpoint, key.constraints.and_then(|some| some.cost_budget));
    println!("{:?}", key.value);
    // Revoked before the shutdown is through, and by the next run if this one could not.
    client.close().await;
    runtime.shutdown().await;
    let late = upstream.answer(key.value.expose(), "and now?").err().context("the key is good no more")?;
    println!("{late}");
    Ok(())
}
