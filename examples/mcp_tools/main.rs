//! Tools of an MCP server behind the lease of a job: the agent may call those that `tool.call` names, and a call of any other
//! never comes to the server. The server is a child process that speaks MCP over its pipes; this program, if nothing is said.
//!
//! ```sh
//! cargo run --example mcp_tools
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

mod server;

use anyhow::Context;
use arcp::Client;
use arcp::client::JobError;
use arcp::proto::Lease;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;
use rmcp::model::{CallToolRequestParams, JsonObject};
use rmcp::transport::TokioChildProcess;
use rmcp::{Peer, RoleClient, ServiceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Which tool, and what it is given.
#[derive(Serialize, Deserialize)]
struct Call {
    tool: String,
    arguments: JsonObject,
}

/// Calls a tool of the server, if the lease of the job names it.
async fn call(ctx: JobContext, server: Peer<RoleClient>, call: Call) -> Result<String, AgentError> {
    let Call { tool, arguments } = call;
    let request = CallToolRequestParams::new(tool.clone()).with_arguments(arguments.clone());
    // What is awaited here has not begun: without authority the request is never sent.
    let answer = async {
        let result = server.call_tool(request).await?;
        let text: Vec<_> = result.content.iter().filter_map(|part| part.as_text()).collect();
        let text = text.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n");
        match result.is_error {
            Some(true) => Err(AgentError::new("TOOL_FAILED", text)),
            _ => Ok(text),
        }
    };
    Ok(ctx.call_tool(&tool, &arguments, answer).await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut command: Vec<_> = std::env::args_os().skip(1).collect();
    if command.first().is_some_and(|first| first == "serve") {
        return server::serve().await;
    }
    if command.is_empty() {
        command = vec![std::env::current_exe()?.into(), "serve".into()];
    }
    let mut child = tokio::process::Command::new(&command[0]);
    child.args(&command[1..]);
    let server = ().serve(TokioChildProcess::new(child)?).await.context("no MCP server")?;
    let mut tools: Vec<_> = server.list_all_tools().await?.into_iter().map(|tool| tool.name).collect();
    tools.sort();
    println!("the server has {}", tools.join(", "));

    let peer = server.peer().clone();
    let agent = agent_fn(move |ctx: JobContext, input: Call| call(ctx, peer.clone(), input));
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("tools@1.0.0", agent)
        .build()?;
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let lease = Lease::empty().grant("tool.call", "text_*");
    for call in [
        json!({ "tool": "text_words", "arguments": { "text": "one two three" } }),
        json!({ "tool": "files_delete", "arguments": { "text": "everything" } }),
    ] {
        let mut job = client.submit("tools").input(&call).lease(lease.clone()).await?;
        while let Some(event) = job.next().await {
            println!("{event}");
        }
        match job.result::<String>().await {
            Ok(text) => println!("-> {text}"),
            Err(JobError::Failed(error)) => println!("-> {}", error.code),
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    runtime.shutdown().await;
    server.cancel().await?;
    Ok(())
}
