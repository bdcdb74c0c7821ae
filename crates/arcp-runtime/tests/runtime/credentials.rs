//! Provisioned credentials (§9.8) with an upstream that does what the test says: nothing is asked for that is not written
//! down, and nothing is forgotten before it is revoked.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_runtime::credentials::{
    CredentialChange, CredentialLedger, CredentialOrder, CredentialProvisioner, FileLedger, Issued,
    MemoryLedger, Outstanding, OutstandingCredentials, ProvisionError,
};
use arcp_runtime::proto::{Amount, Budget, BudgetAmount, CredentialConstraints, Lease};
use arcp_runtime::{
    AgentError, Authenticated, BuildError, JobContext, Limits, Runtime, RuntimeBuilder, agent_fn,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance};

use crate::builder;
use crate::peer::Peer;

/// What the upstream does with a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// What it is asked to.
    Yes,
    Transient,
    Permanent,
    NoBudget,
    Panics,
    /// It does what it is asked to, and never says so.
    Silent,
    /// It does what it is asked to once that is allowed.
    Waits,
    Unsupported,
}

#[derive(Default)]
pub(crate) struct State {
    /// What is good, by handle.
    pub(crate) good: BTreeMap<String, CredentialConstraints>,
    /// What was spent in USD, by handle.
    pub(crate) spent: BTreeMap<String, Amount>,
    pub(crate) issues: VecDeque<Answer>,
    pub(crate) changes: VecDeque<Answer>,
    pub(crate) revocations: VecDeque<Answer>,
    calls: Vec<(&'static str, String, Instant)>,
}

/// An upstream, and the ledger that it must find its calls in.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) state: Arc<Mutex<State>>,
    ledger: Arc<dyn CredentialLedger>,
    /// Allows what waits.
    pub(crate) allowed: Arc<Semaphore>,
}

impl Upstream {
    fn new(ledger: impl CredentialLedger) -> Self {
        Self { state: Arc::default(), ledger: Arc::new(ledger), allowed: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn issues(self, answers: &[Answer]) -> Self {
        self.state.lock().unwrap().issues.extend(answers);
        self
    }

    pub(crate) fn changes(self, answers: &[Answer]) -> Self {
        self.state.lock().unwrap().changes.extend(answers);
        self
    }

    pub(crate) fn revocations(self, answers: &[Answer]) -> Self {
        self.state.lock().unwrap().revocations.extend(answers);
        self
    }

    pub(crate) fn good(&self) -> Vec<String> {
        self.state.lock().unwrap().good.keys().cloned().collect()
    }

    /// Spends with the credential that is good for so much.
    pub(crate) fn spend(&self, limit: &str, amount: Amount) {
        let mut state = self.state.lock().unwrap();
        let is_it = |constraints: &CredentialConstraints| {
            constraints.cost_budget.as_deref() == Some(&[limit.to_owned()])
        };
        let handle = state.good.iter().find(|(_, constraints)| is_it(constraints)).unwrap().0.clone();
        state.spent.insert(handle, amount);
    }

    /// What it was asked, without the random part of handles.
    pub(crate) fn calls(&self) -> Vec<String> {
        let call = |(call, handle, _): &(&str, String, Instant)| {
            format!("{call} {}", &handle[handle.rfind('.').unwrap()..])
        };
        self.state.lock().unwrap().calls.iter().map(call).collect()
    }

    async fn asked(&self, call: &'static str, handle: &str) {
        let outstanding = self.ledger.outstanding().await.unwrap();
        assert!(outstanding.iter().any(|one| one.handle == handle), "{call} {handle}: not in the ledger");
        self.state.lock().unwrap().calls.push((call, handle.to_owned(), Instant::now()));
    }

    async fn answer(
        &self,
        answer: Option<Answer>,
        does: impl FnOnce(&mut State),
    ) -> Result<(), ProvisionError> {
        let answer = answer.unwrap_or(Answer::Yes);
        if matches!(answer, Answer::Waits) {
            self.allowed.acquire().await.unwrap().forget();
        }
        if matches!(answer, Answer::Yes | Answer::Silent | Answer::Waits) {
            does(&mut self.state.lock().unwrap());
        }
        match answer {
            Answer::Yes | Answer::Waits => Ok(()),
            Answer::Unsupported => Err(ProvisionError::Unsupported),
            Answer::Transient => Err(ProvisionError::Transient("down".into())),
            Answer::Permanent => Err(ProvisionError::Permanent("no".into())),
            Answer::NoBudget => Err(ProvisionError::BudgetExhausted("broke".into())),
            Answer::Panics => panic!("upstream panics"),
            Answer::Silent => std::future::pending().await,
        }
    }
}

impl CredentialProvisioner for Upstream {
    fn wants(&self, order: &CredentialOrder) -> bool {
        order.agent.name.as_str() != "poor"
    }

    async fn issue(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        self.asked("issue", &order.handle).await;
        let answer = self.state.lock().unwrap().issues.pop_front();
        let (handle, constraints) = (order.handle.clone(), order.constraints());
        self.answer(answer, |state| drop(state.good.insert(handle, constraints))).await?;
        let issued = Issued::bearer(format!("sk-{}", order.handle), "https://gateway.example.com/v1");
        Ok(issued.profile("openai").constraints(order.constraints()))
    }

    async fn constrain(&self, change: &CredentialChange) -> Result<Budget, ProvisionError> {
        self.asked("constrain", &change.handle).await;
        let answer = self.state.lock().unwrap().changes.pop_front();
        let mut spent = Amount::ZERO;
        self.answer(answer, |state| {
            spent = state.spent.get(&change.handle).copied().unwrap_or_default();
            if let Some(constraints) = state.good.get_mut(&change.handle) {
                constraints.cost_budget = change.most("USD", spent).map(|most| vec![format!("USD:{most}")]);
            }
        })
        .await?;
        Ok([BudgetAmount { currency: "USD".parse().unwrap(), amount: spent }].into_iter().collect())
    }

    async fn revoke(&self, credential: &Outstanding) -> Result<(), ProvisionError> {
        self.asked("revoke", &credential.handle).await;
        let answer = self.state.lock().unwrap().revocations.pop_front();
        self.answer(answer, |state| drop(state.good.remove(&credential.handle))).await
    }
}

/// Agents: `uses` returns what it was given, `waits` waits to be told to stop, `panics` does, `rotates` rotates what it has,
/// `poor` has none, `delegates` delegates to `uses`.
pub(crate) fn with(upstream: &Upstream, ledger: impl CredentialLedger) -> RuntimeBuilder<Authenticated> {
    let uses = async |ctx: JobContext, _: Value| Ok::<_, AgentError>(ctx.credentials());
    let waits = async |ctx: JobContext, _: Value| {
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    };
    let panics = async |ctx: JobContext, _: Value| -> Result<(), AgentError> { panic!("{}", ctx.job_id()) };
    let rotates = async |ctx: JobContext, _: Value| {
        let old = ctx.credentials().remove(0);
        let new = ctx.rotate_credential(&old.id).await?;
        assert_eq!(ctx.credentials(), [new]);
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    };
    let twice = async |ctx: JobContext, _: Value| {
        let id = ctx.credentials().remove(0).id;
        let (one, other) = tokio::join!(ctx.rotate_credential(&id), ctx.rotate_credential(&id));
        assert_ne!(one?.value, other?.value);
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    };
    let delegates = async |ctx: JobContext, lease: Lease| {
        let mut child = ctx.delegate("waits").lease(lease).await?;
        ctx.info(child.job_id().as_str()).await?;
        ctx.stopped().await;
        child.ended().await;
        Ok::<_, AgentError>(())
    };
    builder()
        .agent("uses@1", agent_fn(uses))
        .agent("poor@1", agent_fn(uses))
        .agent("waits@1", agent_fn(waits))
        .agent("panics@1", agent_fn(panics))
        .agent("rotates@1", agent_fn(rotates))
        .agent("twice@1", agent_fn(twice))
        .agent("delegates@1", agent_fn(delegates))
        .credentials(upstream.clone(), ledger)
}

fn start() -> (Upstream, MemoryLedger, Runtime) {
    start_with(|upstream| upstream)
}

/// An upstream that does what the script says, and its ledger.
pub(crate) fn scripted(script: impl FnOnce(Upstream) -> Upstream) -> (Upstream, MemoryLedger) {
    let ledger = MemoryLedger::dangerous();
    (script(Upstream::new(ledger.clone())), ledger)
}

fn start_with(script: impl FnOnce(Upstream) -> Upstream) -> (Upstream, MemoryLedger, Runtime) {
    let (upstream, ledger) = scripted(script);
    let runtime = with(&upstream, ledger.clone()).build().unwrap();
    (upstream, ledger, runtime)
}

pub(crate) async fn open(runtime: &Runtime) -> Peer {
    open_over(runtime, 64).await
}

/// The same over a link that holds so many frames.
async fn open_over(runtime: &Runtime, capacity: usize) -> Peer {
    let mut peer = Peer::connect(runtime, capacity);
    let auth = json!({ "scheme": "bearer", "token": "t" });
    let features = json!(["cost.budget", "model.use", "provisioned_credentials"]);
    let hello = json!({ "auth": auth, "capabilities": { "features": features } });
    peer.say("session.hello", hello, &Value::Null).await;
    let welcome = peer.receive_type("session.welcome").await;
    assert_eq!(welcome["payload"]["capabilities"]["features"], features);
    peer
}

async fn submit(peer: &mut Peer, agent: &str) -> Value {
    peer.say("job.submit", json!({ "agent": agent }), &Value::Null).await;
    peer.receive_type("job.accepted").await
}

/// Lets a little time pass, and everybody do what is due.
pub(crate) async fn a_moment() {
    advance(Duration::from_millis(10)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Waits until nothing is outstanding but what is unrevocable.
pub(crate) async fn all_revoked(runtime: &Runtime) {
    let settled = async {
        loop {
            let OutstandingCredentials { held, revoking, .. } = runtime.outstanding_credentials();
            if held + revoking == 0 {
                return;
            }
            a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), settled)
        .await
        .expect("everything is revoked in the end");
}

async fn outstanding(ledger: &impl CredentialLedger) -> usize {
    ledger.outstanding().await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_job_has_a_credential_of_its_own_until_it_ends() {
    let (upstream, ledger, runtime) = start();
    let mut peer = open(&runtime).await;
    let accepted = submit(&mut peer, "uses").await;
    let credential = &accepted["payload"]["credentials"][0];
    assert_eq!(credential["scheme"], "bearer");
    let result = peer.receive_type("job.result").await;
    assert_eq!(result["payload"]["result"], json!([credential]), "its agent has the same");
    all_revoked(&runtime).await;
    assert_eq!(upstream.calls(), ["issue .1", "revoke .1"]);
    assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0));

    let again = submit(&mut peer, "uses").await;
    assert_ne!(again["payload"]["credentials"][0]["value"], credential["value"], "never two jobs' (§9.8.2)");
    peer.receive_type("job.result").await;
    let accepted = submit(&mut peer, "poor").await;
    assert!(accepted["payload"].get("credentials").is_none());
    assert_eq!(upstream.calls().len(), 4, "nobody was asked");
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_bounded_as_the_lease_is() {
    let (upstream, _, runtime) = start();
    let mut peer = open(&runtime).await;
    let lease = json!({ "cost.budget": ["USD:2.00", "EUR:1"], "model.use": ["tier-fast/*"] });
    let submit = json!({
        "agent": "waits", "lease_request": lease,
        "lease_constraints": { "expires_at": "2999-01-01T00:00:00Z" },
    });
    peer.say("job.submit", submit, &Value::Null).await;
    let accepted = peer.receive_type("job.accepted").await;
    let constraints = json!({
        "cost.budget": ["EUR:1", "USD:2.00"], "model.use": ["tier-fast/*"], "expires_at": "2999-01-01T00:00:00.000Z",
    });
    assert_eq!(accepted["payload"]["credentials"][0]["constraints"], constraints);
    let good = upstream.state.lock().unwrap().good.values().next().unwrap().clone();
    assert_eq!(serde_json::to_value(good).unwrap(), constraints);
}

#[tokio::test(start_paused = true)]
async fn however_a_job_ends_its_credential_is_revoked() {
    for way in ["result", "panic", "cancel", "shutdown", "drop"] {
        let (upstream, ledger, runtime) = start();
        let mut peer = open(&runtime).await;
        let agent = match way {
            "result" => "uses",
            "panic" => "panics",
            _ => "waits",
        };
        let accepted = submit(&mut peer, agent).await;
        match way {
            "cancel" => drop(peer.say("job.cancel", json!({}), &accepted["job_id"]).await),
            "shutdown" => assert!(runtime.shutdown().await),
            "drop" => drop(runtime.clone()),
            _ => {}
        }
        if way == "drop" {
            drop(runtime);
            while !upstream.good().is_empty() {
                tokio::task::yield_now().await;
            }
        } else {
            all_revoked(&runtime).await;
        }
        tokio::task::yield_now().await;
        assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0), "{way}");
        assert_eq!(upstream.calls(), ["issue .1", "revoke .1"], "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_tried_until_it_succeeds_at_growing_distances() {
    let failures = [Answer::Transient, Answer::Panics, Answer::Transient].repeat(5);
    let (upstream, ledger, runtime) = start_with(|upstream| upstream.revocations(&failures));
    let mut peer = open(&runtime).await;
    submit(&mut peer, "uses").await;
    peer.receive_type("job.result").await;
    for _ in 0..100 {
        a_moment().await;
    }
    let counts = runtime.outstanding_credentials();
    assert_eq!((counts.held, counts.revoking, counts.unrevocable), (0, 1, 0));
    assert_eq!(outstanding(&ledger).await, 1);
    all_revoked(&runtime).await;
    assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0));
    let times: Vec<_> = upstream.state.lock().unwrap().calls.iter().skip(1).map(|(_, _, at)| *at).collect();
    assert_eq!(times.len(), 16);
    for (index, pair) in times.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        let least = Duration::from_millis(200 << index).min(Duration::from_secs(30));
        assert!(gap >= least && gap <= least * 2 + Duration::from_millis(50), "{index}: {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_revoked_is_known_to_whoever_looks() {
    let (upstream, ledger, runtime) = start_with(|upstream| upstream.revocations(&[Answer::Permanent]));
    let mut peer = open(&runtime).await;
    submit(&mut peer, "uses").await;
    peer.receive_type("job.result").await;
    all_revoked(&runtime).await;
    advance(Duration::from_secs(600)).await;
    assert_eq!(upstream.calls(), ["issue .1", "revoke .1"], "it is not tried again");
    assert_eq!(runtime.outstanding_credentials().unrevocable, 1);
    let left = ledger.outstanding().await.unwrap();
    assert_eq!(left[0].unrevocable.as_deref(), Some("upstream refuses: no"));

    // The next run tries again, and does not count what is gone.
    drop(runtime);
    let runtime = with(&upstream, ledger.clone()).build().unwrap();
    open(&runtime).await;
    all_revoked(&runtime).await;
    while outstanding(&ledger).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.outstanding_credentials(), OutstandingCredentials::default());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_have_its_credential_is_refused_and_nothing_stays_behind() {
    for (answer, code, calls) in [
        // What may still be on its way into the world is revoked again once it must have arrived.
        (Answer::Transient, "INTERNAL_ERROR", &["issue .1", "revoke .1", "revoke .1"][..]),
        (Answer::Silent, "INTERNAL_ERROR", &["issue .1", "revoke .1", "revoke .1"]),
        (Answer::Panics, "INTERNAL_ERROR", &["issue .1", "revoke .1", "revoke .1"]),
        (Answer::Permanent, "INTERNAL_ERROR", &["issue .1"]),
        (Answer::NoBudget, "BUDGET_EXHAUSTED", &["issue .1"]),
    ] {
        let (upstream, ledger, runtime) = start_with(|upstream| upstream.issues(&[answer]));
        let mut peer = open(&runtime).await;
        peer.say("job.submit", json!({ "agent": "uses" }), &Value::Null).await;
        let refused = peer.receive_type("session.error").await;
        assert_eq!(refused["payload"]["code"], code, "{answer:?}");
        assert_eq!(refused["payload"]["retryable"], code == "INTERNAL_ERROR");
        all_revoked(&runtime).await;
        assert_eq!(upstream.calls(), calls, "{answer:?}");
        assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0), "{answer:?}");
        submit(&mut peer, "uses").await;
    }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn open_ledger(path: &Path) -> FileLedger {
    FileLedger::open(path).unwrap()
}

#[test]
fn a_crash_between_issuing_and_recording_leaves_nothing_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    // The upstream issues, and the process ends before it is told.
    let first = paused();
    let upstream = first.block_on(async {
        let ledger = open_ledger(&path);
        let upstream = Upstream::new(ledger.clone()).issues(&[Answer::Yes, Answer::Silent]);
        let runtime = with(&upstream, ledger).build().unwrap();
        let mut peer = open(&runtime).await;
        submit(&mut peer, "waits").await;
        peer.say("job.submit", json!({ "agent": "uses" }), &Value::Null).await;
        while upstream.good().len() < 2 {
            tokio::task::yield_now().await;
        }
        std::mem::forget(runtime); // a crash runs no destructors
        upstream
    });
    first.shutdown_background();
    let Upstream { state, ledger, allowed } = upstream;
    drop(ledger);
    assert_eq!(state.lock().unwrap().good.len(), 2);
    let left = FileLedger::read(&path).unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|credential| credential.principal == "alice"));

    // The process is gone, and with it its lock.
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    paused().block_on(async {
        let ledger = open_ledger(&copy);
        state.lock().unwrap().revocations.push_back(Answer::Transient);
        let upstream = Upstream { state, ledger: Arc::new(ledger.clone()), allowed };
        let runtime = with(&upstream, ledger.clone()).build().unwrap();
        let mut peer = open(&runtime).await;
        submit(&mut peer, "waits").await;
        while outstanding(&ledger).await > 1 {
            a_moment().await;
        }
        assert_eq!(upstream.good().len(), 1, "what this run has issued is not swept");
        assert_eq!(runtime.outstanding_credentials().held, 1);
    });
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_an_upstream_that_is_down() {
    for answer in [Answer::Transient, Answer::Silent] {
        let script = |upstream: Upstream| upstream.revocations(&[answer].repeat(1_000));
        let (upstream, ledger, runtime) = start_with(script);
        let mut peer = open(&runtime).await;
        submit(&mut peer, "waits").await;
        assert!(runtime.shutdown().await, "it is over in time");
        assert_eq!(outstanding(&ledger).await, 1, "and left to the next run");
        assert!(upstream.calls().len() > 2, "it was tried more than once: {:?}", upstream.calls());
    }
    let (upstream, ledger, runtime) = start_with(|upstream| upstream.revocations(&[Answer::Transient]));
    let mut peer = open(&runtime).await;
    submit(&mut peer, "waits").await;
    assert!(runtime.shutdown().await);
    assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_revokes_the_old_value_and_not_the_new_one() {
    let (upstream, ledger, runtime) = start();
    let mut peer = open(&runtime).await;
    let accepted = submit(&mut peer, "rotates").await;
    let old = accepted["payload"]["credentials"][0].clone();
    let event = peer.receive_type("job.event").await;
    let body = &event["payload"]["body"];
    assert_eq!((&body["phase"], &body["id"]), (&json!("credential_rotated"), &old["id"]));
    assert_ne!(body["value"], old["value"]);
    while outstanding(&ledger).await > 1 {
        a_moment().await;
    }
    assert_eq!(upstream.calls(), ["issue .1", "issue .2", "revoke .1"]);
    let id = old["id"].as_str().unwrap();
    assert_eq!(upstream.good(), [format!("{id}.2")]);
    assert_eq!(body["value"], format!("sk-{id}.2"));
    peer.say("job.cancel", json!({}), &accepted["job_id"]).await;
    all_revoked(&runtime).await;
    assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn rotations_at_once_are_made_one_after_the_other() {
    let (upstream, ledger, runtime) = start();
    let mut peer = open(&runtime).await;
    let accepted = submit(&mut peer, "twice").await;
    let id = accepted["payload"]["credentials"][0]["id"].as_str().unwrap().to_owned();
    peer.receive_type("job.event").await;
    let last = peer.receive_type("job.event").await;
    while outstanding(&ledger).await > 1 {
        a_moment().await;
    }
    assert_eq!(upstream.good(), [format!("{id}.3")]);
    assert_eq!(last["payload"]["body"]["value"], format!("sk-{id}.3"));
    let mut calls = upstream.calls();
    calls.sort();
    assert_eq!(calls, ["issue .1", "issue .2", "issue .3", "revoke .1", "revoke .2"]);
}

#[tokio::test(start_paused = true)]
async fn rotations_that_nobody_reads_of_are_told_in_order_and_the_last_one_is_good() {
    const ROTATIONS: usize = 12;
    let ledger = MemoryLedger::dangerous();
    let upstream = Upstream::new(ledger.clone());
    let agent = agent_fn(async |ctx: JobContext, _: Value| {
        let id = ctx.credentials().remove(0).id;
        let rotations = (0..ROTATIONS).map(|_| ctx.rotate_credential(&id));
        let values = futures_util::future::try_join_all(rotations).await?;
        assert_eq!(values.len(), ROTATIONS);
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    });
    let limits = Limits { send_window_events: 1, ..Limits::default() };
    let runtime = with(&upstream, ledger.clone()).limits(limits).agent("many@1", agent).build().unwrap();
    let mut peer = open_over(&runtime, 1).await;
    let accepted = submit(&mut peer, "many").await;
    let id = accepted["payload"]["credentials"][0]["id"].as_str().unwrap().to_owned();
    for _ in 0..1_000 {
        a_moment().await;
    }
    let issued = upstream.calls().iter().filter(|call| call.starts_with("issue")).count();
    assert!(issued > 1 && issued < ROTATIONS, "the agent waits for its reader: {issued}");
    for generation in 2..ROTATIONS + 2 {
        let event = peer.receive_type("job.event").await;
        assert_eq!(event["payload"]["body"]["value"], format!("sk-{id}.{generation}"));
    }
    while outstanding(&ledger).await > 1 {
        a_moment().await;
    }
    assert_eq!(upstream.good(), [format!("{id}.{}", ROTATIONS + 1)]);

    // And a job that ends while its rotations wait leaves nothing behind.
    let accepted = submit(&mut peer, "many").await;
    for _ in 0..1_000 {
        a_moment().await;
    }
    peer.say("job.cancel", json!({}), &accepted["job_id"]).await;
    while peer.receive().await["type"] != "job.error" {}
    while outstanding(&ledger).await > 1 {
        a_moment().await;
    }
    assert_eq!(upstream.good(), [format!("{id}.{}", ROTATIONS + 1)]);
}

/// A second key for the same money could spend it twice.
#[tokio::test(start_paused = true)]
async fn a_child_that_draws_on_its_parents_budget_has_no_credential_of_its_own() {
    let (upstream, _, runtime) = start();
    let mut peer = open(&runtime).await;
    let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:5.00"], "model.use": ["fast/*"] });
    let submit = json!({ "agent": "delegates", "input": {}, "lease_request": lease });
    peer.say("job.submit", submit, &Value::Null).await;
    peer.receive_type("job.accepted").await;
    peer.receive_type("job.event").await;
    let accepted = peer.receive_type("job.accepted").await;
    assert!(accepted["payload"].get("credentials").is_none(), "{accepted}");
    peer.receive_type("job.event").await;
    assert_eq!(upstream.good().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_fails_leaves_the_old_value_and_one_that_comes_too_late_nothing() {
    let script = |upstream: Upstream| upstream.issues(&[Answer::Yes, Answer::Permanent]);
    let (upstream, _, runtime) = start_with(script);
    let mut peer = open(&runtime).await;
    submit(&mut peer, "rotates").await;
    assert_eq!(peer.receive_job_error().await, "INTERNAL_ERROR");
    all_revoked(&runtime).await;
    assert_eq!(upstream.calls(), ["issue .1", "issue .2", "revoke .1"]);

    // `?` in an agent keeps the code.
    let script = |upstream: Upstream| upstream.issues(&[Answer::Yes, Answer::NoBudget]);
    let (_, _, runtime) = start_with(script);
    let mut peer = open(&runtime).await;
    submit(&mut peer, "rotates").await;
    assert_eq!(peer.receive_job_error().await, "BUDGET_EXHAUSTED");

    let gate = Arc::new(Semaphore::new(0));
    let (waiting, ledger) = (Arc::clone(&gate), MemoryLedger::dangerous());
    let upstream = Upstream::new(ledger.clone()).issues(&[Answer::Yes, Answer::Silent]);
    let agent = agent_fn(move |ctx: JobContext, _: Value| {
        let waiting = Arc::clone(&waiting);
        async move {
            let id = ctx.credentials()[0].id.clone();
            tokio::spawn(async move { ctx.rotate_credential(&id).await.map(drop) });
            waiting.acquire().await?.forget();
            Ok::<_, AgentError>(())
        }
    });
    let runtime = with(&upstream, ledger.clone()).agent("leaves@1", agent).build().unwrap();
    let mut peer = open(&runtime).await;
    submit(&mut peer, "leaves").await;
    while upstream.good().len() < 2 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    peer.receive_type("job.result").await;
    while outstanding(&ledger).await > 0 {
        a_moment().await;
    }
    assert_eq!(upstream.good(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_child_has_a_credential_within_its_lease_that_ends_with_its_parent() {
    let (upstream, ledger, runtime) = start();
    let mut peer = open(&runtime).await;
    let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:5.00"], "model.use": ["fast/*"] });
    let child = json!({ "cost.budget": ["USD:2.00"] });
    let submit = json!({ "agent": "delegates", "input": child, "lease_request": lease });
    peer.say("job.submit", submit, &Value::Null).await;
    let parent = peer.receive_type("job.accepted").await;
    assert_eq!(peer.receive_type("job.event").await["payload"]["kind"], "delegate");
    peer.receive_type("job.event").await; // what remains for the parent
    let accepted = peer.receive_type("job.accepted").await;
    let constraints = &accepted["payload"]["credentials"][0]["constraints"];
    assert_eq!(constraints, &json!({ "cost.budget": ["USD:2.00"], "model.use": ["fast/*"] }));
    peer.receive_type("job.event").await; // the parent's agent goes on once the child has begun
    assert_eq!(upstream.good().len(), 2);
    peer.say("job.cancel", json!({}), &parent["job_id"]).await;
    all_revoked(&runtime).await;
    assert_eq!((upstream.good(), outstanding(&ledger).await), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_delegation_without_its_credential_is_refused() {
    let script = |upstream: Upstream| upstream.issues(&[Answer::Yes, Answer::NoBudget]);
    let (_, _, runtime) = start_with(script);
    let mut peer = open(&runtime).await;
    let submit = json!({ "agent": "delegates", "input": {}, "lease_request": { "agent.delegate": ["*"] } });
    peer.say("job.submit", submit, &Value::Null).await;
    peer.receive_type("job.accepted").await;
    peer.receive_type("job.event").await;
    let refused = peer.receive_type("job.event").await;
    assert_eq!(refused["payload"]["body"]["error"]["code"], "BUDGET_EXHAUSTED");
    assert_eq!(peer.receive_job_error().await, "BUDGET_EXHAUSTED");
}

#[tokio::test]
async fn a_ledger_that_forgets_is_refused_unless_that_is_said() {
    let forgetful = MemoryLedger::new();
    let upstream = Upstream::new(forgetful.clone());
    let error = with(&upstream, forgetful).build().err().unwrap();
    assert!(matches!(error, BuildError::ForgetfulLedger));
    assert!(error.to_string().contains("MemoryLedger::dangerous"));
    assert!(with(&upstream, MemoryLedger::dangerous()).build().is_ok());
}
