//! A peer without manners: a WebSocket over which anything can be said.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::server::token;

/// How long any answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Raw {
    pub(crate) socket: WebSocketStream<TcpStream>,
    said: u64,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, String> {
        Self::over(TcpStream::connect(address).await.map_err(told)?, address).await
    }

    /// A connection that has room for little of what is not read.
    pub(crate) async fn narrow(address: SocketAddr) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().map_err(told)?;
        socket.set_recv_buffer_size(4 << 10).map_err(told)?;
        Self::over(socket.connect(address).await.map_err(told)?, address).await
    }

    async fn over(tcp: TcpStream, address: SocketAddr) -> Result<Self, String> {
        let upgraded = tokio_tungstenite::client_async(format!("ws://{address}/arcp"), tcp);
        let (socket, _) = timeout(PATIENCE, upgraded).await.map_err(|_| "no upgrade")?.map_err(told)?;
        Ok(Self { socket, said: 0 })
    }

    /// An open session over a connection, and its welcome.
    pub(crate) async fn welcomed(mut self, principal: &str) -> Result<(Self, Value), String> {
        self.say("session.hello", hello(&token(principal))).await?;
        let welcome = self.receive_type("session.welcome").await?;
        Ok((self, welcome))
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) -> Result<(), String> {
        let sent = timeout(PATIENCE, self.socket.send(message.into())).await;
        sent.map_err(|_| "nothing is taken")?.map_err(told)
    }

    /// Has a frame sent some time, with those that follow.
    pub(crate) async fn feed(&mut self, kind: &str, payload: &Value) -> Result<(), String> {
        self.said += 1;
        let text = envelope(self.said, kind, payload);
        self.socket.feed(Message::text(text)).await.map_err(told)
    }

    pub(crate) async fn flush(&mut self) -> Result<(), String> {
        self.socket.flush().await.map_err(told)
    }

    pub(crate) async fn say(&mut self, kind: &str, payload: Value) -> Result<(), String> {
        self.said += 1;
        self.send(Message::text(envelope(self.said, kind, &payload))).await
    }

    /// The next frame, if it is text.
    pub(crate) async fn receive_text(&mut self) -> Result<String, String> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => return Ok(text.as_str().to_owned()),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(other) => return Err(format!("instead of a text frame: {other:?}")),
                Err(_) => return Err(format!("nothing within {PATIENCE:?}")),
            }
        }
    }

    /// The text of the next message but signs of life and what jobs say.
    async fn receive_answer(&mut self) -> Result<String, String> {
        loop {
            let text = self.receive_text().await?;
            if !matches!(&*kind_of(&text)?, "session.ping" | "job.event" | "job.result" | "job.error") {
                return Ok(text);
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> Result<Value, String> {
        serde_json::from_str(&self.receive_answer().await?).map_err(told)
    }

    /// Takes an answer without looking at more of it than what it is: the load is to cost less than what it is put on.
    pub(crate) async fn take(&mut self, kind: &str) -> Result<(), String> {
        let text = self.receive_answer().await?;
        if kind_of(&text)? == kind { Ok(()) } else { Err(format!("instead of {kind}: {text}")) }
    }

    pub(crate) async fn receive_type(&mut self, kind: &str) -> Result<Value, String> {
        let message = self.receive().await?;
        if message["type"] == kind { Ok(message) } else { Err(format!("instead of {kind}: {message}")) }
    }

    pub(crate) async fn receive_error(&mut self, code: &str) -> Result<(), String> {
        let message = self.receive_type("session.error").await?;
        let right = message["payload"]["code"] == code;
        if right { Ok(()) } else { Err(format!("instead of {code}: {message}")) }
    }

    /// The close code that comes next.
    pub(crate) async fn receive_close(&mut self, code: u16) -> Result<(), String> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await {
                Ok(Some(Ok(Message::Close(Some(close))))) if u16::from(close.code) == code => return Ok(()),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                other => return Err(format!("instead of a close with {code}: {other:?}")),
            }
        }
    }
}

fn envelope(number: u64, kind: &str, payload: &Value) -> String {
    format!(r#"{{"arcp":"1.1","id":"raw-{number}","type":"{kind}","payload":{payload}}}"#)
}

/// The type of a message.
fn kind_of(text: &str) -> Result<Cow<'_, str>, String> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str(text).map(|Head { kind }| kind).map_err(told)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The payload of a hello.
pub(crate) fn hello(token: &str) -> Value {
    json!({
        "client": { "name": "raw", "version": "1" },
        "auth": { "scheme": "bearer", "token": token },
        "capabilities": {
            "encodings": ["json"],
            "features": ["progress", "agent_versions", "list_jobs", "subscribe", "result_chunk", "ack"],
        },
    })
}

/// So many bytes of nothing in particular.
pub(crate) fn bytes(count: usize) -> Message {
    Message::Binary(Bytes::from(vec![0; count]))
}
