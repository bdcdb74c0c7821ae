//! What the credentials of a job and of its children may spend together (§9.8.3): whatever happens, no more than the lease.

use std::collections::BTreeMap;

use arcp_core::runtime::{Constraint, Delegation, JobKey, NotConstrained, NotDelegated, Outcome, StopCause};
use arcp_proto::event::EventKind;
use arcp_proto::{Amount, Budget, BudgetAmount, Credential, ErrorCode, ErrorPayload, Feature, Json, Lease};
use serde_json::{Value, json};

use crate::host::{Host, seconds, seeded};
use crate::peer::{Peer, hello, message};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn usd(amount: Amount) -> Budget {
    [BudgetAmount { currency: "USD".parse().unwrap(), amount }].into_iter().collect()
}

/// A credential at the upstream.
#[derive(Debug)]
struct Key {
    limit: Amount,
    spent: Amount,
}

/// A job with USD:5.00 and a credential, its children, and an upstream that enforces what it is told.
struct Family {
    host: Host,
    alice: Peer,
    root: JobKey,
    ids: BTreeMap<JobKey, String>,
    keys: BTreeMap<JobKey, Key>,
    /// What was spent with credentials that are gone.
    gone: Amount,
}

impl Family {
    fn new() -> Self {
        Self::with(json!(["USD:5.00"]))
    }

    fn with(budget: Value) -> Self {
        let mut host = Host::with(|config| {
            let features = config.features.iter().cloned();
            config.features = features.chain([Feature::ProvisionedCredentials]).collect();
        });
        let mut alice = host.connect();
        let mut payload = hello("alice");
        payload["capabilities"]["features"] = json!(["provisioned_credentials", "subscribe"]);
        alice.sends(&mut host, &message("h", "session.hello", payload));
        alice.expects_welcome(&mut host);
        let lease = json!({ "agent.delegate": ["*"], "cost.budget": budget });
        alice.submits(&mut host, json!({ "agent": "echo", "lease_request": lease }));
        let root = host.provisioning[0].job;
        let (ids, keys) = (BTreeMap::new(), BTreeMap::new());
        let mut family = Self { host, alice, root, ids, keys, gone: Amount::ZERO };
        family.issues();
        family
    }

    fn remaining(&self, job: JobKey) -> Amount {
        let spec = self.host.started.values().find(|spec| spec.job == job).unwrap();
        spec.authority.remaining().remaining("USD").unwrap()
    }

    fn limit(&self, job: JobKey) -> String {
        self.keys[&job].limit.to_string()
    }

    /// All that the family has spent and may spend.
    fn worth(&self) -> Amount {
        self.keys.values().fold(self.gone, |sum, key| sum.plus(key.limit.max(key.spent)))
    }

    fn check(&self) {
        assert!(self.worth() <= amount("5.00"), "{:?} and {} before", self.keys, self.gone);
    }

    fn delegates_lease(&mut self, parent: JobKey, lease: Lease) -> Result<JobKey, NotDelegated> {
        let delegation = Delegation::new(
            "echo".parse().unwrap(),
            Json::null(),
            lease.grant("agent.delegate", "*"),
            Default::default(),
        );
        let child = self.host.machine.delegate(self.host.now(), parent, delegation);
        self.host.settle();
        child.map(|child| {
            self.ids.insert(child.job, child.job_id.to_string());
            child.job
        })
    }

    fn delegates(&mut self, parent: JobKey, share: &str) -> JobKey {
        self.delegates_lease(parent, Lease::empty().grant("cost.budget", format!("USD:{share}"))).unwrap()
    }

    fn outcome(&self, child: JobKey) -> Option<Result<(), ErrorCode>> {
        let outcome = self.host.delegated.iter().find(|(key, _)| *key == child);
        outcome.map(|(_, outcome)| outcome.clone().map_err(|refused| refused.payload().code))
    }

    fn credential(budget: Option<Amount>) -> Credential {
        let constraints = budget.map(|budget| json!({ "cost.budget": [format!("USD:{budget}")] }));
        let credential = json!({
            "id": "cred_1", "scheme": "bearer", "value": "sk", "endpoint": "https://gateway.example.com/v1",
            "constraints": constraints,
        });
        serde_json::from_value(credential).unwrap()
    }

    /// The upstream issues what was asked for first.
    fn issues(&mut self) -> JobKey {
        let job = self.host.provisioning[0].job;
        let budget = self.host.machine.provision_budget(job).expect("it is wanted");
        self.issues_worth(budget.remaining("USD").unwrap())
    }

    fn issues_worth(&mut self, budget: Amount) -> JobKey {
        let spec = self.host.provisioning.pop_front().expect("a credential is asked for");
        self.keys.insert(spec.job, Key { limit: budget, spent: Amount::ZERO });
        self.check();
        let outcome = Ok(vec![Self::credential(Some(budget))]);
        self.host.machine.handle_provisioned(self.host.now(), spec.job, outcome);
        self.host.settle();
        self.ids.insert(spec.job, spec.job_id.to_string());
        spec.job
    }

    fn issues_nothing(&mut self, error: Option<ErrorPayload>) -> JobKey {
        let spec = self.host.provisioning.pop_front().expect("a credential is asked for");
        let outcome = error.map_or(Ok(Vec::new()), Err);
        self.host.machine.handle_provisioned(self.host.now(), spec.job, outcome);
        self.host.settle();
        spec.job
    }

    /// Takes the next thing that the upstream is to be told.
    fn asked(&mut self) -> Option<(JobKey, Constraint)> {
        while let Some(job) = self.host.constraining.pop_front() {
            if let Some(constraint) = self.host.machine.constraint(job) {
                return Some((job, constraint));
            }
        }
        None
    }

    fn does(&mut self, (job, constraint): (JobKey, Constraint)) {
        let usd = |budget: &Budget| budget.remaining("USD").unwrap();
        let Some(key) = self.keys.get_mut(&job) else {
            return self.fails((job, constraint));
        };
        key.limit = usd(&constraint.limit).min(key.spent.plus(usd(&constraint.remaining)));
        let spent = key.spent;
        self.check();
        self.answers(job, Ok(self::usd(spent)));
    }

    fn fails(&mut self, (job, _): (JobKey, Constraint)) {
        let error = ErrorPayload::new(ErrorCode::InternalError, "upstream is down");
        self.answers(job, Err(NotConstrained::Failed(error)));
    }

    fn answers(&mut self, job: JobKey, outcome: Result<Budget, NotConstrained>) {
        self.host.machine.handle_constrained(self.host.now(), job, outcome);
        self.host.settle();
    }

    /// The upstream does everything that it is to be told.
    fn constrains(&mut self) {
        while let Some(asked) = self.asked() {
            self.does(asked);
        }
    }

    /// The upstream revokes what was to be revoked first.
    fn revokes(&mut self) -> JobKey {
        let job = self.host.revoked.remove(0);
        let Key { spent, .. } = self.keys.remove(&job).expect("it is revoked once");
        self.gone = self.gone.plus(spent);
        self.host.machine.handle_revoked(self.host.now(), job, &usd(spent));
        self.host.settle();
        job
    }

    /// A child with a share and a credential.
    fn child(&mut self, parent: JobKey, share: &str) -> JobKey {
        let child = self.delegates(parent, share);
        self.constrains();
        assert_eq!(self.issues(), child);
        child
    }

    /// Spends as much as the upstream lets it.
    fn spends(&mut self, job: JobKey, spent: &str, told: &str) {
        let key = self.keys.get_mut(&job).unwrap();
        key.spent = key.spent.plus(amount(spent)).min(key.limit);
        if amount(told) > Amount::ZERO {
            let body =
                json!({ "name": "cost.inference", "value": told.parse::<f64>().unwrap(), "unit": "USD" });
            let id = self.ids[&job].clone();
            self.host.emit_body(&id, EventKind::Metric, &body).unwrap();
        }
    }

    fn ends(&mut self, job: JobKey) {
        self.host.machine.finish(self.host.now(), job, Outcome::Success(Json::null()));
        self.host.settle();
    }
}

#[test]
fn what_a_childs_credential_may_spend_is_taken_from_its_parents_first_and_given_back_last() {
    let mut family = Family::new();
    let root = family.root;
    family.spends(root, "1.00", "1.00");
    let child = family.delegates(root, "3.00");
    assert!(family.host.provisioning.is_empty(), "nothing is issued yet");
    let (job, constraint) = family.asked().unwrap();
    assert_eq!(
        (job, &constraint.limit, &constraint.remaining),
        (root, &usd(amount("2.00")), &usd(amount("1.00")))
    );
    assert!(family.host.provisioning.is_empty());
    family.does((job, constraint));
    assert_eq!(family.limit(root), "2.00");
    assert_eq!(family.issues(), child);
    let shown = &family.host.machine.credentials(root)[0].constraints.as_ref().unwrap().cost_budget;
    assert_eq!(shown.as_deref(), Some(&["USD:2.00".to_owned()][..]), "it says what is enforced (§9.8.3)");

    family.spends(child, "0.50", "0.50");
    family.ends(child);
    assert_eq!(family.asked().map(|(job, _)| job), None, "it can still be spent");
    assert_eq!(family.remaining(root), amount("3.50"));
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "4.50");
    assert_eq!(family.host.machine.census().borrowed, 0);
}

/// Costs are told by agents (§9.6): what they leave out is spent all the same.
#[test]
fn what_an_agent_has_spent_without_telling_is_not_given_again() {
    let mut family = Family::new();
    let root = family.root;
    let child = family.child(root, "3.00");
    family.spends(child, "3.00", "0");
    family.ends(child);
    family.revokes();
    family.constrains();
    assert_eq!((family.remaining(root), family.limit(root).as_str()), (amount("5.00"), "2.00"));

    let second = family.delegates(root, "3.00");
    assert_eq!(family.outcome(second), Some(Err(ErrorCode::BudgetExhausted)), "so much is not there");
    assert_eq!(family.remaining(root), amount("5.00"));

    // Nor what its parent has spent.
    family.spends(root, "1.50", "0");
    let third = family.delegates(root, "1.00");
    let asked = family.asked().unwrap();
    family.keys.get_mut(&root).unwrap().limit = amount("1.50");
    family.answers(asked.0, Ok(usd(amount("1.50"))));
    assert_eq!(family.outcome(third), Some(Err(ErrorCode::BudgetExhausted)));
    family.constrains();
    assert_eq!((family.limit(root).as_str(), family.host.machine.census().borrowed), ("2.00", 0));
}

#[test]
fn a_child_for_which_nothing_can_be_taken_is_refused_and_its_share_comes_back() {
    let mut family = Family::new();
    let root = family.root;
    family.alice.hears(&mut family.host);
    let child = family.delegates(root, "3.00");
    let asked = family.asked().unwrap();
    family.fails(asked);
    assert_eq!(family.outcome(child), Some(Err(ErrorCode::InternalError)));
    assert_eq!(family.remaining(root), amount("5.00"));
    let told = family.alice.hears(&mut family.host);
    assert_eq!(told.last().unwrap()["payload"]["body"]["error"]["code"], "INTERNAL_ERROR", "{told:#?}");
    assert_eq!(family.host.machine.census().borrowed, 0);

    // Nobody knows whether it was done: it is undone.
    let constraint = family.host.machine.constraint(root).unwrap();
    assert_eq!(constraint.limit, usd(amount("5.00")));
    family.does((root, constraint));
    assert_eq!(family.host.machine.constraint(root), None);
    family.child(root, "5.00");
}

#[test]
fn a_child_that_is_refused_by_the_upstream_gives_back_what_was_taken_for_it() {
    let mut family = Family::new();
    let root = family.root;
    family.delegates(root, "3.00");
    family.constrains();
    let child = family.issues_nothing(Some(ErrorPayload::new(ErrorCode::InternalError, "upstream is down")));
    assert!(family.outcome(child).unwrap().is_err());
    family.constrains();
    assert_eq!(family.limit(root), "2.00", "something may have been issued");
    let next = family.delegates(root, "3.00");
    assert_eq!(family.outcome(next), None, "the next one waits for it");
    family.host.machine.handle_revoked(family.host.now(), child, &Budget::default());
    family.host.settle();
    family.constrains();
    assert_eq!((family.issues(), family.limit(root).as_str()), (next, "2.00"));

    // And one that is to have none.
    let mut family = Family::new();
    let root = family.root;
    let child = family.delegates(root, "3.00");
    family.constrains();
    family.issues_nothing(None);
    family.constrains();
    assert_eq!((family.outcome(child), family.limit(root).as_str()), (Some(Ok(())), "2.00"));
    assert_eq!(family.remaining(root), amount("2.00"), "more is not the parent's to spend");
    family.ends(child);
    assert_eq!(family.host.machine.census().borrowed, 0);
}

#[test]
fn several_children_at_once_each_have_what_is_theirs() {
    let mut family = Family::new();
    let root = family.root;
    let children = ["1.00", "1.50", "2.50"].map(|share| family.delegates(root, share));
    let one = family.asked().unwrap();
    assert_eq!(family.asked(), None, "one thing is told at a time");
    family.does(one);
    family.constrains();
    assert_eq!(family.limit(root), "0.00");
    assert_eq!([(); 3].map(|()| family.issues()), children);
    for child in children {
        family.spends(child, "0.50", "0.50");
        family.ends(child);
    }
    family.revokes();
    let one = family.asked().unwrap();
    family.revokes();
    family.revokes();
    family.does(one);
    family.constrains();
    assert_eq!((family.limit(root).as_str(), family.remaining(root)), ("3.50", amount("3.50")));
}

#[test]
fn what_is_still_bound_in_a_credential_that_is_being_revoked_is_waited_for() {
    let mut family = Family::new();
    let root = family.root;
    let first = family.child(root, "5.00");
    family.ends(first);
    let second = family.delegates(root, "5.00");
    family.constrains();
    assert!(family.host.provisioning.is_empty() && family.outcome(second).is_none());
    family.revokes();
    family.constrains();
    assert_eq!(family.issues(), second);
    assert_eq!(family.outcome(second), Some(Ok(())));

    // Not for ever.
    family.ends(second);
    let third = family.delegates(root, "5.00");
    family.host.wait(seconds(29));
    assert_eq!(family.outcome(third), None);
    family.host.wait(seconds(1));
    assert_eq!(family.outcome(third), Some(Err(ErrorCode::InternalError)));
    assert_eq!(family.remaining(root), amount("5.00"));
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "5.00");

    // Nor if less comes back than is needed.
    let fourth = family.child(root, "5.00");
    family.spends(fourth, "4.00", "0");
    family.ends(fourth);
    let fifth = family.delegates(root, "5.00");
    family.revokes();
    family.constrains();
    assert_eq!(family.outcome(fifth), Some(Err(ErrorCode::BudgetExhausted)));
    assert_eq!(family.limit(root), "1.00");
    family.host.wait(seconds(60));
    assert_eq!(family.host.machine.census().borrowed, 0);
}

#[test]
fn grandchildren_have_what_is_their_parents_and_give_it_back_to_whoever_is_left() {
    let mut family = Family::new();
    let root = family.root;
    let child = family.child(root, "3.00");
    let grandchild = family.child(child, "2.00");
    assert_eq!([root, child, grandchild].map(|job| family.limit(job)), ["2.00", "1.00", "2.00"]);
    family.spends(grandchild, "0.25", "0.25");
    family.ends(grandchild);
    family.revokes();
    family.constrains();
    assert_eq!([root, child].map(|job| family.limit(job)), ["2.00", "2.75"]);

    let grandchild = family.child(child, "2.00");
    family.spends(grandchild, "0.50", "0.50");
    family.spends(child, "0.25", "0.25");
    family.ends(child); // and the grandchild with it
    assert_eq!(family.host.revoked, [grandchild, child]);
    family.host.revoked.reverse();
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "2.50");
    family.revokes();
    family.constrains();
    assert_eq!((family.limit(root).as_str(), family.remaining(root)), ("4.00", amount("4.00")));
    assert_eq!(family.host.machine.census().borrowed, 0);
}

#[test]
fn a_grandchild_takes_from_whose_money_it_is() {
    let mut family = Family::new();
    let root = family.root;
    let child = family.delegates_lease(root, Lease::empty()).unwrap();
    assert!(family.host.provisioning.is_empty(), "it draws on its parent's budget, and has no credential");
    let grandchild = family.child(child, "2.00");
    assert_eq!([root, grandchild].map(|job| family.limit(job)), ["3.00", "2.00"]);
    family.ends(child);
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "5.00");
}

#[test]
fn a_parent_that_ends_or_stops_meanwhile_has_no_child() {
    for (told, stops) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut family = Family::new();
        let root = family.root;
        let middle = family.child(root, "4.00");
        let child = family.delegates(middle, "3.00");
        let asked = told.then(|| family.asked().unwrap());
        if stops {
            family.host.machine.stop_job(family.host.now(), middle, StopCause::Cancelled);
        } else {
            family.ends(middle);
        }
        family.host.settle();
        asked.into_iter().for_each(|asked| family.does(asked));
        family.constrains();
        if stops {
            assert_eq!(family.outcome(child), Some(Err(ErrorCode::Cancelled)));
            family.ends(middle);
        }
        assert!(family.outcome(child).unwrap().is_err() && family.host.provisioning.is_empty());
        family.revokes();
        family.constrains();
        assert_eq!(family.limit(root), "5.00", "{told} {stops}");
        assert_eq!((family.host.machine.census().borrowed, family.host.machine.census().provisions), (0, 0));
    }
}

#[test]
fn what_is_issued_for_nobody_gives_back_what_was_taken_once_it_is_revoked() {
    let mut family = Family::new();
    let root = family.root;
    let middle = family.child(root, "4.00");
    let child = family.delegates(middle, "3.00");
    family.constrains();
    family.ends(middle);
    assert_eq!(family.host.machine.provision_budget(child), None, "nobody wants it any more");
    family.issues_worth(amount("3.00"));
    assert_eq!(family.host.revoked, [middle, child]);
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "2.00");
    family.revokes();
    family.constrains();
    assert_eq!((family.limit(root).as_str(), family.host.machine.census().borrowed), ("5.00", 0));
}

#[test]
fn a_credential_that_is_rotated_may_spend_what_the_earlier_one_might_then() {
    let mut family = Family::new();
    let root = family.root;
    family.spends(root, "1.00", "0");
    let first = family.delegates(root, "2.00");
    assert_eq!(family.host.machine.rotation_budget(root), Ok(None), "that is to be taken first");
    family.constrains();
    family.issues();
    assert_eq!(family.host.machine.rotation_budget(root), Ok(Some(usd(amount("3.00")))));

    // It is issued with what is left, and another child comes before anybody is told.
    let second = family.delegates(root, "0.50");
    let rotated = family.keys.remove(&root).unwrap();
    family.gone = family.gone.plus(rotated.spent);
    family.keys.insert(root, Key { limit: rotated.limit.minus(rotated.spent), spent: Amount::ZERO });
    let credential = Family::credential(Some(amount("2.00")));
    family.host.machine.rotate_credential(family.host.now(), root, credential).unwrap();
    family.host.settle();
    family.constrains();
    assert_eq!((family.limit(root).as_str(), family.issues()), ("1.50", second));
    family.ends(first);
    family.revokes();
    family.constrains();
    assert_eq!(family.limit(root), "3.50", "what comes back comes to the new one");
    assert_eq!(family.host.machine.rotation_budget(root), Ok(Some(usd(amount("3.50")))));
}

#[test]
fn where_credentials_cannot_be_changed_children_have_none() {
    let mut family = Family::new();
    let root = family.root;
    let child = family.delegates(root, "3.00");
    let (job, _) = family.asked().unwrap();
    family.answers(job, Err(NotConstrained::Unsupported));
    assert_eq!(family.outcome(child), Some(Ok(())));
    assert!(family.host.machine.credentials(child).is_empty() && family.host.provisioning.is_empty());
    assert_eq!((family.host.machine.constraint(root), family.remaining(root)), (None, amount("2.00")));
    family.ends(child);
    assert_eq!(family.host.revoked, []);
    assert_eq!(family.host.machine.census().borrowed, 0);
}

/// A credential that carries one currency says nothing of the others.
#[test]
fn what_credentials_do_not_carry_is_nobodys_concern() {
    let mut family = Family::with(json!(["USD:5.00", "credits:100"]));
    let root = family.root;
    let shares = |shares: &[&str]| {
        shares.iter().fold(Lease::empty(), |lease, share| lease.grant("cost.budget", *share))
    };
    let child = family.delegates_lease(root, shares(&["credits:50"])).unwrap();
    assert!(family.host.provisioning.is_empty() && family.host.constraining.is_empty());
    assert!(family.host.machine.credentials(child).is_empty(), "it draws USD, which its parent's carries");
    family.delegates_lease(root, shares(&["USD:2.00"])).unwrap();
    let asked = family.asked().unwrap();
    assert_eq!(asked.1.limit, usd(amount("3.00")));
    family.does(asked);
    family.issues();
    assert_eq!(family.limit(root), "3.00");
}

/// Whatever happens in whatever order, with agents that tell of some of what they spend.
#[test]
fn no_family_spends_more_than_its_lease() {
    let mut whole = 0;
    for seed in 0..200 {
        let mut random = seeded(seed);
        let mut chance = move |of: usize| usize::try_from(random() % of as u128).unwrap();
        let mut family = Family::new();
        let mut jobs = vec![family.root];
        let mut telling: Vec<(JobKey, Constraint)> = Vec::new();
        for _ in 0..300 {
            let job = jobs[chance(jobs.len())];
            let share = ["0.10", "0.75", "1.50", "3.00", "5.00"][chance(5)];
            match chance(9) {
                0 | 1 => {
                    let lease = Lease::empty().grant("cost.budget", format!("USD:{share}"));
                    jobs.extend(family.delegates_lease(job, lease));
                }
                2 if !family.host.provisioning.is_empty() => {
                    let wanted = family.host.provisioning[0].job;
                    match family.host.machine.provision_budget(wanted) {
                        Some(_) => drop(family.issues()),
                        None => drop(family.issues_nothing(None)),
                    }
                }
                3 if family.keys.contains_key(&job) => {
                    let told = [share, "0"][chance(2)];
                    let id = family.ids.get(&job).filter(|id| family.host.started.contains_key(*id)).cloned();
                    if id.is_some() && !family.host.revoked.contains(&job) {
                        family.spends(job, share, told);
                    }
                }
                4 | 5 => telling.extend(family.asked()),
                6 if !telling.is_empty() => {
                    let asked = telling.remove(chance(telling.len()));
                    if chance(4) == 0 { family.fails(asked) } else { family.does(asked) }
                }
                7 if !family.host.revoked.is_empty() => drop(family.revokes()),
                8 if job != family.root && chance(3) == 0 => family.ends(job),
                _ => {}
            }
            family.check();
        }
        // In the end everything is back but what was spent.
        telling.into_iter().for_each(|asked| family.does(asked));
        for _ in 0..jobs.len() {
            jobs.iter().skip(1).rev().for_each(|job| family.ends(*job));
            family.constrains();
            while !family.host.provisioning.is_empty() {
                family.issues_nothing(None);
            }
            while !family.host.revoked.is_empty() {
                family.revokes();
            }
        }
        assert_eq!(family.host.machine.census().borrowed, 0, "{seed}");
        let root = family.root;
        let spent = family.keys[&root].spent;
        let most = amount("5.00").minus(family.gone).min(spent.plus(family.remaining(root)));
        if most > spent.plus(amount("0.01")) {
            family.child(root, "0.01");
            assert_eq!(family.keys[&root].limit, most.minus(amount("0.01")), "{seed}");
            whole += 1;
        }
    }
    assert!(whole > 10, "not all is spent every time: {whole}");
}
