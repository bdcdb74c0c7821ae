//! A client by hand that takes nothing but what the schema and the order of things allow, and says nothing else.

use std::net::SocketAddr;

use arcp_runtime::Runtime;
use arcp_transport::memory::{self, MemoryTransport};
use arcp_transport::{Frame, Peer as Far};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::schema::Side;
use crate::support::{Watch, token};

/// Every feature of the draft.
pub(super) const FEATURES: [&str; 11] = [
    "heartbeat",
    "ack",
    "list_jobs",
    "subscribe",
    "lease_expires_at",
    "cost.budget",
    "model.use",
    "provisioned_credentials",
    "progress",
    "result_chunk",
    "agent_versions",
];

/// A runtime that can be reached in both ways.
pub(super) struct Ground {
    pub(super) runtime: Runtime,
    address: SocketAddr,
    server: AbortHandle,
}

impl Ground {
    pub(super) async fn of(runtime: Runtime) -> Self {
        let server = arcp_axum::Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let router = axum::Router::new().route("/arcp", arcp_axum::serve(runtime.clone()));
        let server = tokio::spawn(server.serve(router, std::future::pending())).abort_handle();
        Self { runtime, address, server }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// How a runtime is reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire {
    Memory,
    Socket,
}

impl Wire {
    pub(super) const BOTH: [Self; 2] = [Self::Memory, Self::Socket];

    async fn connect(self, ground: &Ground) -> Link {
        match self {
            Self::Memory => {
                let (near, far) = memory::pair(64);
                tokio::spawn(ground.runtime.serve(Box::pin(far), Far::LOCAL));
                Link::Memory(Box::new(near))
            }
            Self::Socket => {
                let tcp = TcpStream::connect(ground.address).await.unwrap();
                let url = format!("ws://{}/arcp", ground.address);
                Link::Socket(Box::new(tokio_tungstenite::client_async(url, tcp).await.unwrap().0))
            }
        }
    }
}

enum Link {
    Memory(Box<MemoryTransport>),
    Socket(Box<WebSocketStream<TcpStream>>),
}

/// What came.
enum Came {
    Text(String),
    Close(u16),
    End,
}

impl Link {
    async fn send(&mut self, text: String) {
        match self {
            Self::Memory(link) => link.send(Frame::text(text)).await.unwrap(),
            Self::Socket(link) => link.send(text.into()).await.unwrap(),
        }
    }

    async fn receive(&mut self) -> Came {
        match self {
            Self::Memory(link) => match link.next().await {
                Some(Ok(Frame::Text(text))) => Came::Text(text.to_string()),
                Some(Ok(Frame::Close(close))) => Came::Close(close.code.0),
                None => Came::End,
                other => panic!("not a text frame: {other:?}"),
            },
            Self::Socket(link) => match link.next().await {
                Some(Ok(Message::Text(text))) => Came::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(close)))) => Came::Close(close.code.into()),
                None => Came::End,
                other => panic!("not a text frame: {other:?}"),
            },
        }
    }
}

/// The client.
pub(super) struct Peer {
    wire: Wire,
    link: Link,
    pub(super) watch: Watch,
    said: u32,
    principal: &'static str,
    features: Vec<&'static str>,
    session_id: Value,
    resume_token: Value,
    /// All that was said and heard over this connection, in order.
    pub(super) record: Vec<(Side, String)>,
}

/// A job from its acceptance to its end.
pub(super) struct Ran {
    pub(super) accepted: Value,
    /// Its own events: their payloads.
    pub(super) events: Vec<Value>,
    /// The terminal message.
    pub(super) end: Value,
}

impl Ran {
    /// The bodies of one kind.
    pub(super) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["kind"] == kind).map(|event| &event["body"])
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
    }

    /// The inline result.
    #[track_caller]
    pub(super) fn result(&self) -> &Value {
        assert_eq!(self.end["type"], "job.result", "{:#}", self.end);
        &self.end["payload"]["result"]
    }

    /// The code and status of the error in which it ended.
    #[track_caller]
    pub(super) fn failure(&self) -> (&str, &str) {
        assert_eq!(self.end["type"], "job.error", "{:#}", self.end);
        let of = |name: &str| self.end["payload"][name].as_str().unwrap();
        (of("code"), of("final_status"))
    }
}

impl Peer {
    /// A connection on which nothing was said.
    pub(super) async fn connect(ground: &Ground, wire: Wire, principal: &'static str) -> Self {
        Self {
            wire,
            link: wire.connect(ground).await,
            watch: Watch::default(),
            said: 0,
            principal,
            features: FEATURES.to_vec(),
            session_id: Value::Null,
            resume_token: Value::Null,
            record: Vec::new(),
        }
    }

    /// A session with every feature.
    pub(super) async fn open(ground: &Ground, wire: Wire, principal: &'static str) -> Self {
        Self::open_with(ground, wire, principal, &FEATURES).await
    }

    pub(super) async fn open_with(
        ground: &Ground,
        wire: Wire,
        principal: &'static str,
        features: &[&'static str],
    ) -> Self {
        let mut peer = Self::connect(ground, wire, principal).await;
        peer.features = features.to_vec();
        let hello = peer.hello();
        peer.say("session.hello", hello).await;
        peer.welcomed().await;
        peer
    }

    /// The payload of a hello.
    pub(super) fn hello(&self) -> Value {
        json!({
            "client": { "name": "strict", "version": "1" },
            "auth": { "scheme": "bearer", "token": token(self.principal) },
            "capabilities": { "encodings": ["json"], "features": self.features },
        })
    }

    /// Which session this is, as a resume names it.
    pub(super) fn resume_block(&self, last_event_seq: u64) -> Value {
        json!({
            "session_id": self.session_id,
            "resume_token": self.resume_token,
            "last_event_seq": last_event_seq,
        })
    }

    pub(super) async fn welcomed(&mut self) -> Value {
        let welcome = self.receive_type("session.welcome").await;
        self.session_id = welcome["session_id"].clone();
        self.resume_token = welcome["payload"]["resume_token"].clone();
        welcome
    }

    /// Cuts the link, and connects again without a word.
    pub(super) async fn reconnect(&mut self, ground: &Ground) {
        self.link = self.wire.connect(ground).await;
        self.watch.reconnected();
        self.record.clear();
    }

    /// Cuts the link and comes back to where it was, or to before that.
    pub(super) async fn resume(&mut self, ground: &Ground, last_event_seq: u64) -> Value {
        self.reconnect(ground).await;
        let mut hello = self.hello();
        hello["resume"] = self.resume_block(last_event_seq);
        self.say("session.hello", hello).await;
        self.welcomed().await
    }

    fn envelope(&mut self, message_type: &str, payload: Value) -> Value {
        self.said += 1;
        let mut envelope = json!({
            "arcp": "1.1", "id": format!("{:026}", self.said), "type": message_type, "payload": payload,
        });
        if !matches!(message_type, "session.hello" | "session.resume") {
            envelope["session_id"] = self.session_id.clone();
        }
        envelope
    }

    /// Says something and gives its id.
    pub(super) async fn say(&mut self, message_type: &str, payload: Value) -> String {
        self.say_with(message_type, payload, json!({})).await
    }

    /// The same with further members on the envelope.
    pub(super) async fn say_with(&mut self, message_type: &str, payload: Value, members: Value) -> String {
        let mut envelope = self.envelope(message_type, payload);
        envelope.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let frame = envelope.to_string();
        if let Err(broken) = self.watch.sent(&frame) {
            panic!("{broken}");
        }
        self.record.push((Side::Client, frame.clone()));
        self.link.send(frame).await;
        envelope["id"].as_str().unwrap().to_owned()
    }

    /// Says what it must not, and gives its id.
    pub(super) async fn say_badly(&mut self, message_type: &str, payload: Value) -> String {
        let envelope = self.envelope(message_type, payload);
        let id = envelope["id"].as_str().unwrap().to_owned();
        self.watch.sent_badly(&id);
        self.link.send(envelope.to_string()).await;
        id
    }

    /// Says what is no message.
    pub(super) async fn say_text(&mut self, text: &str) {
        self.link.send(text.to_owned()).await;
    }

    /// What comes next.
    pub(super) async fn receive(&mut self) -> Value {
        match self.link.receive().await {
            Came::Text(text) => {
                let message = self.watch.received(&text).unwrap_or_else(|broken| panic!("{broken}"));
                self.record.push((Side::Runtime, text));
                message
            }
            Came::Close(code) => panic!("closed with {code}"),
            Came::End => panic!("cut"),
        }
    }

    pub(super) async fn receive_type(&mut self, message_type: &str) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], message_type, "{message:#}");
        message
    }

    /// The refusal that comes next.
    pub(super) async fn refused(&mut self, id: &str, code: &str) -> Value {
        let message = self.receive_type("session.error").await;
        assert_eq!(message["payload"]["code"], code, "{message:#}");
        assert_eq!(message["payload"]["request_id"], id, "{message:#}");
        message
    }

    /// The close code that comes next, and nothing after it.
    pub(super) async fn closed(&mut self) -> u16 {
        let code = match self.link.receive().await {
            Came::Close(code) => code,
            Came::Text(text) => panic!("not closed: {text}"),
            Came::End => panic!("cut"),
        };
        assert!(matches!(self.link.receive().await, Came::End));
        code
    }

    /// Closes the session in order.
    pub(super) async fn close(mut self) {
        self.say("session.close", json!({})).await;
        self.receive_type("session.closed").await;
        assert_eq!(self.closed().await, 1000);
    }

    /// Submits and gives the acceptance.
    pub(super) async fn submit(&mut self, payload: Value) -> Value {
        self.say("job.submit", payload).await;
        self.receive_type("job.accepted").await
    }

    /// Reads on until a job has ended.
    pub(super) async fn follow(&mut self, accepted: Value) -> Ran {
        let mut events = Vec::new();
        loop {
            let message = self.receive().await;
            if message["job_id"] != accepted["job_id"] {
                continue;
            }
            match message["type"].as_str() {
                Some("job.event") => events.push(message["payload"].clone()),
                Some("job.result" | "job.error") => return Ran { accepted, events, end: message },
                _ => {}
            }
        }
    }

    /// Runs a job to its end.
    pub(super) async fn run(&mut self, payload: Value) -> Ran {
        let accepted = self.submit(payload).await;
        self.follow(accepted).await
    }
}
