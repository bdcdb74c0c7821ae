//! An agent that has a language model answer: it asks a server that speaks the chat API which many have, passes the answer on as it
//! comes, and pays for the tokens from the budget of its job. The server is a small one that this program starts; any other
//! will do, as `llm_agent URL KEY`.
//!
//! ```sh
//! cargo run --example llm_agent
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

mod chat;
mod server;

use arcp::Client;
use arcp::client::JobError;
use arcp::proto::event::ChunkEncoding;
use arcp::proto::{Amount, Lease};
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::chat::{Chat, Piece};

/// What the agent is given.
#[derive(Serialize, Deserialize)]
struct Question {
    model: String,
    prompt: String,
}

/// A token costs so many millionths of a dollar.
const TOKEN_MICROS: u64 = 2_000;
/// As many tokens are asked for, and paid for at most.
const MAX_TOKENS: u64 = 100;

fn dollars(tokens: u64) -> anyhow::Result<Amount> {
    let micros = tokens * TOKEN_MICROS;
    Ok(format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse()?)
}

async fn answer(ctx: JobContext, chat: Chat, question: Question) -> Result<(), AgentError> {
    // May this job use that model, and is there money for the longest answer?
    ctx.use_model(&question.model).await?;
    ctx.authorize("net.fetch", chat.url())?;
    let most = dollars(MAX_TOKENS).map_err(|error| AgentError::invalid_request(error.to_string()))?;
    let money = ctx.reserve(&"USD".parse()?, most)?;

    let mut result = ctx.result_stream(ChunkEncoding::Utf8)?;
    let mut used = 0;
    let mut pieces = std::pin::pin!(chat.ask(&question.model, &question.prompt, MAX_TOKENS).await?);
    while let Some(piece) = ctx.until_stopped(pieces.next()).await? {
        match piece? {
            Piece::Text(text) => {
                result.write(&text).await?;
                result.flush().await?;
            }
            Piece::Usage(tokens) => used = tokens,
        }
    }
    let cost = dollars(used).map_err(|error| AgentError::invalid_request(error.to_string()))?;
    money.commit("model", cost).await?;
    result.finish(Some(format!("{used} tokens"))).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let chat = match (arguments.next(), arguments.next()) {
        (Some(url), Some(key)) => Chat::new(&url, &key)?,
        _ => Chat::new(&server::start("sk-local").await?, "sk-local")?,
    };
    let lease = Lease::empty()
        .grant("model.use", "small/*")
        .grant("net.fetch", chat.url())
        .grant("cost.budget", "USD:0.50");
    let agent = agent_fn(move |ctx: JobContext, question: Question| answer(ctx, chat.clone(), question));
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("answer@1.0.0", agent)
        .build()?;
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    for model in ["small/one", "large/one"] {
        let question = Question { model: model.to_owned(), prompt: "What is a lease?".to_owned() };
        let mut job = client.submit("answer").input(&question).lease(lease.clone()).await?;
        match job.result::<String>().await {
            Ok(text) => {
                println!("{model}: {text}");
                let summary = job.outcome().and_then(|outcome| outcome.summary.clone());
                let left = job.budget().remaining("USD").map(|left| left.to_string());
                println!("{}, USD {} left", summary.unwrap_or_default(), left.unwrap_or_default());
            }
            Err(JobError::Failed(error)) => println!("{model}: {}", error.code),
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
