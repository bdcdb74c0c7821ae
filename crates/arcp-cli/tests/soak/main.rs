//! Load and hostility: `arcp serve` as a process of its own, thousands of honest clients, and beside them everything that a peer
//! without manners may do. What the honest ones are told is held against what they asked for, and how they fare against how they
//! fared before the others came.
//!
//! Run as one of many tests it is short, and judges that nothing was lost. `cargo xtask soak`, which sets `ARCP_SOAK_SECS`,
//! judges memory and latency, too.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "what was measured is told where tests tell it")]

mod honest;
mod hostile;
mod judge;
mod options;
#[path = "../crash/random.rs"]
mod random;
mod raw;
mod server;
mod tap;
mod work;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::options::Options;
use crate::server::Server;
use crate::world::{Phase, World};

/// How long everything that is under way has to come to its end.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn honest_clients_lose_nothing_whatever_others_do() {
    let options = Options::read();
    let threads = |count| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
    };
    let (runtime, hostile) = (threads(2), threads(1));
    let directory = tempfile::Builder::new().prefix("arcp-soak-").tempdir().unwrap();
    let verdict = runtime.block_on(soak(&options, directory.path(), hostile.handle()));
    hostile.shutdown_background(); // nobody waits for them
    runtime.shutdown_background();
    if let Err(verdict) = verdict {
        let kept = directory.keep();
        panic!("{verdict}\nwhat the runtime said is in {}", kept.join("log").display());
    }
}

async fn soak(options: &Options, directory: &Path, threads: &Handle) -> Result<(), String> {
    let (mut server, address) = Server::start(directory, options).await?;
    let world = World::new(options.clone(), address);

    let begun = Instant::now();
    let clients = honest::open(&world).await?;
    println!("{} sessions opened in {:.1?}", options.sessions, begun.elapsed());
    world.enter(Phase::Quiet);
    let busy = server.during(options.quiet()).await?;
    println!("quiet run: {:?}; {busy}", options.quiet());

    world.enter(Phase::Hostile);
    hostile::begin(&world, threads);
    let busy = server.during(options.hostile()).await?;
    println!("hostile run: {:?}; {busy}", options.hostile());
    // A short run on a busy machine may not have come to everything yet.
    let mut counted = world.hostility.subscribe();
    let all = |met: &BTreeMap<&str, u64>| hostile::KINDS.iter().all(|kind| met.contains_key(kind));
    drop(timeout(PATIENCE, counted.wait_for(all)).await);

    // Everybody drops at once and comes back; then nothing new is begun.
    world.enter(Phase::Storm);
    let begun = Instant::now();
    timeout(PATIENCE, clients.cut_all()).await.map_err(|_| "not everybody came back".to_owned())??;
    world.note("honest sessions cut at once and resumed", options.sessions as u64);
    println!("all {} sessions were cut at once, and were back in {:.1?}", options.sessions, begun.elapsed());
    world.enter(Phase::Closing);
    if timeout(PATIENCE, clients.finished()).await.is_err() {
        world.problem(format!("after {PATIENCE:?} not every job has ended"));
    }
    let samples = server.end().await?;
    server::check_log(directory)?;
    judge::judge(&world, &samples)
}
