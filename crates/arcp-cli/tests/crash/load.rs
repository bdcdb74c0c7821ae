//! What clients do all the time: submit, follow, cancel, watch.

use std::sync::Arc;

use arcp::Job;
use arcp::client::RequestError;
use arcp::proto::JobId;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::follow::Session;
use crate::plan::Plan;
use crate::random::Random;
use crate::world::{Key, World, lock};

/// Jobs that one session follows at a time.
const AT_ONCE: usize = 6;
/// Those of them that do not end by themselves.
const ASLEEP: usize = 2;

/// Submits jobs of every kind until the life is over, and follows them to their ends.
pub(crate) async fn submit(world: Arc<World>, name: &'static str, principal: &'static str) {
    let mut random = Random::new(world.seed, name);
    let session = Session::open(&world, name, principal).await;
    session.watch();
    let (room, beds) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(ASLEEP)));
    let mut closing = world.closing.subscribe();
    let mut followed = JoinSet::new();
    loop {
        let room = Arc::clone(&room).acquire_owned();
        let permit = tokio::select! {
            biased;
            () = over(&mut closing) => break,
            permit = room => permit,
        };
        let Ok(permit) = permit else { break };
        let bed = random.percent(15).then(|| Arc::clone(&beds).try_acquire_owned().ok()).flatten();
        let order = match bed {
            Some(bed) => {
                let (plan, chance) =
                    if random.percent(50) { (Plan::Stubborn, 100) } else { (Plan::Sleep, 60) };
                Order { plan, key: None, cancel: random.percent(chance), permits: (permit, Some(bed)) }
            }
            None if random.percent(25) => {
                let (key, plan) = keyed(&world, principal, &mut random);
                Order { plan, key: Some(key), cancel: false, permits: (permit, None) }
            }
            None => {
                let plan = Plan::short(&mut random);
                Order { plan, key: None, cancel: random.percent(5), permits: (permit, None) }
            }
        };
        followed.spawn(one(session.clone(), principal, order));
        while followed.try_join_next().is_some() {}
    }
    while followed.join_next().await.is_some() {}
}

/// Waits for the end of the life.
async fn over(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}

struct Order {
    plan: Plan,
    key: Option<String>,
    /// Whether it is cancelled after its first event.
    cancel: bool,
    permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// A key of the principal's, new or old, with what it stands for.
fn keyed(world: &World, principal: &str, random: &mut Random) -> (String, Plan) {
    let mut keys = lock(&world.keys);
    let count = keys.keys().filter(|(owner, _)| owner == principal).count() as u64;
    // Mostly the latest, which another session may be about to use, and sometimes one of long ago.
    let number = match random.within(0, 9) {
        0..=3 => count,
        4..=7 => count.saturating_sub(1),
        _ => random.within(0, count),
    };
    let key = format!("key-{number}");
    let entry = keys.entry((principal.to_owned(), key.clone()));
    let plan = entry.or_insert_with(|| Key { plan: Plan::short(random), job: None }).plan.clone();
    (key, plan)
}

async fn one(session: Session, principal: &'static str, order: Order) {
    let world = Arc::clone(&session.world);
    let Order { plan, key, cancel, permits } = order;
    let mut job = loop {
        let mut submit = session.client.submit(plan.agent()).input(&plan.input()).lease(plan.lease());
        if let Some(key) = &key {
            submit = submit.idempotency_key(key);
        }
        match submit.await {
            Ok(job) => break job,
            // It is about to stop. The next one takes it.
            Err(RequestError::Refused(error))
                if error.code.as_str() == "INTERNAL_ERROR" && error.retryable =>
            {
                world.meet("submits refused by a runtime that stops");
                tokio::task::yield_now().await;
            }
            Err(error) => return session.wire.fail(format!("submit of {plan:?} with {key:?}: {error}")),
        }
    };
    world.know(job.id(), |known| known.plan = Some(plan.clone()));
    if let Some(key) = &key {
        check_key(&session, principal, key, job.id());
    }
    let told = session.begin(&job, key.is_none());
    let mut closing = world.closing.subscribe();
    // Who sleeps is woken when the life is over.
    let (mut cancel, mut wake) = (cancel, plan == Plan::Sleep);
    loop {
        let event = tokio::select! {
            event = job.next() => event,
            () = over(&mut closing), if wake => {
                wake = false;
                stop(&session, &job).await;
                continue;
            }
        };
        let Some(event) = event else { break };
        session.take(&told, &event);
        if std::mem::take(&mut cancel) {
            stop(&session, &job).await;
        }
    }
    session.finish(&told, job).await;
    drop(permits);
}

async fn stop(session: &Session, job: &Job) {
    session.world.know(job.id(), |known| known.cancel_asked = true);
    match job.cancel().await {
        Ok(()) => {}
        // It has ended meanwhile, with the runtime or by itself.
        Err(RequestError::Refused(error)) if error.code.as_str() == "JOB_NOT_FOUND" => {
            session.world.meet("cancellations of jobs that had ended");
        }
        Err(error) => session.wire.fail(format!("cancel of {}: {error}", job.id())),
    }
}

/// One key of one principal is one job, whoever says it and when.
fn check_key(session: &Session, principal: &str, key: &str, job: &JobId) {
    let mut keys = lock(&session.world.keys);
    let Some(entry) = keys.get_mut(&(principal.to_owned(), key.to_owned())) else { return };
    match &entry.job {
        None => entry.job = Some(job.clone()),
        Some(first) if first == job => session.world.meet("keys used again"),
        Some(first) => session.wire.fail(format!("{key} of {principal} was {first} and is {job}")),
    }
    let others = keys.iter().find(|((owner, name), other)| {
        (owner.as_str(), name.as_str()) != (principal, key) && other.job.as_ref() == Some(job)
    });
    if let Some((other, _)) = others {
        session.wire.fail(format!("{key} of {principal} is {job}, which is {other:?} already"));
    }
}

/// Subscribes to every job of a principal with its history, and follows it to its end.
pub(crate) async fn observe(
    world: Arc<World>,
    name: &'static str,
    principal: &'static str,
    of: &'static str,
) {
    let session = Session::open(&world, name, principal).await;
    session.watch();
    let mut seen = std::collections::BTreeSet::new();
    let mut count = world.job_count.subscribe();
    let mut closing = world.closing.subscribe();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut followed = JoinSet::new();
    while !*closing.borrow() {
        let next = {
            let jobs = lock(&world.jobs);
            let mut theirs = jobs.iter().filter(|(_, known)| known.principal == of).map(|(job, _)| job);
            theirs.find(|job| !seen.contains(*job)).cloned()
        };
        let Some(job) = next else {
            tokio::select! {
                _ = count.changed() => {}
                () = over(&mut closing) => {}
            }
            continue;
        };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        seen.insert(job.clone());
        followed.spawn(subscribe(session.clone(), job, permit));
        while followed.try_join_next().is_some() {}
    }
    while followed.join_next().await.is_some() {}
}

async fn subscribe(session: Session, job: JobId, permit: OwnedSemaphorePermit) {
    if let Some(job) = session.subscribe(&job).await {
        drop(session.follow(job, true).await);
    }
    drop(permit);
}
