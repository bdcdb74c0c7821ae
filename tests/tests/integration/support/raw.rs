//! A peer without manners: a WebSocket on which a test says what it likes, and HTTP by hand.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::host::token;

/// A WebSocket client that knows nothing of ARCP.
pub(crate) struct Raw {
    pub(crate) socket: WebSocketStream<TcpStream>,
    said: u32,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/arcp"), tcp).await.unwrap();
        Self { socket, said: 0 }
    }

    /// An open session.
    pub(crate) async fn open(address: SocketAddr, principal: &str) -> (Self, Value) {
        let mut raw = Self::connect(address).await;
        raw.say("session.hello", hello(&token(principal))).await;
        let welcome = raw.receive_type("session.welcome").await;
        (raw, welcome)
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).await.unwrap();
    }

    /// Sends an envelope and gives its id.
    pub(crate) async fn say(&mut self, kind: &str, payload: Value) -> String {
        self.say_with(kind, payload, json!({})).await
    }

    /// The same with further members on the envelope.
    pub(crate) async fn say_with(&mut self, kind: &str, payload: Value, members: Value) -> String {
        self.said += 1;
        let id = format!("raw-{}", self.said);
        let mut envelope = json!({ "arcp": "1.1", "id": id, "type": kind, "payload": payload });
        envelope.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.send(envelope.to_string()).await;
        id
    }

    /// The next frame, as it came.
    pub(crate) async fn receive_text(&mut self) -> String {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    pub(crate) async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.receive_text().await).unwrap()
    }

    pub(crate) async fn receive_type(&mut self, kind: &str) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The refusal that comes next: its payload.
    pub(crate) async fn receive_error(&mut self, code: &str) -> Value {
        let message = self.receive_type("session.error").await;
        assert_eq!(message["payload"]["code"], code, "{message}");
        assert!(message["session_id"].is_string(), "{message}");
        message["payload"].clone()
    }

    /// The close code that comes next, and then the end.
    pub(crate) async fn receive_close(&mut self) -> u16 {
        let code = match self.socket.next().await {
            Some(Ok(Message::Close(Some(close)))) => close.code.into(),
            other => panic!("not a close frame: {other:?}"),
        };
        assert!(!matches!(self.socket.next().await, Some(Ok(_))), "nothing follows a close frame");
        code
    }

    /// Reads whatever comes until the connection has ended; gives the close code, if there was one.
    pub(crate) async fn receive_end(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(close) = message {
                code = close.map(|close| close.code.into());
            }
        }
        code
    }

    /// The session is open and answers.
    pub(crate) async fn is_alive(&mut self) {
        self.say("session.ping", json!({ "nonce": "n", "sent_at": "2026-01-01T00:00:00Z" })).await;
        let pong = self.receive_type("session.pong").await;
        assert_eq!(pong["payload"]["ping_nonce"], "n");
    }
}

/// The payload of a hello.
pub(crate) fn hello(token: &str) -> Value {
    json!({
        "client": { "name": "raw", "version": "1" },
        "auth": { "scheme": "bearer", "token": token },
        "capabilities": { "encodings": ["json"], "features": ["progress", "agent_versions"] },
    })
}

/// Sends a request as it stands and gives all that comes back until the connection ends.
pub(crate) async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
