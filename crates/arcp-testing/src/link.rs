//! Links within a test: to a runtime that is real, and to either side played by a script.

use arcp_runtime::Runtime;
use arcp_transport::memory::{self, MemoryConnector, MemoryListener, MemoryTransport};
use arcp_transport::{BoxTransport, Frame, Listener, Peer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

/// Frames that a link holds in each direction.
const CAPACITY: usize = 64;

/// Serves a runtime within this process until it is shut down, and gives what clients connect by. Must be called within a
/// tokio runtime. No socket and no port is involved, so that it works on a paused clock.
pub fn in_memory(runtime: &Runtime) -> MemoryConnector {
    let (connector, listener) = memory::listener();
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    connector
}

/// A peer that says and expects what a test writes down, envelope by envelope: a client by hand, or a runtime by hand.
///
/// It does nothing by itself: it sends no heartbeats, and answers none. What it is sent that is not what was expected, or
/// nothing where something was, is a panic.
pub struct ScriptedPeer {
    link: BoxTransport,
    said: u64,
    session_id: Option<Value>,
}

/// A runtime that is played by a script; see [`scripted_runtime`].
pub struct ScriptedRuntime {
    listener: MemoryListener,
}

/// What a client connects by, and the runtime that it finds there, for a test to play.
pub fn scripted_runtime() -> (MemoryConnector, ScriptedRuntime) {
    let (connector, listener) = memory::listener();
    (connector, ScriptedRuntime { listener })
}

impl ScriptedRuntime {
    /// Waits for a client to connect. Nothing is said yet.
    ///
    /// # Panics
    /// When nobody will connect any more.
    pub async fn accept(&mut self) -> ScriptedPeer {
        let (link, _) = self.listener.accept().await.expect("a client connects");
        ScriptedPeer { link, said: 0, session_id: None }
    }

    /// The same, takes its `session.hello`, and welcomes it to a session with these features and agents.
    ///
    /// # Panics
    /// When nobody will connect any more, or says something else.
    pub async fn welcome(&mut self, features: &[&str], agents: Value) -> ScriptedPeer {
        let mut peer = self.accept().await;
        peer.expect("session.hello").await;
        peer.session_id = Some(json!("sess_01JZZZZZZZZZZZZZZZZZZZZZZZ"));
        let capabilities = json!({ "encodings": ["json"], "features": features, "agents": agents });
        let runtime = json!({ "name": "scripted", "version": "0" });
        peer.say("session.welcome", json!({ "runtime": runtime, "capabilities": capabilities })).await;
        peer
    }
}

impl ScriptedPeer {
    /// A client by hand, with a session that a runtime has opened for it. Serves the connection in a task of its own.
    ///
    /// # Panics
    /// When the runtime does not welcome it.
    pub async fn open(runtime: &Runtime, token: &str) -> Self {
        let (ours, theirs): (MemoryTransport, _) = memory::pair(CAPACITY);
        tokio::spawn(runtime.serve(Box::pin(theirs), Peer::LOCAL));
        let mut peer = Self { link: Box::pin(ours), said: 0, session_id: None };
        let auth = json!({ "scheme": "bearer", "token": token });
        let client = json!({ "name": "scripted", "version": "0" });
        peer.say("session.hello", json!({ "client": client, "auth": auth, "capabilities": {} })).await;
        let welcome = peer.expect("session.welcome").await;
        peer.session_id = Some(welcome["session_id"].clone());
        peer
    }

    /// Says a message of its session. Gives the envelope's id.
    ///
    /// # Panics
    /// When the link is gone.
    pub async fn say(&mut self, message_type: &str, payload: Value) -> String {
        self.say_with(message_type, payload, json!({})).await
    }

    /// The same, with more in the envelope, such as `job_id` and `event_seq`.
    ///
    /// # Panics
    /// When the link is gone.
    pub async fn say_with(&mut self, message_type: &str, payload: Value, more: Value) -> String {
        self.said += 1;
        let id = format!("scripted-{}", self.said);
        let mut envelope = json!({ "arcp": "1.1", "id": id, "type": message_type, "payload": payload });
        if let Some(session_id) = &self.session_id {
            envelope["session_id"] = session_id.clone();
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            envelope[name] = value.clone();
        }
        self.link.send(Frame::text(envelope.to_string())).await.expect("the link is there");
        id
    }

    /// Waits for the next message, which must be of this type. Gives the whole envelope.
    ///
    /// # Panics
    /// When something else comes, or nothing ever will.
    pub async fn expect(&mut self, message_type: &str) -> Value {
        let frame = self.link.next().await;
        let Some(Ok(Frame::Text(text))) = frame else { panic!("{message_type} was due, but came {frame:?}") };
        let envelope: Value = serde_json::from_str(&text).expect("a frame is JSON");
        assert_eq!(envelope["type"], message_type, "{message_type} was due, but came {envelope}");
        envelope
    }

    /// Waits until the other side has closed the link.
    ///
    /// # Panics
    /// When it says something instead.
    pub async fn expect_close(&mut self) {
        match self.link.next().await {
            None | Some(Ok(Frame::Close(_)) | Err(_)) => {}
            Some(Ok(frame)) => panic!("the link was to be closed, but there came {frame:?}"),
        }
    }
}
