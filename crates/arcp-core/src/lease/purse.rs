//! Counters of what may be spent (§9.6). Money is moved between counters and never copied: what a child job or a reservation
//! holds is taken out of where it came from, so that nobody can spend it twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arcp_proto::{Amount, Budget, Currency};

/// The counters of one job, and those of the job that delegated to it for the currencies that it has none of its own for.
#[derive(Debug, Default)]
pub(super) struct Purse {
    own: Mutex<Own>,
    parent: Option<Arc<Purse>>,
}

/// What one job has, and what it has set aside of others'.
#[derive(Debug, Default)]
struct Own {
    counters: BTreeMap<Currency, Counter>,
    /// What it has set aside in the counters of the jobs above it.
    holds: BTreeMap<Currency, Amount>,
    /// Whether the job has ended, and everything has been given back.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    /// What may be spent, or given away.
    free: Amount,
    /// What is set aside for costs that are known.
    held: Amount,
}

/// A counter has not enough left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) currency: Currency,
    pub(super) remaining: Amount,
}

impl Counter {
    fn remaining(self) -> Amount {
        self.free.plus(self.held)
    }

    fn take(&mut self, currency: &Currency, amount: Amount) -> Result<(), Short> {
        if self.free.is_exhausted() || self.free < amount || amount.is_negative() {
            return Err(Short { currency: currency.clone(), remaining: self.free });
        }
        self.free = self.free.minus(amount);
        Ok(())
    }

    fn release(&mut self, amount: Amount) {
        self.held = self.held.minus(amount);
        self.free = self.free.plus(amount);
    }
}

impl Purse {
    pub(super) fn new(budget: &Budget) -> Arc<Self> {
        Self::with_parent(budget, None)
    }

    /// A purse that has had this money already, taken out of its parent's if it has one.
    pub(super) fn restored(budget: &Budget, parent: Option<&Arc<Self>>) -> Arc<Self> {
        Self::with_parent(budget, parent.cloned())
    }

    fn with_parent(budget: &Budget, parent: Option<Arc<Purse>>) -> Arc<Self> {
        let own = Own { counters: collect(budget), ..Own::default() };
        Arc::new(Self { own: Mutex::new(own), parent })
    }

    /// A purse that holds part of this one's money, and draws on this one for everything else.
    pub(super) fn share(self: &Arc<Self>, budget: &Budget) -> Result<Arc<Self>, Short> {
        let mut taken: Vec<(&Currency, Amount)> = Vec::new();
        for (currency, amount) in budget.iter() {
            let outcome = self.with(currency, |counter| counter.take(currency, amount));
            if let Some(Err(short)) = outcome {
                for (currency, amount) in taken {
                    self.with(currency, |counter| counter.free = counter.free.plus(amount));
                }
                return Err(short);
            }
            taken.push((currency, amount));
        }
        Ok(Self::with_parent(budget, Some(Arc::clone(self))))
    }

    /// The job has ended: what is left goes back to where it came from, and what it has set aside is free. What was set aside
    /// and is settled later is spent of where it has gone to.
    pub(super) fn close(&self) {
        let mut own = self.lock();
        own.closed = true;
        let (counters, holds) = (std::mem::take(&mut own.counters), std::mem::take(&mut own.holds));
        drop(own);
        let Some(parent) = &self.parent else { return };
        for (currency, counter) in counters {
            parent.with(&currency, |above| above.free = above.free.plus(counter.remaining()));
        }
        for (currency, held) in holds {
            parent.with(&currency, |above| above.release(held));
        }
    }

    /// Spends. Returns what remains then; `None` if nobody counts this currency.
    pub(super) fn spend(&self, currency: &Currency, amount: Amount) -> Option<Amount> {
        self.settle(currency, Amount::ZERO, amount)
    }

    /// Sets aside what a counter must have. A currency that nobody counts has no end.
    pub(super) fn hold(&self, currency: &Currency, amount: Amount) -> Result<(), Short> {
        let take = |counter: &mut Counter| {
            counter.take(currency, amount)?;
            counter.held = counter.held.plus(amount);
            Ok(())
        };
        let mut own = self.lock();
        if let Some(counter) = own.counters.get_mut(currency) {
            return take(counter);
        }
        match self.parent.as_ref().and_then(|parent| parent.with(currency, take)) {
            Some(Ok(())) => {
                let holds = own.holds.entry(currency.clone()).or_default();
                *holds = holds.plus(amount);
                Ok(())
            }
            Some(Err(short)) => Err(short),
            None => Ok(()),
        }
    }

    /// Spends of what was set aside, and frees the rest. Returns what remains then; `None` if nobody counts this currency.
    pub(super) fn settle(&self, currency: &Currency, held: Amount, spent: Amount) -> Option<Amount> {
        let mut own = self.lock();
        let pay = |counter: &mut Counter, held: Amount| {
            counter.release(held);
            counter.free = counter.free.minus(spent);
            counter.remaining()
        };
        if let Some(counter) = own.counters.get_mut(currency) {
            return Some(pay(counter, held));
        }
        // It was freed when the job ended.
        let held = if own.closed { Amount::ZERO } else { held };
        if let Some(holds) = own.holds.get_mut(currency) {
            *holds = holds.minus(held);
        }
        drop(own);
        self.parent.as_ref()?.with(currency, |counter| pay(counter, held))
    }

    /// The first counter that has nothing left, of those that this job's spending goes to.
    pub(super) fn exhausted(&self) -> Option<Short> {
        let remaining = self.remaining();
        let exhausted = remaining.iter().find(|(_, amount)| amount.is_exhausted());
        exhausted.map(|(currency, remaining)| Short { currency: currency.clone(), remaining })
    }

    /// What remains in every counter that this job's spending goes to.
    pub(super) fn remaining(&self) -> Budget {
        let mut all = self.parent.as_ref().map(|parent| parent.remaining()).unwrap_or_default();
        self.add_own(&mut all);
        all
    }

    /// What remains in the counters that are this job's own.
    pub(super) fn own(&self) -> Budget {
        let mut own = Budget::default();
        self.add_own(&mut own);
        own
    }

    fn add_own(&self, budget: &mut Budget) {
        for (currency, counter) in &self.lock().counters {
            budget.set(currency.clone(), counter.remaining());
        }
    }

    /// Whether anybody counts this currency.
    pub(super) fn counts(&self, currency: &Currency) -> bool {
        self.with(currency, |_| ()).is_some()
    }

    fn with<T>(&self, currency: &Currency, change: impl FnOnce(&mut Counter) -> T) -> Option<T> {
        if let Some(counter) = self.lock().counters.get_mut(currency) {
            return Some(change(counter));
        }
        self.parent.as_ref()?.with(currency, change)
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        // Nothing in here panics half-way through a change.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(budget: &Budget) -> BTreeMap<Currency, Counter> {
    let counter = |free| Counter { free, held: Amount::ZERO };
    budget.iter().map(|(currency, amount)| (currency.clone(), counter(amount))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn budget(patterns: &[&str]) -> Budget {
        patterns.iter().map(|pattern| pattern.parse::<arcp_proto::BudgetAmount>().unwrap()).collect()
    }

    #[test]
    fn ten_times_a_tenth_is_one() {
        let purse = Purse::new(&budget(&["USD:1.00"]));
        for _ in 0..9 {
            purse.spend(&usd(), amount("0.10"));
        }
        assert_eq!((purse.exhausted(), purse.remaining().remaining("USD")), (None, Some(amount("0.10"))));
        assert!(purse.spend(&usd(), amount("0.10")).unwrap().is_exhausted());
        assert!(purse.exhausted().is_some(), "equal to zero is exhausted");
        assert!(purse.spend(&usd(), amount("0.10")).unwrap().is_negative(), "what was spent was spent");
    }

    #[test]
    fn a_currency_that_nobody_counts_is_not_limited() {
        let purse = Purse::new(&budget(&["USD:1"]));
        let eur = "EUR".parse().unwrap();
        assert_eq!(purse.spend(&eur, amount("100")), None);
        assert_eq!(purse.hold(&eur, amount("100")), Ok(()));
        assert!(!purse.counts(&eur) && purse.counts(&usd()));
    }

    #[test]
    fn what_is_shared_is_gone_from_where_it_was_until_it_comes_back() {
        let parent = Purse::new(&budget(&["USD:5", "credits:10"]));
        let one = parent.share(&budget(&["USD:3"])).unwrap();
        let short = parent.share(&budget(&["credits:4", "USD:2.01"])).unwrap_err();
        assert_eq!((short.currency, short.remaining), (usd(), amount("2")));
        assert_eq!(parent.remaining().remaining("credits"), Some(amount("10")), "all or nothing");
        let two = parent.share(&budget(&["USD:2"])).unwrap();
        assert_eq!(parent.exhausted().unwrap().currency, usd());
        one.spend(&usd(), amount("1.25"));
        two.spend(&usd(), amount("2.50"));
        one.close();
        two.close();
        two.close();
        assert_eq!(parent.remaining().remaining("USD"), Some(amount("1.25")), "5 - 1.25 - 2.50");
    }

    #[test]
    fn what_a_child_does_not_count_it_draws_from_its_parent() {
        let parent = Purse::new(&budget(&["USD:5", "credits:10"]));
        let child = parent.share(&budget(&["USD:1"])).unwrap();
        let grandchild = child.share(&Budget::default()).unwrap();
        grandchild.spend(&"credits".parse().unwrap(), amount("10"));
        grandchild.spend(&usd(), amount("0.5"));
        assert_eq!(child.own().remaining("USD"), Some(amount("0.5")));
        assert_eq!(grandchild.own(), Budget::default());
        let credits = |purse: &Purse| purse.exhausted().map(|short| short.currency.to_string());
        assert_eq!(credits(&parent).as_deref(), Some("credits"));
        assert_eq!(
            credits(&grandchild).as_deref(),
            Some("credits"),
            "a parent's counter counts for its children"
        );
    }

    #[test]
    fn what_is_set_aside_must_be_there_and_is_not_exhausted_by_that() {
        let purse = Purse::new(&budget(&["USD:1"]));
        assert!(purse.hold(&usd(), amount("1.01")).is_err());
        purse.hold(&usd(), amount("1")).unwrap();
        assert!(purse.hold(&usd(), amount("0")).is_err(), "nothing is left to be set aside");
        assert!(purse.share(&budget(&["USD:0.5"])).is_err(), "nor to be given away");
        assert_eq!(purse.exhausted(), None, "but it is there to be spent");
        assert_eq!(purse.settle(&usd(), amount("1"), amount("0.25")), Some(amount("0.75")));
        purse.hold(&usd(), amount("0.75")).unwrap();
        purse.settle(&usd(), amount("0.75"), Amount::ZERO);
        assert_eq!(purse.spend(&usd(), amount("0.75")), Some(Amount::ZERO));
    }

    #[test]
    fn what_a_child_has_set_aside_when_it_ends_is_its_parents_once() {
        for drawn in [false, true] {
            let parent = Purse::new(&budget(&["USD:5"]));
            let share = if drawn { Budget::default() } else { budget(&["USD:3"]) };
            let child = parent.share(&share).unwrap();
            child.hold(&usd(), amount("3")).unwrap();
            child.close();
            assert!(parent.hold(&usd(), amount("5")).is_ok(), "it is all there again");
            parent.settle(&usd(), amount("5"), Amount::ZERO);
            // What the child's agent has left behind frees nothing a second time, but what it spends is spent.
            child.settle(&usd(), amount("3"), amount("1"));
            assert_eq!(parent.remaining().remaining("USD"), Some(amount("4")));
            assert!(
                parent.share(&budget(&["USD:4.01"])).is_err() && parent.share(&budget(&["USD:4"])).is_ok()
            );
        }
    }

    #[test]
    fn a_negative_amount_is_not_set_aside() {
        let purse = Purse::new(&budget(&["USD:5"]));
        let negative = Amount::ZERO.minus(amount("100"));
        assert!(purse.hold(&usd(), negative).is_err());
        assert!(purse.share(&budget(&["USD:5.01"])).is_err());
    }
}
