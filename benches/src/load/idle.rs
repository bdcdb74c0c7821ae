//! Sessions on which nothing happens: what each of them has the server keep in memory.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::session::Session;
use crate::floor::IDLE_READ_BUFFER;
use crate::process::resident;
use crate::sample::Sample;
use crate::socket::Socket;

/// Handshakes at a time.
const AT_A_TIME: usize = 32;

pub(super) async fn sessions(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    measure(count, server, |_| Session::open(url, IDLE_READ_BUFFER, Value::Null)).await
}

pub(super) async fn raw(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let open = |number: u64| async move {
        let mut socket = Socket::connect(url, IDLE_READ_BUFFER).await?;
        // As in a session, something has gone either way.
        socket.send(number.to_string()).await?;
        socket.text().await?;
        Ok(socket)
    };
    measure(count, server, open).await
}

async fn measure<F, T>(count: u64, server: Option<u32>, open: impl Fn(u64) -> F) -> Result<Sample>
where
    F: Future<Output = Result<T>>,
{
    let server = server.context("whose memory is to be measured is not known")?;
    // What is made once is made for these.
    let first: Vec<T> = stream::iter(0..64).map(&open).buffer_unordered(AT_A_TIME).try_collect().await?;
    let before = resident(server)?;
    let sessions: Vec<T> =
        stream::iter(0..count).map(&open).buffer_unordered(AT_A_TIME).try_collect().await?;
    tokio::time::sleep(Duration::from_secs(1)).await; // what the handshakes leave behind goes
    let after = resident(server)?;
    drop((first, sessions));
    Ok(Sample::of("bytes_per_session", (after - before) / count as f64))
}
