//! One agent of a test, run once under a lease, over a link in memory.

use arcp_client::proto::event::{Body, ToolCall, ToolOutcome};
use arcp_client::proto::{ErrorPayload, Lease};
use arcp_client::{Client, Event, JobError};
use arcp_runtime::{Agent, OperationError, Runtime, StaticTokens};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;

/// What a job has told, and what it has come to.
pub(crate) struct Ran {
    pub(crate) events: Vec<Event>,
    pub(crate) outcome: Result<Value, JobError>,
}

/// Runs an agent under a lease.
pub(crate) async fn run(lease: Lease, input: &impl Serialize, agent: impl Agent) -> Ran {
    let tokens = StaticTokens::new().token("t", "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("agent@1", agent).build().unwrap();
    let (connector, listener) = arcp_transport::memory::listener();
    let serving = runtime.clone();
    tokio::spawn(async move { serving.serve_all(listener).await });
    let client = Client::connect(connector, "t").await.unwrap();
    let mut job = client.submit("agent").input(input).lease(lease).await.unwrap();
    let events = job.by_ref().collect().await;
    Ran { events, outcome: job.result().await }
}

impl Ran {
    /// What the agent has returned.
    pub(crate) fn output(&self) -> &Value {
        self.outcome.as_ref().unwrap()
    }

    /// The error in which the job has ended.
    pub(crate) fn error(&self) -> &ErrorPayload {
        match &self.outcome {
            Err(JobError::Failed(error)) => error,
            other => panic!("not an error: {other:?}"),
        }
    }

    /// Each `tool_call` with its `tool_result`; there is nothing else.
    pub(crate) fn calls(&self) -> Vec<(&ToolCall, &ToolOutcome)> {
        let pairs = self.events.chunks(2).map(|pair| match [&pair[0].body, &pair[1].body] {
            [Body::ToolCall(call), Body::ToolResult(result)] => {
                assert_eq!(call.call_id, result.call_id);
                (call, &result.outcome)
            }
            other => panic!("not a call and its result: {other:?}"),
        });
        pairs.collect()
    }
}

/// `"ok"`, or the code in which an operation was not done.
pub(crate) fn code<T>(outcome: &Result<T, OperationError>) -> String {
    outcome.as_ref().map_or_else(|error| error.payload().code.to_string(), |_| "ok".to_owned())
}
