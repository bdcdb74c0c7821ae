//! Keys that come from elsewhere: when they are fetched, by how many at a time, and how long they are good. How is not told here.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::key::KeySet;

/// After this long keys are fetched anew: one that is no longer published is good for so long at most.
const REFRESH: Duration = Duration::from_secs(60 * 60);

/// How long keys are good if they cannot be fetched anew.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// While there are keys, there is no more than one try in this time, whatever tokens say.
const PAUSE: Duration = Duration::from_secs(60);

/// The same while there are none, and nobody is let in.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// Where keys come from.
pub(crate) trait Fetch: Send + Sync + 'static {
    /// All keys, as they are now. It comes to an end by itself.
    fn fetch(&self) -> impl Future<Output = Result<KeySet, FetchError>> + Send;
}

/// Why there are no keys, for the log.
pub(crate) type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// There are no keys that are good, and none could be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoKeys;

/// The keys that were fetched last.
pub(crate) struct Cache<F>(Arc<Shared<F>>);

struct Shared<F> {
    source: F,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When keys were last asked for.
    tried: Option<Instant>,
    /// Is closed when the fetch that is under way is over.
    flight: Option<watch::Receiver<()>>,
}

impl<F: Fetch> Cache<F> {
    pub(crate) fn new(source: F) -> Self {
        Self(Arc::new(Shared { source, state: Mutex::default() }))
    }

    /// The keys among which the one with this name would be. They are fetched if it is not there, or if they are old; but not
    /// again and again.
    pub(crate) async fn keys_for(&self, kid: &str) -> Result<Arc<KeySet>, NoKeys> {
        let mut flight = {
            let mut state = self.0.state();
            let now = Instant::now();
            let good = state.good(now);
            if let Some((keys, since)) = &good
                && now - *since < REFRESH
                && keys.has(kid)
            {
                return Ok(Arc::clone(keys));
            }
            match state.flight.clone().filter(|flight| flight.has_changed().is_ok()) {
                Some(flight) => flight,
                None if state.may_try(now, good.is_some()) => self.start(&mut state, now),
                None => return good.map(|(keys, _)| keys).ok_or(NoKeys),
            }
        };
        let _ = flight.changed().await; // nothing is ever sent: it is over
        self.0.state().good(Instant::now()).map(|(keys, _)| keys).ok_or(NoKeys)
    }

    /// Fetches in a task of its own: whoever asked may go away, and others wait for it as well.
    fn start(&self, state: &mut State, now: Instant) -> watch::Receiver<()> {
        let (over, flight) = watch::channel(());
        state.tried = Some(now);
        state.flight = Some(flight.clone());
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let fetched = shared.source.fetch().await;
            let mut state = shared.state();
            match fetched {
                Ok(keys) => state.keys = Some((Arc::new(keys), Instant::now())),
                Err(error) => tracing::warn!(error, "keys of the issuer of tokens could not be fetched"),
            }
            state.flight = None;
            drop(state);
            drop(over);
        });
        flight
    }
}

impl<F> Shared<F> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn good(&self, now: Instant) -> Option<(Arc<KeySet>, Instant)> {
        self.keys.clone().filter(|(_, since)| now - *since < KEEP)
    }

    fn may_try(&self, now: Instant, has_keys: bool) -> bool {
        let pause = if has_keys { PAUSE } else { PAUSE_WITHOUT_KEYS };
        self.tried.is_none_or(|tried| now - tried >= pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;
    use tokio::time::advance;

    /// An issuer with one key, whose name a test can change.
    #[derive(Clone)]
    struct Issuer(Arc<IssuerState>);

    struct IssuerState {
        kid: Mutex<Option<&'static str>>,
        asked: AtomicUsize,
        /// An answer takes a permit.
        answers: Semaphore,
    }

    impl Issuer {
        /// One that answers at once.
        fn with(kid: &'static str) -> (Self, Arc<Cache<Self>>) {
            let (issuer, cache) = Self::slow(kid);
            issuer.0.answers.add_permits(1_000);
            (issuer, cache)
        }

        /// One that answers as often as it is allowed to.
        fn slow(kid: &'static str) -> (Self, Arc<Cache<Self>>) {
            let (kid, asked) = (Mutex::new(Some(kid)), AtomicUsize::new(0));
            let issuer = Self(Arc::new(IssuerState { kid, asked, answers: Semaphore::new(0) }));
            (issuer.clone(), Arc::new(Cache::new(issuer)))
        }

        fn publishes(&self, kid: Option<&'static str>) {
            *self.0.kid.lock().unwrap() = kid;
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::SeqCst)
        }
    }

    impl Fetch for Issuer {
        async fn fetch(&self) -> Result<KeySet, FetchError> {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            self.0.answers.acquire().await.unwrap().forget();
            let kid = self.0.kid.lock().unwrap().ok_or("the issuer is down")?;
            let x = "A".repeat(43);
            let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#);
            Ok(KeySet::parse(jwks.as_bytes()).unwrap())
        }
    }

    async fn has(cache: &Cache<Issuer>, kid: &str) -> Result<bool, NoKeys> {
        cache.keys_for(kid).await.map(|keys| keys.has(kid))
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_once_and_again_when_they_are_old() {
        let (issuer, cache) = Issuer::with("a");
        for _ in 0..5 {
            assert_eq!(has(&cache, "a").await, Ok(true));
        }
        assert_eq!(issuer.asked(), 1);
        advance(REFRESH).await;
        issuer.publishes(Some("b"));
        assert_eq!(has(&cache, "a").await, Ok(false), "it is no longer published");
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_that_are_not_known_are_one_fetch_a_minute() {
        let (issuer, cache) = Issuer::with("a");
        assert_eq!(has(&cache, "a").await, Ok(true));
        advance(PAUSE).await;
        for number in 0..1_000 {
            assert_eq!(has(&cache, &format!("x{number}")).await, Ok(false));
        }
        assert_eq!(issuer.asked(), 2);
        issuer.publishes(Some("b"));
        assert_eq!(has(&cache, "b").await, Ok(false), "not yet");
        advance(PAUSE).await;
        assert_eq!(has(&cache, "b").await, Ok(true));
        assert_eq!(issuer.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_for_the_fetch_that_is_under_way() {
        let (issuer, cache) = Issuer::slow("a");
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { has(&cache, "a").await })
            })
            .collect();
        tokio::task::yield_now().await;
        issuer.0.answers.add_permits(1);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_does_not_take_the_fetch_along() {
        let (issuer, cache) = Issuer::slow("a");
        let impatient = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { has(&cache, "x").await }
        });
        while issuer.asked() == 0 {
            tokio::task::yield_now().await;
        }
        impatient.abort();
        assert!(impatient.await.unwrap_err().is_cancelled());
        issuer.0.answers.add_permits(1);
        assert_eq!(has(&cache, "a").await, Ok(true));
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn good_keys_outlive_their_issuer_for_a_day() {
        let (issuer, cache) = Issuer::with("a");
        assert_eq!(has(&cache, "a").await, Ok(true));
        issuer.publishes(None);
        advance(KEEP - Duration::from_secs(1)).await;
        assert_eq!(has(&cache, "a").await, Ok(true));
        assert_eq!(issuer.asked(), 2, "it was tried");
        advance(Duration::from_secs(1)).await;
        assert_eq!(has(&cache, "a").await, Err(NoKeys));
        advance(PAUSE_WITHOUT_KEYS).await;
        issuer.publishes(Some("a"));
        assert_eq!(has(&cache, "a").await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn without_keys_nobody_is_known_and_the_issuer_is_not_hammered() {
        let (issuer, cache) = Issuer::with("a");
        issuer.publishes(None);
        for _ in 0..100 {
            assert_eq!(has(&cache, "a").await, Err(NoKeys));
        }
        assert_eq!(issuer.asked(), 1);
        advance(PAUSE_WITHOUT_KEYS).await;
        assert_eq!(has(&cache, "a").await, Err(NoKeys));
        assert_eq!(issuer.asked(), 2);
    }
}
