//! How far who has been told of a job's log, when several follow the job in one session and its history comes again for some.

use super::RequestKey;

/// Who something that is said of a job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who follows the job.
    All,
    /// Everybody but who follows it by these requests.
    AllBut(Vec<RequestKey>),
    /// Nobody but who follows it by these requests.
    Only(Vec<RequestKey>),
}

impl Audience {
    /// Whether it is for who follows the job by this request.
    pub fn includes(&self, request: RequestKey) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(others) => !others.contains(&request),
            Self::Only(these) => these.contains(&request),
        }
    }
}

/// Places in a job's log, from 0. Without them everything is for everybody.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// What comes next; `None` if that is not known.
    at: Option<u64>,
    /// What those are told next who have been told the most.
    next: Option<u64>,
    /// Whether they have been told nothing yet.
    fresh: bool,
    /// Those who joined them later and are told of another place next.
    joined: Vec<Joined>,
}

#[derive(Debug)]
struct Joined {
    request: RequestKey,
    next: u64,
    fresh: bool,
}

impl Places {
    pub(super) fn from(next: Option<u64>) -> Self {
        Self { at: next, next, fresh: true, joined: Vec::new() }
    }

    /// Whether it is known how far the job has been told.
    pub(super) fn are_known(&self) -> bool {
        self.next.is_some()
    }

    /// Whether somebody has been told less than those who have been told the most.
    pub(super) fn lag(&self) -> bool {
        self.next.is_some_and(|next| self.joined.iter().any(|joined| joined.next < next))
    }

    /// From here on it is not known: what comes is for everybody.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A message comes. Gives who it is for; `None` for nobody.
    pub(super) fn take(&mut self) -> Option<Audience> {
        let (Some(at), Some(next)) = (self.at, self.next) else { return Some(Audience::All) };
        self.at = Some(at + 1);
        let told = at >= next;
        if told {
            (self.next, self.fresh) = (Some(at + 1), false);
        }
        let mut these = Vec::new();
        for joined in self.joined.iter_mut().filter(|joined| at >= joined.next) {
            (joined.next, joined.fresh) = (at + 1, false);
            these.push(joined.request);
        }
        let audience = self.audience(told, &these);
        if told {
            self.joined.retain(|joined| joined.next > at + 1);
        }
        audience
    }

    /// Somebody joins who is to be told from a place on. The runtime goes back to there, if it is further.
    pub(super) fn join(&mut self, request: RequestKey, start: Option<u64>) {
        if let (Some(at), Some(_), Some(start)) = (self.at, self.next, start) {
            self.at = Some(at.min(start));
            self.joined.push(Joined { request, next: start, fresh: true });
        }
    }

    /// Messages before a place are no longer kept, as far as they have not come. Gives who was to be told of some of them.
    pub(super) fn miss(&mut self, before: u64) -> Option<Audience> {
        let Some(next) = self.next else { return Some(Audience::All) };
        self.at = Some(before);
        let misses = |next: u64, fresh: bool| next < before || (next == before && fresh);
        let missed = misses(next, self.fresh);
        if missed {
            (self.next, self.fresh) = (Some(before), false);
        }
        let mut these = Vec::new();
        for joined in self.joined.iter_mut().filter(|joined| misses(joined.next, joined.fresh)) {
            (joined.next, joined.fresh) = (before, false);
            these.push(joined.request);
        }
        self.audience(missed, &these)
    }

    /// What comes next is at a place, after what was to come is gone. Gives who misses some of what is before it.
    pub(super) fn go_on_at(&mut self, place: u64) -> Option<Audience> {
        self.fresh = false;
        for joined in &mut self.joined {
            joined.fresh = false;
        }
        self.miss(place)
    }

    /// These of those who joined, and with `most` everybody who did not.
    fn audience(&self, most: bool, these: &[RequestKey]) -> Option<Audience> {
        if !most {
            return (!these.is_empty()).then(|| Audience::Only(these.to_vec()));
        }
        let others =
            self.joined.iter().map(|joined| joined.request).filter(|request| !these.contains(request));
        let others: Vec<_> = others.collect();
        Some(if others.is_empty() { Audience::All } else { Audience::AllBut(others) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: RequestKey = RequestKey(1);
    const TWO: RequestKey = RequestKey(2);

    fn takes(places: &mut Places, times: usize) -> Vec<Option<Audience>> {
        (0..times).map(|_| places.take()).collect()
    }

    #[test]
    fn each_is_told_what_it_has_not_been_told() {
        let mut places = Places::from(Some(0));
        assert_eq!(takes(&mut places, 3), vec![Some(Audience::All); 3]);
        places.join(ONE, Some(0));
        assert_eq!(places.take(), Some(Audience::Only(vec![ONE])));
        places.join(TWO, Some(2)); // the first has come to 1: it goes on from there
        assert_eq!(places.take(), Some(Audience::Only(vec![ONE])));
        assert_eq!(places.take(), Some(Audience::Only(vec![ONE, TWO])));
        assert_eq!(takes(&mut places, 2), vec![Some(Audience::All); 2]);
        assert!(!places.lag());
        places.join(ONE, Some(7));
        assert_eq!(takes(&mut places, 2), vec![Some(Audience::AllBut(vec![ONE])); 2]);
        assert_eq!(
            places.take(),
            Some(Audience::All),
            "what comes later than what it asked for is for it too"
        );
    }

    #[test]
    fn what_is_missing_is_told_to_who_was_to_be_told_of_it() {
        let mut places = Places::from(Some(5));
        assert_eq!(places.miss(5), Some(Audience::All), "it asked for more than is kept");
        takes(&mut places, 5);
        assert_eq!(places.miss(10), None, "it has been told everything before");
        places.join(ONE, Some(5));
        takes(&mut places, 2);
        assert_eq!(places.miss(9), Some(Audience::Only(vec![ONE])));
        assert_eq!(places.take(), Some(Audience::Only(vec![ONE])));
        assert_eq!(places.miss(12), Some(Audience::All));
        assert_eq!(places.take(), Some(Audience::All));
    }

    #[test]
    fn another_session_goes_on_where_each_was() {
        let mut places = Places::from(Some(0));
        takes(&mut places, 4);
        places.join(ONE, Some(0));
        places.take();
        assert!(places.lag());
        assert_eq!(places.go_on_at(0), None);
        assert_eq!(places.take(), None, "everybody has been told");
        assert_eq!(takes(&mut places, 3), vec![Some(Audience::Only(vec![ONE])); 3]);
        assert_eq!(places.take(), Some(Audience::All));
        assert_eq!(places.go_on_at(9), Some(Audience::All));
    }

    #[test]
    fn without_places_everything_is_for_everybody() {
        let mut places = Places::from(None);
        places.join(ONE, Some(3));
        assert_eq!((places.take(), places.miss(7)), (Some(Audience::All), Some(Audience::All)));
        assert!(!places.are_known() && !places.lag());
    }
}
