//! What the credentials of a job and of its children may spend together (§9.8.3), with an upstream that does what the test
//! says.

use std::sync::Arc;

use arcp_runtime::proto::{Amount, BudgetAmount};
use arcp_runtime::{AgentError, JobContext, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::credentials::{Answer, Upstream, a_moment, all_revoked, open, scripted, with};
use crate::peer::Peer;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// What an agent is to do next.
enum Do {
    /// Delegate this much.
    Delegate(&'static str),
    Rotate,
}

impl Do {
    /// Gives the child's id, what may be spent after a rotation, or the code of an error.
    async fn carry_out(self, ctx: &JobContext) -> Result<String, String> {
        match self {
            Do::Delegate(share) => {
                let child = ctx.delegate("waits").budget_share(&"USD".parse().unwrap(), amount(share)).await;
                let child = child.map(|child| child.job_id().to_string());
                child.map_err(|error| error.payload().code.to_string())
            }
            Do::Rotate => {
                let rotated = ctx.rotate_credential(&ctx.credentials()[0].id).await.unwrap();
                Ok(rotated.constraints.unwrap().cost_budget.unwrap()[0].clone())
            }
        }
    }
}

/// A job with USD:5.00 whose agent does what it is told, and says what became of it.
struct Parent {
    upstream: Upstream,
    runtime: Runtime,
    peer: Peer,
    told: mpsc::UnboundedSender<Do>,
    done: mpsc::UnboundedReceiver<Result<String, String>>,
    job: Value,
}

impl Parent {
    async fn start(script: impl FnOnce(Upstream) -> Upstream) -> Self {
        let (told, orders) = mpsc::unbounded_channel::<Do>();
        let (report, done) = mpsc::unbounded_channel();
        let orders = Arc::new(Mutex::new(orders));
        let parent = agent_fn(move |ctx: JobContext, _: Value| {
            let (orders, report) = (Arc::clone(&orders), report.clone());
            async move {
                while let Some(order) = ctx.until_stopped(async { orders.lock().await.recv().await }).await? {
                    let (ctx, report) = (ctx.clone(), report.clone());
                    tokio::spawn(async move { report.send(order.carry_out(&ctx).await) });
                }
                Ok::<_, AgentError>(())
            }
        });
        let (upstream, ledger) = scripted(script);
        let runtime = with(&upstream, ledger).agent("parent@1", parent).build().unwrap();
        let mut peer = open(&runtime).await;
        let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:5.00"] });
        peer.say("job.submit", json!({ "agent": "parent", "lease_request": lease }), &Value::Null).await;
        let job = peer.receive_type("job.accepted").await["job_id"].clone();
        Self { upstream, runtime, peer, told, done, job }
    }

    async fn does(&mut self, order: Do) -> Result<String, String> {
        self.told.send(order).ok().unwrap();
        self.done.recv().await.unwrap()
    }

    async fn ends(&mut self, job: &str) {
        self.peer.say("job.cancel", json!({}), &json!(job)).await;
    }

    /// What may be spent with each credential that is good, the least first.
    fn limits(&self) -> Vec<String> {
        let state = self.upstream.state.lock().unwrap();
        let budgets =
            state.good.values().map(|constraints| constraints.cost_budget.clone().unwrap().remove(0));
        let mut limits: Vec<_> = budgets.collect();
        limits.sort();
        limits
    }

    /// All that may be spent, and was.
    fn worth(&self) -> Amount {
        let limits = self.limits().into_iter().map(|limit| limit.parse::<BudgetAmount>().unwrap().amount);
        limits.fold(Amount::ZERO, Amount::plus)
    }

    async fn when(&self, limits: &[&str]) {
        while self.limits() != limits {
            assert!(self.worth() <= amount("5.00"), "{:?}", self.limits());
            a_moment().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_childs_share_is_taken_from_its_parents_credential_and_given_back() {
    let mut parent = Parent::start(|upstream| upstream).await;
    let child = parent.does(Do::Delegate("3.00")).await.unwrap();
    assert_eq!(parent.upstream.calls(), ["issue .1", "constrain .1", "issue .1"]);
    assert_eq!(parent.limits(), ["USD:2.00", "USD:3.00"]);
    parent.upstream.spend("USD:3.00", amount("0.75"));
    parent.ends(&child).await;
    parent.when(&["USD:4.25"]).await;
    let calls = parent.upstream.calls().split_off(3);
    assert_eq!(calls, ["constrain .1", "revoke .1", "constrain .1"]);

    let job = parent.job.as_str().unwrap().to_owned();
    parent.does(Do::Delegate("1.00")).await.unwrap();
    parent.ends(&job).await;
    all_revoked(&parent.runtime).await;
    let calls = parent.upstream.calls().split_off(6);
    assert_eq!(
        calls,
        ["constrain .1", "issue .1", "revoke .1", "revoke .1"],
        "nobody is left to give it back to"
    );
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_taken_a_child_is_refused_and_what_may_have_been_taken_is_given_back() {
    for answer in [Answer::Transient, Answer::Silent, Answer::Panics, Answer::Permanent] {
        let mut parent = Parent::start(|upstream| upstream.changes(&[answer, Answer::Transient])).await;
        let refused = parent.does(Do::Delegate("3.00")).await;
        assert_eq!(refused, Err("INTERNAL_ERROR".to_owned()), "{answer:?}");
        parent.when(&["USD:5.00"]).await;
        if matches!(answer, Answer::Permanent) {
            assert_eq!(parent.upstream.calls(), ["issue .1", "constrain .1"], "it is not tried again");
            continue;
        }
        while parent.upstream.calls().len() < 4 {
            a_moment().await;
        }
        parent.does(Do::Delegate("5.00")).await.unwrap();
        assert_eq!(parent.limits(), ["USD:0.00", "USD:5.00"], "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_given_back_is_tried_again() {
    let answers = [Answer::Yes, Answer::Yes, Answer::Transient, Answer::Silent, Answer::Transient];
    let mut parent = Parent::start(|upstream| upstream.changes(&answers)).await;
    let child = parent.does(Do::Delegate("3.00")).await.unwrap();
    parent.ends(&child).await;
    parent.when(&["USD:5.00"]).await;
    while parent.upstream.calls().len() < 9 {
        a_moment().await;
    }
    for _ in 0..1_000 {
        a_moment().await;
    }
    assert_eq!(parent.upstream.calls().len(), 9, "then it is done");
    parent.does(Do::Delegate("5.00")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_to_be_unspent_is_not_given_back() {
    for answer in [Answer::Permanent, Answer::Unsupported, Answer::Silent] {
        let mut parent = Parent::start(|upstream| upstream.changes(&[Answer::Yes, answer])).await;
        let child = parent.does(Do::Delegate("3.00")).await.unwrap();
        parent.ends(&child).await;
        parent.when(&["USD:2.00"]).await;
        assert_eq!(parent.does(Do::Delegate("3.00")).await, Err("BUDGET_EXHAUSTED".to_owned()), "{answer:?}");
        parent.does(Do::Delegate("1.50")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_may_have_issued_for_nobody_is_bound_until_it_is_revoked() {
    let mut parent = Parent::start(|upstream| upstream.issues(&[Answer::Yes, Answer::Silent])).await;
    assert_eq!(parent.does(Do::Delegate("3.00")).await, Err("INTERNAL_ERROR".to_owned()));
    assert_eq!(parent.limits()[0], "USD:2.00");
    parent.does(Do::Delegate("5.00")).await.unwrap_err();
    parent.when(&["USD:5.00"]).await;
    assert_eq!(parent.upstream.calls().iter().filter(|call| call.starts_with("revoke")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_and_a_delegation_at_once_are_made_one_after_the_other() {
    let mut parent = Parent::start(|upstream| upstream.issues(&[Answer::Yes, Answer::Waits])).await;
    parent.told.send(Do::Rotate).ok().unwrap();
    while parent.upstream.calls().len() < 2 {
        a_moment().await;
    }
    parent.told.send(Do::Delegate("3.00")).ok().unwrap();
    for _ in 0..10 {
        a_moment().await;
    }
    assert_eq!(parent.upstream.calls(), ["issue .1", "issue .2"], "the old one is not touched meanwhile");
    parent.upstream.allowed.add_permits(1);
    assert_eq!(parent.done.recv().await.unwrap().unwrap(), "USD:5.00");
    let child = parent.done.recv().await.unwrap().unwrap();
    parent.when(&["USD:2.00", "USD:3.00"]).await;

    // The other way round.
    parent.upstream.state.lock().unwrap().changes.push_back(Answer::Waits);
    parent.told.send(Do::Delegate("1.00")).ok().unwrap();
    let before = parent.upstream.calls().len();
    while parent.upstream.calls().len() == before {
        a_moment().await;
    }
    parent.told.send(Do::Rotate).ok().unwrap();
    for _ in 0..10 {
        a_moment().await;
    }
    parent.upstream.allowed.add_permits(1);
    let mut done = [parent.done.recv().await.unwrap().unwrap(), parent.done.recv().await.unwrap().unwrap()];
    done.sort();
    assert_eq!(done[0], "USD:1.00", "it carries what is left");
    parent.when(&["USD:1.00", "USD:1.00", "USD:3.00"]).await;
    parent.ends(&child).await;
    parent.when(&["USD:1.00", "USD:4.00"]).await;
}

#[tokio::test(start_paused = true)]
async fn where_credentials_cannot_be_changed_a_child_has_none() {
    let mut parent = Parent::start(|upstream| upstream.changes(&[Answer::Unsupported])).await;
    let child = parent.does(Do::Delegate("3.00")).await.unwrap();
    for kind in ["delegate", "metric"] {
        assert_eq!(parent.peer.receive_type("job.event").await["payload"]["kind"], kind);
    }
    let accepted = parent.peer.receive_type("job.accepted").await;
    assert_eq!(accepted["job_id"], json!(child));
    assert!(accepted["payload"].get("credentials").is_none());
    assert_eq!(parent.limits(), ["USD:5.00"]);
    parent.ends(&child).await;
    let job = parent.job.as_str().unwrap().to_owned();
    parent.ends(&job).await;
    all_revoked(&parent.runtime).await;
    assert_eq!(parent.upstream.calls(), ["issue .1", "constrain .1", "revoke .1"]);
}
