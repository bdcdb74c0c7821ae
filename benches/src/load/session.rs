//! A session with a runtime in as few words as it takes, without a client: what is measured is to be the runtime.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::TOKEN;
use crate::socket::Socket;

pub(super) struct Session {
    pub(super) socket: Socket,
    /// What it takes to resume it.
    pub(super) resume: Value,
}

impl Session {
    /// Opens a session, or with `resume` goes on with one.
    pub(super) async fn open(url: &str, read_buffer: usize, resume: Value) -> Result<Self> {
        let socket = Socket::connect(url, read_buffer).await?;
        let mut session = Self { socket, resume: Value::Null };
        let features = ["progress", "result_chunk", "subscribe"];
        let mut hello = json!({
            "client": { "name": "arcp-bench", "version": env!("CARGO_PKG_VERSION") },
            "auth": { "scheme": "bearer", "token": TOKEN },
            "capabilities": { "encodings": ["json"], "features": features },
        });
        if !resume.is_null() {
            hello["resume"] = resume;
        }
        session.say("session.hello", None, hello).await?;
        let welcome: Value = serde_json::from_str(&session.socket.text().await?)?;
        if welcome["type"] != "session.welcome" {
            bail!("session was not opened: {welcome}");
        }
        session.resume = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        Ok(session)
    }

    /// Submits a job and gives its id.
    pub(super) async fn submit(&mut self, agent: &str, input: Value) -> Result<String> {
        self.say("job.submit", None, json!({ "agent": agent, "input": input })).await?;
        let accepted: Value = serde_json::from_str(&self.socket.text().await?)?;
        accepted["payload"]["job_id"]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("refused: {accepted}"))
    }

    /// Subscribes to a job from its first event on.
    pub(super) async fn subscribe(&mut self, job_id: &str) -> Result<()> {
        self.say("job.subscribe", Some(job_id), json!({ "job_id": job_id, "history": true })).await
    }

    pub(super) async fn say(&mut self, kind: &str, job_id: Option<&str>, payload: Value) -> Result<()> {
        let mut message = json!({ "arcp": "1.1", "id": "m1", "type": kind, "payload": payload });
        if let Some(job_id) = job_id {
            message["job_id"] = job_id.into();
        }
        if let Some(session_id) = self.resume["session_id"].as_str() {
            message["session_id"] = session_id.into();
        }
        self.socket.send(message.to_string()).await
    }
}

/// The type of a message, as near its beginning as it stands.
pub(super) fn message_type(text: &Utf8Bytes) -> Option<&str> {
    let (_, rest) = text.split_once("\"type\":\"")?;
    rest.split('"').next()
}
