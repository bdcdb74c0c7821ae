//! The floor: servers that do what a workload needs and nothing else, as fast as it goes over the same kind of socket. What they do
//! is what a ratio is measured against; each is in a file of its own.

mod answers;
mod bytes;
mod events;
mod fanout;
mod idle;
mod replay;

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpStream;

use crate::socket;

pub(crate) use answers::READ_BUFFER as ANSWERS_READ_BUFFER;
pub(crate) use bytes::PIECE;
pub(crate) use idle::READ_BUFFER as IDLE_READ_BUFFER;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to serve
    kind: Kind,
}

/// The least server of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// As many typed events as the client asks for, serialised one by one, flushed in batches
    Events,
    /// Two raw frames for each that comes in
    Answers,
    /// Events of one log, pulled by each subscriber
    Fanout,
    /// Nothing
    Idle,
    /// Raw frames that are there already
    Replay,
    /// Pieces of bytes, coded as base64
    Bytes,
}

pub(crate) fn run(options: Options) -> Result<()> {
    match options.kind {
        Kind::Events => serve(events::serve),
        Kind::Answers => serve(answers::serve),
        Kind::Fanout => {
            let log = fanout::Log::new();
            serve(move |tcp| fanout::serve(tcp, Arc::clone(&log)))
        }
        Kind::Idle => serve(idle::serve),
        Kind::Replay => serve(replay::serve),
        Kind::Bytes => serve(bytes::serve),
    }
}

/// Serves connections, each in a task of its own, until the process is killed.
fn serve<F>(connection: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = socket::listen().await?;
        loop {
            let (tcp, _) = listener.accept().await?;
            let connection = connection(tcp);
            tokio::spawn(async {
                if let Err(error) = connection.await {
                    eprintln!("{error:#}");
                }
            });
        }
    })
}
