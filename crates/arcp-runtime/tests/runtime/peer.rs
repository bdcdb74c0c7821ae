//! A client made by hand, over a link in memory.

use std::future::poll_fn;
use std::task::Poll;

use arcp_runtime::{Runtime, Visitor};
use arcp_transport::memory::{self, MemoryTransport};
use arcp_transport::{CloseCode, Frame};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};

pub(crate) struct Peer {
    pub(crate) link: MemoryTransport,
    said: u32,
}

impl Peer {
    /// Connects, and says nothing.
    pub(crate) fn connect(runtime: &Runtime, capacity: usize) -> Self {
        Self::visit(runtime, capacity, arcp_transport::Peer::LOCAL)
    }

    /// The same as somebody.
    pub(crate) fn visit(runtime: &Runtime, capacity: usize, visitor: impl Into<Visitor>) -> Self {
        let (link, theirs) = memory::pair(capacity);
        tokio::spawn(runtime.serve(Box::pin(theirs), visitor.into()));
        Self { link, said: 0 }
    }

    /// Opens a session.
    pub(crate) async fn open(runtime: &Runtime) -> Self {
        Self::open_with(runtime, 64).await
    }

    /// The same over a link that holds so many frames.
    pub(crate) async fn open_with(runtime: &Runtime, capacity: usize) -> Self {
        let mut peer = Self::connect(runtime, capacity);
        peer.hello().await;
        peer.receive_type("session.welcome").await;
        peer
    }

    /// Opens a session with another token.
    pub(crate) async fn open_as(runtime: &Runtime, token: &str) -> Self {
        let mut peer = Self::connect(runtime, 64);
        peer.hello_with(token).await;
        peer.receive_type("session.welcome").await;
        peer
    }

    /// Opens a session that has these features.
    pub(crate) async fn open_with_features(runtime: &Runtime, features: Value) -> Self {
        let mut peer = Self::connect(runtime, 64);
        peer.introduce("t", json!({ "features": features })).await;
        peer.receive_type("session.welcome").await;
        peer
    }

    pub(crate) async fn hello(&mut self) {
        self.hello_with("t").await;
    }

    async fn hello_with(&mut self, token: &str) {
        self.introduce(token, json!({})).await;
    }

    async fn introduce(&mut self, token: &str, capabilities: Value) {
        let auth = json!({ "scheme": "bearer", "token": token });
        let payload = json!({ "auth": auth, "capabilities": capabilities });
        self.say("session.hello", payload, &Value::Null).await;
    }

    /// Says hello for a session that was welcomed before.
    pub(crate) async fn resume(&mut self, welcome: &Value) {
        let auth = json!({ "scheme": "bearer", "token": "t" });
        let resume = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        let payload = json!({ "auth": auth, "capabilities": {}, "resume": resume });
        self.say("session.hello", payload, &Value::Null).await;
    }

    /// Says something, and gives its id.
    pub(crate) async fn say(&mut self, kind: &str, payload: Value, job_id: &Value) -> Value {
        self.said += 1;
        let id = format!("peer-{}", self.said);
        let envelope = json!({ "arcp": "1.1", "id": id, "type": kind, "job_id": job_id, "payload": payload });
        self.link.send(Frame::text(envelope.to_string())).await.unwrap();
        Value::String(id)
    }

    /// Whether the link takes something now, once everybody has done what can be done.
    pub(crate) async fn has_room(&mut self) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        poll_fn(|cx| Poll::Ready(self.link.poll_ready_unpin(cx).is_ready())).await
    }

    /// Submits and gives the job's id.
    pub(crate) async fn submit(&mut self, agent: &str) -> Value {
        self.say("job.submit", json!({ "agent": agent }), &Value::Null).await;
        self.receive_type("job.accepted").await["job_id"].clone()
    }

    pub(crate) async fn receive(&mut self) -> Value {
        match self.link.next().await {
            Some(Ok(Frame::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    pub(crate) async fn receive_type(&mut self, kind: &str) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The terminal message that comes next: its code.
    pub(crate) async fn receive_job_error(&mut self) -> String {
        let error = self.receive_type("job.error").await;
        error["payload"]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn receive_close(&mut self) -> CloseCode {
        let code = match self.link.next().await {
            Some(Ok(Frame::Close(close))) => close.code,
            other => panic!("not a close frame: {other:?}"),
        };
        assert!(self.link.next().await.is_none());
        code
    }

    /// Whether nothing has come, and nobody has left.
    pub(crate) fn hears_nothing(&mut self) -> bool {
        self.link.next().now_or_never().is_none()
    }
}
