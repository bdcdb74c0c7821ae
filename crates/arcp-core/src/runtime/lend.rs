//! What the credentials of a job and of its children may spend together (§9.8.3): never more than the lease that they come
//! from. What a child's credential may spend is taken from that of the job whose money it is before it is issued, and
//! given back after it is revoked, as far as it is known not to have been spent.

use std::time::Duration;

use arcp_proto::{Amount, Budget, BudgetAmount, Credential, Currency, ErrorCode, ErrorPayload};

use super::job::{EmitError, Job};
use super::provision::Provision;
use super::submit::Order;
use super::timers::Timer;
use super::{Event, JobKey, Runtime};
use crate::time::Now;

/// How long a job waits for what is bound in credentials that are being revoked.
const PATIENCE: Duration = Duration::from_secs(30);

/// What may be spent with the credentials of a job, in the currencies that they carry.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// All that may ever be spent, as the upstream was last known to enforce it.
    limit: Budget,
    /// What has come back, and the upstream was not told of.
    returned: Budget,
    /// What the upstream is being told.
    telling: Option<Telling>,
    /// Whether the upstream may enforce less than `limit`.
    doubtful: bool,
}

/// A change that the upstream is being told.
#[derive(Debug)]
struct Telling {
    limit: Budget,
    /// The job that it is for, and what that is to have of it, if it is for one.
    loan: Option<(JobKey, Budget)>,
    /// What came back and is in `limit`.
    returned: Budget,
}

/// What the credentials of one job may spend of what those of others might.
#[derive(Debug)]
pub(super) struct Borrowed {
    loans: Vec<Loan>,
    /// Whether something was asked of the upstream for it.
    issuing: bool,
    /// What might be spent with its credentials, once it has ended; `None` if it never had any.
    limit: Option<Budget>,
}

#[derive(Debug)]
struct Loan {
    lender: JobKey,
    amount: Budget,
    /// Whether the upstream has taken it from the lender's credentials.
    taken: bool,
}

/// What the credentials of a job are to be held to from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Constraint {
    /// The most that may be spent with them altogether, what has been spent included, in each currency that they carry.
    pub limit: Budget,
    /// What the job has left in these currencies: no more than that may be spent from now on.
    pub remaining: Budget,
}

/// Why credentials are not held to a [`Constraint`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotConstrained {
    /// What was issued cannot be changed. A child is given no credential then, and begins without.
    Unsupported,
    /// It failed, and nobody may know whether it was done. The child that it was for is refused with this.
    Failed(ErrorPayload),
}

impl Allowance {
    /// What credentials say that may be spent with them, of the money that is the job's own.
    pub(super) fn of(credentials: &[Credential], own: &Budget) -> Self {
        Self { limit: limit_of(credentials, own), ..Self::default() }
    }

    /// All that may ever be spent once the upstream was told what has come back.
    fn total(&self) -> Budget {
        self.limit.plus(&self.returned)
    }

    fn has(&self, amounts: &Budget) -> bool {
        let total = self.total();
        let has = |currency: &Currency, amount| total.remaining(currency.as_str()) >= Some(amount);
        amounts.iter().all(|(currency, amount)| has(currency, amount))
    }
}

impl Runtime {
    /// Whether a job is to have no credential, as it spends what others may spend with theirs.
    pub(super) fn draws_on_credentials(&self, parent: JobKey, own: &Budget, remaining: &Budget) -> bool {
        let drawn = |currency: &str| own.remaining(currency).is_none();
        let mut of_others = remaining.iter().filter(|(currency, _)| drawn(currency.as_str())).peekable();
        (own.is_empty() && of_others.peek().is_some())
            || of_others.any(|(currency, _)| {
                let owner = self.owner_of(Some(parent), currency.as_str());
                let owner = owner.and_then(|owner| self.jobs.get(&owner));
                owner.is_none_or(|owner| {
                    let limit = owner.allowance.limit.remaining(currency.as_str());
                    owner.credentials.is_empty() || limit.is_some()
                })
            })
    }

    /// The job whose own counter counts a currency, of `job` and those above it.
    fn owner_of(&self, mut job: Option<JobKey>, currency: &str) -> Option<JobKey> {
        while let Some(key) = job {
            let above = self.jobs.get(&key)?;
            if above.authority.budget().remaining(currency).is_some() {
                return Some(key);
            }
            job = above.parent;
        }
        None
    }

    /// The job from whose credentials a currency is taken: that of whose money it is, if they carry it.
    fn lender_of(&self, job: Option<JobKey>, currency: &str) -> Option<JobKey> {
        let owner = self.owner_of(job, currency)?;
        self.jobs.get(&owner)?.allowance.limit.remaining(currency).map(|_| owner)
    }

    /// Notes what the credentials of a child are to be given by those of others. Returns whether there is anything.
    pub(super) fn borrow_for(&mut self, order: &Order) -> bool {
        let parent = order.parent.as_ref().map(|parent| parent.job);
        let mut loans: Vec<Loan> = Vec::new();
        for (currency, amount) in order.authority.budget().iter() {
            let Some(lender) = self.lender_of(parent, currency.as_str()) else { continue };
            match loans.iter_mut().find(|loan| loan.lender == lender) {
                Some(loan) => loan.amount.set(currency.clone(), amount),
                None => loans.push(Loan { lender, amount: of_one(currency, amount), taken: false }),
            }
        }
        let borrows = !loans.is_empty();
        if borrows {
            self.borrowed.insert(order.job, Borrowed { loans, issuing: false, limit: None });
        }
        borrows
    }

    /// Has what a child borrows taken from the credentials of others.
    pub(super) fn ask_lenders(&mut self, now: Now, borrower: JobKey) {
        self.timers.set(now.monotonic + PATIENCE, Timer::Loan(borrower));
        let Some(borrowed) = self.borrowed.get(&borrower) else { return };
        for lender in borrowed.loans.iter().map(|loan| loan.lender).collect::<Vec<_>>() {
            self.review(now, lender);
        }
    }

    /// Sees what can be done for those who wait for something of a job's credentials: it can be taken, may yet come back, or
    /// will not be there. Returns whether the upstream is going to be asked.
    fn review(&mut self, now: Now, lender: JobKey) -> bool {
        let Some(job) = self.jobs.get(&lender).filter(|job| !job.has_ended()) else { return false };
        if job.allowance.telling.is_some() {
            return true; // and it is seen to after that
        }
        let waiting = |(borrower, borrowed): (&JobKey, &Borrowed)| {
            let loan = borrowed.loans.iter().find(|loan| loan.lender == lender && !loan.taken)?;
            Some((*borrower, job.allowance.has(&loan.amount)))
        };
        let waiting: Vec<(JobKey, bool)> = self.borrowed.iter().filter_map(waiting).collect();
        if waiting.iter().any(|(_, there)| *there) {
            self.events.push_back(Event::Constrain(lender));
            return true;
        }
        if self.borrowed.iter().any(|(borrower, borrowed)| {
            self.is_over(*borrower) && borrowed.loans.iter().any(|loan| loan.lender == lender)
        }) {
            return false;
        }
        for (borrower, _) in waiting {
            self.refuse_loan(now, borrower, exhausted());
        }
        false
    }

    /// Whether a job has ended, or will never be.
    fn is_over(&self, job: JobKey) -> bool {
        !self.provisions.contains_key(&job) && self.jobs.get(&job).is_none_or(Job::has_ended)
    }

    fn refuse_loan(&mut self, now: Now, borrower: JobKey, error: ErrorPayload) {
        if let Some(Provision { order, waiting }) = self.provisions.remove(&borrower) {
            self.refuse_order(now, order, waiting, error);
        }
    }

    /// A job has waited long enough for what it borrows. What the upstream is asked for right now has a time of its own.
    pub(super) fn loan_is_late(&mut self, now: Now, borrower: JobKey) {
        let waits = |loan: &Loan| {
            let lender = self.jobs.get(&loan.lender);
            let asked = lender.and_then(|job| job.allowance.telling.as_ref()?.loan.as_ref());
            !loan.taken && asked.is_none_or(|(asked, _)| *asked != borrower)
        };
        if self.borrowed.get(&borrower).is_some_and(|borrowed| borrowed.loans.iter().any(waits)) {
            let message = "budget could not be taken from the credentials that it is bound in in time";
            self.refuse_loan(now, borrower, ErrorPayload::new(ErrorCode::InternalError, message));
        }
    }

    /// The first of the loans that can be taken from a job's credentials.
    fn next_loan(&self, lender: JobKey) -> Option<(JobKey, &Budget)> {
        let allowance = &self.jobs.get(&lender)?.allowance;
        self.borrowed.iter().find_map(|(borrower, borrowed)| {
            let fits = |loan: &&Loan| loan.lender == lender && !loan.taken && allowance.has(&loan.amount);
            borrowed.loans.iter().find(fits).map(|loan| (*borrower, &loan.amount))
        })
    }

    /// What the credentials of a job are to be held to, asked because of [`Event::Constrain`], or again after a failure that
    /// may pass. `None` if there is nothing to change. Anything else is answered with
    /// [`handle_constrained`](Self::handle_constrained) before it is asked again, and before a credential of the job is
    /// rotated.
    pub fn constraint(&mut self, job_key: JobKey) -> Option<Constraint> {
        let loan = self.next_loan(job_key).map(|(borrower, amount)| (borrower, amount.clone()));
        let job = self.jobs.get_mut(&job_key).filter(|job| !job.has_ended())?;
        let allowance = &mut job.allowance;
        let changed = loan.is_some() || !allowance.returned.is_empty() || allowance.doubtful;
        if allowance.telling.is_some() || !changed {
            return None;
        }
        let mut limit = allowance.total();
        if let Some((_, amount)) = &loan {
            limit = less(&limit, amount);
        }
        let returned = std::mem::take(&mut allowance.returned);
        allowance.telling = Some(Telling { limit: limit.clone(), loan, returned });
        let own = job.authority.budget();
        let left = |currency: &Currency| own.remaining(currency.as_str()).unwrap_or(Amount::ZERO);
        let remaining = map(&limit, |currency, _| left(currency));
        Some(Constraint { limit, remaining })
    }

    /// Answers [`constraint`](Self::constraint): the upstream holds the job's credentials to it, and this is what has been
    /// spent with them, in the currencies of which it tells; or it does not.
    pub fn handle_constrained(&mut self, now: Now, job_key: JobKey, outcome: Result<Budget, NotConstrained>) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let Some(Telling { limit, loan, returned }) = job.allowance.telling.take() else { return };
        match outcome {
            Ok(spent) => {
                for credential in &mut job.credentials {
                    show(credential, &limit);
                }
                (job.allowance.limit, job.allowance.doubtful) = (limit, false);
                if let Some((borrower, amount)) = loan {
                    self.take_loan(now, job_key, borrower, &amount, &spent);
                }
                self.see_to_returned(now, job_key);
            }
            Err(error) => {
                job.allowance.returned = job.allowance.returned.plus(&returned);
                job.allowance.doubtful |= error != NotConstrained::Unsupported;
                match (loan, error) {
                    (Some((borrower, _)), NotConstrained::Failed(error)) => {
                        self.refuse_loan(now, borrower, error);
                    }
                    (Some((borrower, _)), NotConstrained::Unsupported) => {
                        self.handle_provisioned(now, borrower, Ok(Vec::new()));
                    }
                    (None, _) => {}
                }
                self.review(now, job_key);
            }
        }
    }

    /// Has the upstream told of what has come back to a job's credentials, and of what can be taken from them now.
    fn see_to_returned(&mut self, now: Now, lender: JobKey) {
        let returned = |job: &Job| !job.allowance.returned.is_empty();
        if !self.review(now, lender) && self.jobs.get(&lender).is_some_and(returned) {
            self.events.push_back(Event::Constrain(lender));
        }
    }

    /// The upstream has taken a loan from the credentials of its lender. Once all loans of a job are, it is given credentials.
    fn take_loan(&mut self, now: Now, lender: JobKey, borrower: JobKey, amount: &Budget, spent: &Budget) {
        let Some(job) = self.jobs.get(&lender) else { return };
        // Its agent may have told of less than it has spent.
        let is_spent = |currency: &Currency| {
            spent.remaining(currency.as_str()) > job.allowance.limit.remaining(currency.as_str())
        };
        let short = amount.iter().any(|(currency, _)| is_spent(currency));
        let Some(borrowed) = self.borrowed.get_mut(&borrower) else {
            return self.give_back(now, lender, amount); // nobody wants it any more
        };
        let loan = borrowed.loans.iter_mut().find(|loan| loan.lender == lender);
        loan.into_iter().for_each(|loan| loan.taken = true);
        if short {
            return self.refuse_loan(now, borrower, exhausted());
        }
        let all = borrowed.loans.iter().all(|loan| loan.taken);
        let Some(provision) = self.provisions.get(&borrower).filter(|_| all) else { return };
        if let Err(error) = self.check_parent(&provision.order) {
            return self.refuse_loan(now, borrower, error);
        }
        let spec = self.spec_of(&provision.order);
        self.events.push_back(Event::Provision(Box::new(spec)));
        if let Some(borrowed) = self.borrowed.get_mut(&borrower) {
            borrowed.issuing = true;
        }
    }

    /// A job will not be, or not have credentials. What was taken for it goes back; if something may have been issued, that
    /// waits for [`handle_revoked`](Self::handle_revoked).
    pub(super) fn release_loans(&mut self, now: Now, borrower: JobKey, issued: bool) {
        if self.borrowed.get(&borrower).is_some_and(|borrowed| !(borrowed.issuing && issued)) {
            self.return_loans(now, borrower, None);
        }
    }

    /// Nothing that was issued for a job is good any more, as [`Event::Revoke`] asked, or since an error was the answer to
    /// [`Event::Provision`]. With its credentials this has been spent, in the currencies of which that is known: what is
    /// left of them is given back to those from which it was taken.
    pub fn handle_revoked(&mut self, now: Now, job_key: JobKey, spent: &Budget) {
        self.return_loans(now, job_key, Some(spent));
    }

    fn return_loans(&mut self, now: Now, borrower: JobKey, spent: Option<&Budget>) {
        let Some(Borrowed { loans, limit, .. }) = self.borrowed.remove(&borrower) else { return };
        for Loan { lender, amount, .. } in loans.into_iter().filter(|loan| loan.taken) {
            let left = match (&limit, spent) {
                (Some(limit), Some(spent)) => left(&amount, limit, spent),
                _ => amount, // nobody has had anything to spend it with
            };
            self.give_back(now, lender, &left);
        }
    }

    fn give_back(&mut self, now: Now, lender: JobKey, amount: &Budget) {
        let Some(job) = self.jobs.get_mut(&lender).filter(|job| !job.has_ended()) else { return };
        job.allowance.returned = job.allowance.returned.plus(amount);
        self.see_to_returned(now, lender);
    }

    /// A job has ended. What might be spent with its credentials is known from here on, and what it has lent comes back to
    /// those from which it had it.
    pub(super) fn end_allowance(&mut self, job_key: JobKey) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let (allowance, parent) = (std::mem::take(&mut job.allowance), job.parent);
        let telling = allowance.telling.as_ref().map(|telling| &telling.returned);
        let limit = telling.map_or_else(|| allowance.total(), |returned| allowance.total().plus(returned));
        if let Some(borrowed) = self.borrowed.get_mut(&job_key) {
            borrowed.limit = Some(limit);
        }
        let lent = |borrowed: &Borrowed| borrowed.loans.iter().any(|loan| loan.lender == job_key);
        let borrowers = self.borrowed.iter().filter(|(_, borrowed)| lent(borrowed)).map(|(key, _)| *key);
        for borrower in borrowers.collect::<Vec<_>>() {
            let Some(borrowed) = self.borrowed.get_mut(&borrower) else { continue };
            let lent: Vec<Loan> = borrowed.loans.extract_if(.., |loan| loan.lender == job_key).collect();
            for (currency, amount) in lent.iter().flat_map(|loan| loan.amount.iter()) {
                let Some(lender) = self.lender_of(parent, currency.as_str()) else { continue };
                let loan = Loan { lender, amount: of_one(currency, amount), taken: true };
                self.borrowed.entry(borrower).and_modify(|borrowed| borrowed.loans.push(loan));
            }
        }
    }

    /// What was taken from the credentials of others for those of a job, and goes back as far as it is not spent.
    pub fn borrowed(&self, job_key: JobKey) -> Budget {
        let loans = self.borrowed.get(&job_key).into_iter().flat_map(|borrowed| &borrowed.loans);
        loans.fold(Budget::default(), |sum, loan| sum.plus(&loan.amount))
    }

    /// What a credential of a job may spend that takes the place of another: what the job has left, and no more than the
    /// earlier one might. `None` while something is to be taken from the earlier one: see [`constraint`](Self::constraint).
    ///
    /// # Errors
    /// When the job has ended: it has nothing to spend.
    pub fn rotation_budget(&self, job_key: JobKey) -> Result<Option<Budget>, EmitError> {
        let job = self.jobs.get(&job_key).filter(|job| !job.has_ended()).ok_or(EmitError::Ended)?;
        if self.next_loan(job_key).is_some() {
            return Ok(None);
        }
        let most = |currency: &Currency, amount: Amount| {
            let limit = job.allowance.limit.remaining(currency.as_str());
            limit.map_or(amount, |limit| limit.min(amount))
        };
        Ok(Some(map(&job.authority.remaining(), most)))
    }

    /// A credential of a job was rotated: the upstream enforces what is said of the new one.
    pub(super) fn renew_allowance(&mut self, now: Now, job_key: JobKey) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        job.allowance.limit = limit_of(&job.credentials, &job.authority.budget());
        job.allowance.doubtful = false;
        self.see_to_returned(now, job_key);
    }
}

fn exhausted() -> ErrorPayload {
    let message = "credentials of the job have less left than is asked of them";
    ErrorPayload::new(ErrorCode::BudgetExhausted, message)
}

/// What credentials say that may be spent with them (§9.8.3), of the currencies that `own` has.
fn limit_of(credentials: &[Credential], own: &Budget) -> Budget {
    let mut limit = Budget::default();
    for (currency, amount) in credentials.iter().map(shown).flat_map(|shown| entries(&shown)) {
        let most = limit.remaining(currency.as_str()).map_or(amount, |most| most.max(amount));
        if own.remaining(currency.as_str()).is_some() {
            limit.set(currency, most);
        }
    }
    limit
}

/// What a credential says that may be spent with it.
fn shown(credential: &Credential) -> Budget {
    let amounts =
        credential.constraints.iter().flat_map(|constraints| constraints.cost_budget.iter().flatten());
    amounts.filter_map(|amount| amount.parse::<BudgetAmount>().ok()).collect()
}

/// Has a credential say what may be spent with it now.
fn show(credential: &mut Credential, limit: &Budget) {
    let before = shown(credential);
    let now = map(&before, |currency, before| limit.remaining(currency.as_str()).unwrap_or(before));
    if let Some(constraints) = credential.constraints.as_mut().filter(|some| some.cost_budget.is_some()) {
        constraints.cost_budget = Some(now.patterns());
    }
}

/// What is left of an amount if it is no more than what is left of a limit; nothing where nobody knows what was spent.
fn left(amount: &Budget, limit: &Budget, spent: &Budget) -> Budget {
    let mut all = Budget::default();
    for (currency, amount) in amount.iter() {
        let (limit, spent) = (limit.remaining(currency.as_str()), spent.remaining(currency.as_str()));
        let (Some(limit), Some(spent)) = (limit, spent) else { continue };
        let left = limit.minus(spent).min(amount);
        if !left.is_exhausted() {
            all.set(currency.clone(), left);
        }
    }
    all
}

fn less(budget: &Budget, amounts: &Budget) -> Budget {
    let taken = |currency: &Currency| amounts.remaining(currency.as_str()).unwrap_or(Amount::ZERO);
    map(budget, |currency, amount| amount.minus(taken(currency)))
}

fn map(budget: &Budget, change: impl Fn(&Currency, Amount) -> Amount) -> Budget {
    let mut changed = Budget::default();
    for (currency, amount) in budget.iter() {
        changed.set(currency.clone(), change(currency, amount));
    }
    changed
}

fn of_one(currency: &Currency, amount: Amount) -> Budget {
    let mut budget = Budget::default();
    budget.set(currency.clone(), amount);
    budget
}

fn entries(budget: &Budget) -> Vec<(Currency, Amount)> {
    budget.iter().map(|(currency, amount)| (currency.clone(), amount)).collect()
}
