//! One life: a store, its clients, and the runtimes that follow one another on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arcp::proto::JobId;
use tokio::task::JoinSet;

use crate::audit::{audit, listing};
use crate::load::{observe, submit};
use crate::random::Random;
use crate::secrets;
use crate::server::{Server, Way};
use crate::world::{World, lock};

/// When a runtime ends.
#[derive(Debug)]
enum Moment {
    /// When it has said its first word: before or while it reads its store.
    Begun,
    /// When it listens, and nobody has come yet.
    Listening,
    /// When clients have been sent so many frames.
    Told(u64),
}

/// Lives a life of so many rounds in a directory. Gives what has come to pass, or what is wrong.
pub(crate) async fn live(
    seed: u64,
    rounds: usize,
    directory: PathBuf,
) -> Result<BTreeMap<&'static str, u64>, String> {
    let world = World::new(seed, directory);
    let mut tasks = JoinSet::new();
    let outcome = rounds_of(&world, rounds, &mut tasks).await;
    tasks.abort_all();
    if outcome.is_err() {
        for wire in lock(&world.wires).iter() {
            let _ = std::fs::write(world.directory.join(format!("told-{}", wire.name)), wire.history());
        }
    }
    outcome?;
    let met = lock(&world.met).clone();
    Ok(met)
}

async fn rounds_of(world: &Arc<World>, rounds: usize, tasks: &mut JoinSet<()>) -> Result<(), String> {
    let mut random = Random::new(world.seed, "moments");
    let durability = if world.seed.is_multiple_of(2) { "full" } else { "normal" };
    for name in ["ann", "ada"] {
        tasks.spawn(submit(Arc::clone(world), name, "alice"));
    }
    tasks.spawn(submit(Arc::clone(world), "ben", "bob"));
    tasks.spawn(observe(Arc::clone(world), "amy", "alice", "alice"));
    tasks.spawn(observe(Arc::clone(world), "bea", "bob", "alice"));
    let mut audited = 0;
    for round in 1..=rounds {
        world.round.store(round, Ordering::Relaxed);
        if round > 1 {
            for (principal, jobs) in due(world, &mut audited, &mut random) {
                tasks.spawn(audit(Arc::clone(world), format!("audit-{principal}-{round}"), principal, jobs));
            }
        }
        let way = if random.percent(25) { Way::Term } else { Way::Kill };
        let moment = match random.within(0, 99) {
            _ if round == 1 => Moment::Told(random.within(50, 400)),
            0..=4 => Moment::Begun,
            5..=11 => Moment::Listening,
            12..=29 => Moment::Told(random.within(1, 25)),
            _ => Moment::Told(random.within(20, 600)),
        };
        let mut server = Server::start(&world.directory, durability, 0)?;
        match moment {
            Moment::Begun => server.began(world).await?,
            Moment::Listening => drop(server.listening(world).await?),
            Moment::Told(frames) => {
                let mut told = world.frames.subscribe();
                let enough = *told.borrow() + frames;
                let url = server.listening(world).await?;
                world.address.send_replace(Some(url));
                let what = format!("{frames} frames to be sent to clients");
                let enough = async { drop(told.wait_for(|told| *told >= enough).await) };
                server.while_it_runs(world, &what, enough).await?;
            }
        }
        world.address.send_replace(None);
        server.end(world, way).await?;
        world.meet(if way == Way::Kill { "kills" } else { "terminations" });
        secrets::check_files(world)?;
        check_log(world)?;
    }
    last_round(world, rounds + 1, durability, tasks).await
}

/// Jobs that have been there before this round, by principal: those that were not compared yet, and a few others.
fn due(world: &World, audited: &mut usize, random: &mut Random) -> Vec<(&'static str, Vec<JobId>)> {
    let jobs = lock(&world.jobs);
    // Ids grow with time; what is known late is compared at the end of the life.
    let old = (*audited).min(jobs.len());
    *audited = jobs.len();
    let again: Vec<usize> =
        (0..3).filter(|_| old > 0).map(|_| random.within(0, old.max(1) as u64 - 1) as usize).collect();
    let wanted = |index: usize| index >= old || again.contains(&index);
    let mut due: BTreeMap<&'static str, Vec<JobId>> = BTreeMap::new();
    for (index, (job, known)) in jobs.iter().enumerate() {
        if wanted(index) {
            due.entry(if known.principal == "bob" { "bob" } else { "alice" }).or_default().push(job.clone());
        }
    }
    due.into_iter().collect()
}

/// Lets everything come to its end, and compares everything.
async fn last_round(
    world: &Arc<World>,
    round: usize,
    durability: &str,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    world.round.store(round, Ordering::Relaxed);
    let mut server = Server::start(&world.directory, durability, 60)?;
    let url = server.listening(world).await?;
    world.address.send_replace(Some(url));
    world.closing.send_replace(true);
    world.until("every job to end", joined(tasks)).await?;
    let of = |names: &[&str]| -> Vec<JobId> {
        let jobs = lock(&world.jobs);
        jobs.iter()
            .filter(|(_, known)| names.contains(&known.principal.as_str()))
            .map(|(job, _)| job.clone())
            .collect()
    };
    for (name, principal, jobs) in
        [("last-alice", "alice", of(&["alice"])), ("last-bob", "bob", of(&["alice", "bob"]))]
    {
        tasks.spawn(audit(Arc::clone(world), name.to_owned(), principal, jobs));
    }
    world.until("every job to be compared", joined(tasks)).await?;
    for (name, principal, of) in
        [("list-alice", "alice", &["alice"][..]), ("list-bob", "bob", &["alice", "bob"][..])]
    {
        let compared = world.until("a listing", listing(world, name, principal, of)).await?;
        compared.map_err(|problem| said(world, problem))?;
    }
    world.address.send_replace(None);
    server.end(world, Way::Term).await?;
    secrets::check_files(world)?;
    secrets::check_revoked(world)?;
    check_log(world)?;
    let jobs = lock(&world.jobs).len() as u64;
    lock(&world.met).insert("jobs", jobs);
    match world.failed() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// A runtime that is killed has nothing to complain of.
fn check_log(world: &World) -> Result<(), String> {
    let log = std::fs::read_to_string(world.directory.join("log")).map_err(|error| error.to_string())?;
    match log.lines().find(|line| line.contains("panicked at") || line.contains(" ERROR ")) {
        Some(line) => Err(said(world, format!("the runtime says {line}"))),
        None => Ok(()),
    }
}

async fn joined(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

fn said(world: &World, problem: String) -> String {
    world.fail(problem);
    world.failed().unwrap_or_default()
}
