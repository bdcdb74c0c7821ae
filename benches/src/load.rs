//! Loads: clients that do the work of a workload, measure it, and print what they have measured as one line of JSON.

mod answers;
mod bytes;
mod events;
mod fanout;
mod idle;
mod mixed;
mod replay;
mod session;

use anyhow::Result;

use crate::sample::Sample;

/// The token that servers under load let in.
pub(crate) const TOKEN: &str = "s3cret";

#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// What to do
    work: Work,
    /// The server, `ws://HOST:PORT/arcp`
    #[arg(long)]
    url: String,
    /// Whether the server is the floor rather than a runtime
    #[arg(long)]
    raw: bool,
    /// How many: events, jobs, sessions or pieces
    #[arg(long)]
    count: u64,
    /// How many sessions follow the job
    #[arg(long, default_value_t = 1)]
    subscribers: u64,
    /// The process of the server
    #[arg(long)]
    pid: Option<u32>,
}

/// The work of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    /// One job whose events are read, each of them typed
    Events,
    /// Jobs one after the other, and 64 at a time
    Answers,
    /// One job that many sessions follow
    Fanout,
    /// Sessions on which nothing happens
    Idle,
    /// A session that is resumed
    Replay,
    /// A large result, streamed
    Bytes,
    /// Many sessions with jobs of mixed kinds
    Mixed,
}

pub(crate) fn run(options: Options) -> Result<()> {
    // One thread, for a runtime's client as for the floor's: the other cores are the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sample = runtime.block_on(work(options))?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

async fn work(options: Options) -> Result<Sample> {
    let Options { work, url, raw, count, subscribers, pid } = options;
    match (work, raw) {
        (Work::Events, false) => events::typed(&url, count, pid).await,
        (Work::Events, true) => events::raw(&url, count, pid).await,
        (Work::Answers, false) => answers::jobs(&url, count, pid).await,
        (Work::Answers, true) => answers::raw(&url, count, pid).await,
        (Work::Fanout, false) => fanout::sessions(&url, count, subscribers).await,
        (Work::Fanout, true) => fanout::raw(&url, count, subscribers).await,
        (Work::Idle, false) => idle::sessions(&url, count, pid).await,
        (Work::Idle, true) => idle::raw(&url, count, pid).await,
        (Work::Replay, false) => replay::session(&url, count).await,
        (Work::Replay, true) => replay::raw(&url, count).await,
        (Work::Bytes, false) => bytes::result(&url, count).await,
        (Work::Bytes, true) => bytes::raw(&url, count).await,
        (Work::Mixed, false) => mixed::sessions(&url, count, pid).await,
        (Work::Mixed, true) => mixed::raw(&url, count, pid).await,
    }
}
