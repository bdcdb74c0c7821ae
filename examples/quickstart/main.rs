//! A runtime and a client in one program: a job reads a file and reports on it, over a real WebSocket that is cut half-way.
//!
//! ```sh
//! cargo run --release --example quickstart -- README.md
//! ```

mod agent;
mod link;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use arcp::proto::Number;
use arcp::proto::event::Body;
use arcp::runtime::{Runtime, StaticTokens, agent_fn};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::agent::{Input, text_report};
use crate::link::Link;
use crate::report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match (arguments.next(), arguments.next()) {
        (Some(file), None) => run(PathBuf::from(file)).await,
        _ => Err(anyhow::anyhow!("which file? try: cargo run --release --example quickstart -- README.md")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(file: PathBuf) -> anyhow::Result<()> {
    // The runtime: one agent, one token, one route, on a free port of this machine.
    let token = random_token()?;
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token(token.as_str(), "you"))
        .agent("text-report@1.0.0", agent_fn(text_report))
        .build()?;
    let app = axum::Router::new().route("/arcp", arcp::axum::serve(runtime.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    eprintln!("a runtime listens on ws://{address}/arcp");

    // What lies between them, which will fail.
    let link = Link::to(address).await?;

    // The client: connect, submit, follow, take the result.
    let client = arcp::connect(format!("ws://{}", link.address), token).await?;
    let mut job = client.submit("text-report").input(&Input { path: std::path::absolute(&file)? }).await?;
    eprintln!("{} runs {}", job.id(), job.accepted().agent.as_deref().unwrap_or("text-report"));
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}")?);
    let (mut events, mut cut) = (0, false);
    while let Some(event) = job.next().await {
        events += 1;
        anyhow::ensure!(event.event_seq == Some(events), "event {events} is missing");
        if let Body::Progress(progress) = &event.body {
            let whole = |number: &Number| number.as_u64().unwrap_or(0);
            let (current, total) = (whole(&progress.current), progress.total.as_ref().map_or(0, whole));
            bar.set_length(total);
            bar.set_position(current);
            if !cut && current * 2 >= total {
                cut = true;
                bar.suspend(|| eprintln!("the connection is cut now"));
                link.cut().await;
            }
        } else {
            bar.suspend(|| eprintln!("{event}"));
        }
    }
    bar.finish_and_clear();
    let report: Report = job.result().await.with_context(|| format!("no report on {}", file.display()))?;
    if cut {
        eprintln!("{events} events came, each once and in order: nothing was lost");
    }
    #[allow(clippy::print_stdout, reason = "the report is what this program is for")]
    {
        print!("{report}");
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bits: {error}"))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
