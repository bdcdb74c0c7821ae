//! Everything that a peer without manners may do, again and again, and whether it is answered as it should be. Here it is told
//! who does what how often; the doing is by where the peer stands: at the door, or in a session.

mod door;
mod inside;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::server::MALLORIES;
use crate::world::{Phase, World};

/// Every kind of hostility, by what is counted of it. None may be missing in any run.
pub(crate) const KINDS: &[&str] = &[
    "TCP connections that say nothing",
    "handshakes a byte at a time",
    "connections without a hello",
    "first messages that are no good",
    "wrong tokens",
    "resumes with a wrong token",
    "malformed frames in a session",
    "pings of a flood",
    "listings of a flood",
    "subscribes of a flood",
    "submits beyond the limit",
    "frames that are too large",
    "readers that are wedged",
    "sessions resumed in storms",
    "streams left unfinished",
    "jobs that run away",
];

/// Does something at a distance for as long as the hostile run lasts. Peers know nothing of each other: who does something every so
/// often begins at a time of its own. Those of a storm are `together`.
macro_rules! again {
    ($world:expr, $where:expr, $number:expr, $every:expr, $deed:path) => {
        again!($world, $where, $number, $every, $deed, |index: usize, number: usize| {
            $every.mul_f64(index as f64 / number as f64)
        })
    };
    ($world:expr, $where:expr, $number:expr, $every:expr, $deed:path, together) => {
        again!($world, $where, $number, $every, $deed, |_, _| Duration::ZERO)
    };
    ($world:expr, $where:expr, $number:expr, $every:expr, $deed:path, $phase:expr) => {
        let number = $world.options.scaled($number);
        for index in 0..number {
            let world = Arc::clone($world);
            $where.spawn(async move {
                let principal = format!("mallory-{}", index % MALLORIES);
                let phase: Duration = $phase(index as usize, number as usize);
                let mut pace = interval_at(Instant::now() + phase, $every);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while world.now() == Phase::Hostile {
                    pace.tick().await;
                    if let Err(problem) = $deed(&world, &principal).await
                        && world.now() == Phase::Hostile
                    {
                        world.problem(format!("{}: {problem}", stringify!($deed)));
                    }
                }
            });
        }
    };
}

/// Lets everybody loose, on threads of their own: what they are busy with keeps nobody waiting who is honest.
pub(crate) fn begin(world: &Arc<World>, threads: &Handle) {
    let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
    again!(world, threads, 100, seconds(1), door::say_nothing);
    again!(world, threads, 40, seconds(1), door::say_it_byte_by_byte);
    again!(world, threads, 100, seconds(1), door::say_no_hello);
    again!(world, threads, 10, millis(500), door::say_something_else);
    again!(world, threads, 10, millis(200), door::guess_a_token);
    again!(world, threads, 10, millis(200), door::guess_a_resume_token);
    again!(world, threads, 10, millis(500), inside::malformed);
    again!(world, threads, 10, millis(500), inside::too_large);
    again!(world, threads, 10, millis(250), inside::flood_of_pings);
    again!(world, threads, 5, millis(500), inside::flood_of_listings);
    again!(world, threads, 5, millis(500), inside::flood_of_subscribes);
    again!(world, threads, 2, seconds(2), inside::flood_of_submits);
    again!(world, threads, 20, seconds(3_600), inside::never_read, together);
    again!(world, threads, 10, millis(500), inside::leave_a_stream);
    again!(world, threads, 4, seconds(2), inside::run_away);
    again!(world, threads, 6, seconds(3), storm::storm, together);
}
