//! `arcp top`: all jobs on the whole screen, live. This is the loop; what is known is in `top/model.rs`, how it looks in
//! `top/view.rs`.

mod follow;
mod format;
mod model;
#[cfg(test)]
mod picture;
mod terminal;
mod tree;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arcp::Client;
use arcp::client::State;
use arcp::proto::{JobId, Timestamp};
use crossterm::event::EventStream;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use self::model::{Effect, Input, Model};
use self::terminal::Screen;
use crate::connect::Runtime;
use crate::exit::{self, Failure};
use crate::signals::{Asked, ScreenSignals};

#[derive(clap::Args)]
#[command(after_help = KEYS)]
pub(crate) struct Top {
    /// How many jobs at most, newest first.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,

    /// How often jobs are listed. Those that are followed are shown as they go on.
    #[arg(long, value_name = "SECS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    interval: u64,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

const KEYS: &str = "\
Keys:
  ↑ ↓ k j    select a job; PgUp, PgDn, g and G go further
  enter      show the events of the selected job; esc closes them
  c          cancel it, after a question; it must have been left by `arcp submit --detach`
  /          show only jobs with a text in their agent, state or id; esc shows all
  q          quit; no job ends of that
  ctrl-z     leave the terminal to the shell, until fg

States: P pending, R running, S success, E error, C cancelled, T timed out.

The events of 32 jobs are followed at a time, and of a few more that were opened, where the runtime \
lets that be.";

/// How many inputs wait. Whoever tells more than can be taken waits, and so does the runtime.
const WAITING: usize = 1_024;

/// How many inputs are taken before the screen is drawn again.
const AT_ONCE: usize = 512;

/// How often it is drawn where nothing is pressed.
const FRAME: Duration = Duration::from_millis(100);

pub(crate) async fn run(top: Top) -> Result<(), Failure> {
    terminal::check()?;
    let client = top.runtime.connect(None).await?;
    let signals = ScreenSignals::listen()?;
    let mut screen = Screen::open()?;
    let outcome = watch(&client, &Arc::new(top.runtime), top.limit, top.interval, signals, &mut screen).await;
    drop(screen);
    client.close().await;
    outcome
}

async fn watch(
    client: &Client,
    runtime: &Arc<Runtime>,
    limit: u16,
    interval: u64,
    mut signals: ScreenSignals,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let (sender, mut inputs) = mpsc::channel(WAITING);
    let mut tasks = JoinSet::new();
    let every = Duration::from_secs(interval);
    tasks.spawn(follow::list(client.clone(), usize::from(limit), every, sender.clone()));
    let mut state = client.state();
    let mut keys = EventStream::new();
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut model = Model::new(runtime.url());
    let mut followed: BTreeMap<JobId, AbortHandle> = BTreeMap::new();
    let mut waiting = Vec::new();
    loop {
        let mut at_once = true;
        tokio::select! {
            biased;
            key = keys.next() => match key {
                #[cfg(unix)]
                Some(Ok(key)) if terminal::asks_to_pause(&key) => ScreenSignals::ask_to_pause()?,
                Some(key) => waiting.extend(terminal::key(&key?).map(Input::Key)),
                None => return Ok(()), // the terminal is gone
            },
            asked = signals.next() => match asked {
                Asked::End => return Err(Failure::silent(exit::INTERRUPTED)),
                #[cfg(unix)]
                Asked::Pause if ScreenSignals::can_pause() => {
                    screen.leave();
                    signals.pause().await?;
                    screen.enter()?;
                }
                #[cfg(unix)]
                Asked::Pause => waiting.push(Input::Said("no shell is here that could continue it".to_owned())),
                #[cfg(unix)]
                Asked::GoOn => screen.enter()?,
            },
            Ok(()) = state.changed() => waiting.push(Input::Connection(*state.borrow_and_update())),
            _ = frames.tick() => {}
            // The screen is drawn by the ticks: events may be many more than anybody can see.
            _ = inputs.recv_many(&mut waiting, AT_ONCE) => at_once = false,
            Some(_) = tasks.join_next() => at_once = false,
        }
        for input in waiting.drain(..) {
            match model.handle(input) {
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Cancel(job)) => {
                    let (client, runtime, sender) = (client.clone(), runtime.clone(), sender.clone());
                    tasks.spawn(async move { follow::stop(client, &runtime, job, sender).await });
                }
                None => {}
            }
        }
        if let State::Ended(loss) = model.connection {
            let error = anyhow::anyhow!("session has ended: {loss}");
            return Err(Failure::new(exit::CONNECTION, error));
        }
        // What is listed no more is followed no more, which ends the subscription.
        followed.retain(|job, task| {
            let listed = model.watched(job).is_some();
            if !listed {
                task.abort();
            }
            listed
        });
        for (job, from) in model.to_follow() {
            model.asked_to_follow(&job);
            let task = tasks.spawn(follow::follow(client.clone(), job.clone(), from, sender.clone()));
            followed.insert(job, task);
        }
        if at_once {
            screen.draw(&model, Timestamp::from(SystemTime::now()))?;
        }
    }
}
