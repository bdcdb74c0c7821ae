//! A runtime made by hand, over a link in memory.

use arcp_client::{Client, Connect, Job};
use arcp_transport::memory::{self, MemoryConnector, MemoryListener};
use arcp_transport::{BoxTransport, Frame, Listener};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};

pub(crate) struct Host {
    pub(crate) link: BoxTransport,
    said: u32,
}

/// A client about to connect, and where it will arrive.
pub(crate) fn connect() -> (Connect, MemoryListener) {
    let (connector, listener) = memory::listener();
    (connect_with(connector), listener)
}

pub(crate) fn connect_with(connector: MemoryConnector) -> Connect {
    Client::connect(connector, "t")
}

/// Both ends of an open session.
pub(crate) async fn session() -> (Client, Host) {
    let (connect, listener) = connect();
    session_of(connect, listener).await
}

/// Both ends of an open session with these features.
pub(crate) async fn session_with(features: Value) -> (Client, Host) {
    let (connect, listener) = connect();
    let (client, host) = tokio::join!(connect, async {
        let mut host = Host::accept(listener).await;
        host.welcome_with(json!({ "resume_token": "rt_1", "capabilities": { "features": features } })).await;
        host
    });
    (client.unwrap(), host)
}

pub(crate) async fn session_of(connect: Connect, listener: MemoryListener) -> (Client, Host) {
    let (client, host) = tokio::join!(connect, async {
        let mut host = Host::accept(listener).await;
        host.welcome().await;
        host
    });
    (client.unwrap(), host)
}

impl Host {
    /// Takes a link on which a client says hello.
    pub(crate) async fn accept(mut listener: MemoryListener) -> Self {
        let (link, _) = listener.accept().await.unwrap();
        let mut host = Self { link, said: 0 };
        host.receive_type("session.hello").await;
        host
    }

    pub(crate) async fn welcome(&mut self) {
        self.welcome_with(json!({ "resume_token": "rt_1", "capabilities": { "features": [] } })).await;
    }

    pub(crate) async fn welcome_with(&mut self, payload: Value) {
        self.say("session.welcome", payload, &Value::Null).await;
    }

    pub(crate) async fn say(&mut self, kind: &str, payload: Value, job_id: &Value) {
        let text = self.envelope(kind, payload, job_id);
        self.link.send(Frame::text(text)).await.unwrap();
    }

    /// The same, if there is room for it on the link.
    pub(crate) fn try_say(&mut self, kind: &str, payload: Value, job_id: &Value) -> bool {
        let text = self.envelope(kind, payload, job_id);
        self.link.send(Frame::text(text)).now_or_never().is_some()
    }

    fn envelope(&mut self, kind: &str, payload: Value, job_id: &Value) -> String {
        self.said += 1;
        json!({
            "arcp": "1.1", "id": format!("host-{}", self.said), "type": kind, "session_id": "sess_1",
            "job_id": job_id, "payload": payload,
        })
        .to_string()
    }

    /// Emits an event, if there is room for it on the link.
    pub(crate) fn try_log(&mut self, message: &str, job_id: &Value) -> bool {
        let body = json!({ "level": "info", "message": message });
        let payload = json!({ "kind": "log", "ts": "2026-01-01T00:00:00.000Z", "body": body });
        self.try_say("job.event", payload, job_id)
    }

    pub(crate) async fn succeed(&mut self, result: Value, job_id: &Value) {
        let payload = json!({ "final_status": "success", "result": result });
        self.say("job.result", payload, job_id).await;
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

    /// Accepts the submit that comes next, as this job.
    pub(crate) async fn accept_submit(&mut self, job_id: &str) {
        let submit = self.receive_type("job.submit").await;
        self.accepted(&submit, job_id).await;
    }

    pub(crate) async fn accepted(&mut self, submit: &Value, job_id: &str) {
        let payload = json!({ "job_id": job_id, "lease": {}, "request_id": submit["id"] });
        self.say("job.accepted", payload, &json!(job_id)).await;
    }

    /// Accepts the subscription that comes next.
    pub(crate) async fn accept_subscribe(&mut self, job_id: &str) {
        let asked = self.receive_type("job.subscribe").await;
        self.subscribed(&asked, job_id).await;
    }

    pub(crate) async fn subscribed(&mut self, asked: &Value, job_id: &str) {
        let payload = json!({ "job_id": job_id, "current_status": "running", "request_id": asked["id"] });
        self.say("job.subscribed", payload, &json!(job_id)).await;
    }

    /// A job of this session.
    pub(crate) async fn job(&mut self, client: &Client, job_id: &str) -> Job {
        let submit = client.submit("agent").into_future();
        tokio::join!(submit, self.accept_submit(job_id)).0.unwrap()
    }
}

/// Lets everything run that can run.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
