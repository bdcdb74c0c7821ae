//! Clients as their applications see them: sessions, and jobs that are followed to their end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp::client::{Backoff, JobError, Loss, RequestError, State};
use arcp::proto::JobId;
use arcp::{Client, Job};
use futures_util::StreamExt;

use crate::random::Random;
use crate::tap::{Losses, Tap};
use crate::wire::Wire;
use crate::world::{World, lock};

/// A session of one of the clients.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) world: Arc<World>,
    pub(crate) client: Client,
    pub(crate) wire: Arc<Wire>,
}

/// What one who follows a job was told of it.
pub(crate) struct Told {
    pub(crate) client: String,
    pub(crate) job: JobId,
    /// Whether that must be everything, from the job's first event.
    pub(crate) whole: bool,
    pub(crate) events: Vec<Seen>,
    pub(crate) end: Option<End>,
    /// The jobs that it has delegated to, if this is who submitted it and must know of all.
    pub(crate) children: Option<Vec<JobId>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) event_seq: Option<u64>,
    pub(crate) ts: String,
    pub(crate) kind: String,
    pub(crate) body: String,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    /// With this result, or one that was streamed and did not come here from its beginning.
    Success(Option<String>),
    /// Otherwise: the final status and the code.
    Failure(&'static str, String),
}

impl Session {
    /// Opens a session. If the runtime dies meanwhile, that was another one.
    pub(crate) async fn open(world: &Arc<World>, name: &str, principal: &str) -> Self {
        let backoff = Backoff {
            first: Duration::from_millis(2),
            most: Duration::from_millis(50),
            patience: Duration::from_secs(3_600),
        };
        for attempt in 1.. {
            let name = if attempt == 1 { name.to_owned() } else { format!("{name}-{attempt}") };
            // Who loses nothing keeps things going.
            let any = name != "ann";
            let random = Mutex::new(Random::new(world.seed, &name));
            let losses = Losses { any, random, closing: world.closing.subscribe() };
            let wire = Wire::new(world, name, principal);
            let tap = Tap { address: world.address.subscribe(), wire: Arc::clone(&wire), losses };
            let connect = Client::connect(tap, format!("token-of-{principal}")).reconnect(backoff);
            match connect.request_timeout(Duration::from_secs(3_600)).await {
                Ok(client) => {
                    world.meet("sessions");
                    return Self { world: Arc::clone(world), client, wire };
                }
                Err(_) => {
                    world.meet("sessions that died in their handshake");
                    tokio::task::yield_now().await;
                }
            }
        }
        unreachable!("attempts do not end")
    }

    /// Says if the session does not stay the same.
    pub(crate) fn watch(&self) {
        let (mut states, wire, closing) =
            (self.client.state(), Arc::clone(&self.wire), self.world.closing.subscribe());
        tokio::spawn(async move {
            while states.changed().await.is_ok() {
                let state = *states.borrow();
                // Whoever needs its client no more drops it.
                let is_left = state == State::Ended(Loss::Closed) && *closing.borrow();
                if !matches!(state, State::Connected | State::Reconnecting) && !is_left {
                    return wire.fail(format!("its session is {state:?}"));
                }
            }
        });
    }

    /// Subscribes to a job with its history, again if the runtime dies meanwhile.
    pub(crate) async fn subscribe(&self, job: &JobId) -> Option<Job> {
        loop {
            match self.client.subscribe(job).with_history().await {
                Ok(job) => return Some(job),
                Err(RequestError::Interrupted) => self.world.meet("subscriptions asked for again"),
                Err(error) => {
                    self.wire.fail(format!("subscribe to {job}: {error}"));
                    return None;
                }
            }
        }
    }

    /// Follows a job to its end.
    pub(crate) async fn follow(&self, mut job: Job, whole: bool) -> Arc<Mutex<Told>> {
        let told = self.begin(&job, whole);
        while let Some(event) = job.next().await {
            self.take(&told, &event);
        }
        self.finish(&told, job).await;
        told
    }

    /// Notes that a job is followed.
    pub(crate) fn begin(&self, job: &Job, whole: bool) -> Arc<Mutex<Told>> {
        let told = Told {
            client: self.wire.name.clone(),
            job: job.id().clone(),
            whole,
            events: Vec::new(),
            end: None,
            children: None,
        };
        let told = Arc::new(Mutex::new(told));
        lock(&self.world.told).push(Arc::clone(&told));
        told
    }

    pub(crate) fn take(&self, told: &Mutex<Told>, event: &arcp::Event) {
        self.world.meet("events told to applications");
        lock(told).events.push(Seen {
            event_seq: event.event_seq,
            ts: event.ts.to_string(),
            kind: event.kind.to_string(),
            body: event.raw.as_str().to_owned(),
        });
    }

    /// Notes how a job has ended.
    pub(crate) async fn finish(&self, told: &Mutex<Told>, mut job: Job) {
        let whole = lock(told).whole;
        let missed = job.has_missed();
        let end = match job.result_json().await {
            Ok(result) => End::Success(Some(result.as_str().to_owned())),
            Err(JobError::Incomplete) if !whole => End::Success(None),
            Err(JobError::Cancelled(error)) => End::Failure("cancelled", error.code.to_string()),
            Err(JobError::TimedOut(error)) => End::Failure("timed_out", error.code.to_string()),
            Err(JobError::Failed(error)) => {
                if error.code.as_str() == "INTERNAL_ERROR" && !error.retryable {
                    self.wire.fail(format!("{} does not invite to try again: {error}", job.id()));
                }
                End::Failure("error", error.code.to_string())
            }
            Err(error) => {
                return self.wire.fail(format!("{} is not followed to its end: {error}", job.id()));
            }
        };
        if missed {
            self.wire.fail(format!("misses events of {}", job.id()));
        }
        let owns = whole && job.status_when_subscribed().is_none();
        let children = job.children().into_iter().map(|child| child.job_id).collect();
        let mut told = lock(told);
        told.children = owns.then_some(children);
        told.end = Some(end);
    }
}
