//! One peer that is played: its link, and everything that has come to it. What it says and what is due is decided in `player.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use arcp_transport::{BoxTransport, CloseCode, Frame, TransportError};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use ulid::Ulid;

/// What came over a link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    /// An envelope.
    Message(Value),
    /// A frame that is none, in words.
    Garbage(String),
    /// The other side has closed, with this code.
    Closed(u16),
    /// The link was cut, or broke.
    Cut,
    /// Nothing, in time.
    Nothing,
}

/// A peer that is played.
#[derive(Default)]
pub(crate) struct Peer {
    link: Option<BoxTransport>,
    /// What came while something else was waited for.
    waiting: VecDeque<Came>,
    /// Every envelope that came, over all of its links.
    pub(crate) history: Vec<Past>,
    /// How many links it has had.
    links: usize,
    /// The highest `event_seq` that came, or was said to have come.
    pub(crate) last: u64,
    /// What the session had when this link was opened.
    pub(crate) from: u64,
    pub(crate) session: Option<String>,
    pub(crate) bearer: Option<Value>,
    pub(crate) resume_token: Option<Value>,
    pub(crate) features: Vec<String>,
    pub(crate) mute: bool,
}

/// An envelope that came.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Over which link.
    pub(crate) link: usize,
    /// What the session had before that link was opened.
    pub(crate) from: u64,
    pub(crate) message: Value,
}

impl Peer {
    pub(crate) fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    /// Goes on over another link; what came over the last one and was not looked at is forgotten.
    pub(crate) fn open(&mut self, link: BoxTransport) {
        self.link = Some(link);
        self.links += 1;
        self.waiting.clear();
    }

    /// Cuts the link.
    pub(crate) fn drop_link(&mut self) {
        self.link = None;
    }

    /// Sends an envelope, with what every envelope has where it is not given. Gives its `id`.
    pub(crate) async fn send(&mut self, envelope: &Value) -> Result<String, String> {
        let mut whole = json!({"arcp": "1.1", "id": Ulid::generate().to_string()});
        if let Some(session) = &self.session {
            whole["session_id"] = session.as_str().into();
        }
        let Some(members) = envelope.as_object() else { return Err("an envelope is an object".to_owned()) };
        for (key, value) in members {
            whole[key] = value.clone();
        }
        let absent = |value: &Value| value == "<absent>";
        if let Some(whole) = whole.as_object_mut() {
            whole.retain(|_, value| !absent(value));
        }
        self.send_frame(Frame::text(whole.to_string())).await?;
        Ok(whole["id"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn send_frame(&mut self, frame: Frame) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Err("there is no connection".to_owned()) };
        link.send(frame).await.map_err(|error| format!("the connection takes nothing: {error}"))
    }

    /// The next thing that comes. Pings are answered, if this peer is not mute, and then come like anything else.
    pub(crate) async fn next(&mut self, until: Instant) -> Came {
        match self.waiting.pop_front() {
            Some(came) => came,
            None => self.receive(until).await,
        }
    }

    async fn receive(&mut self, until: Instant) -> Came {
        let Some(link) = &mut self.link else { return Came::Cut };
        let frame = match tokio::time::timeout_at(until, link.next()).await {
            Ok(frame) => frame,
            Err(_) => return Came::Nothing,
        };
        let came = match frame {
            Some(Ok(Frame::Text(text))) => match serde_json::from_str::<Value>(&text) {
                Ok(message) if message.is_object() => Came::Message(message),
                _ => Came::Garbage(format!("a text frame of {} bytes that is no JSON object", text.len())),
            },
            Some(Ok(Frame::Binary(bytes))) => {
                Came::Garbage(format!("a binary frame of {} bytes", bytes.len()))
            }
            Some(Ok(Frame::Close(close))) => Came::Closed(close.code.0),
            Some(Err(TransportError::FrameTooLarge { limit })) => {
                Came::Garbage(format!("a frame of more than {limit} bytes"))
            }
            Some(Err(_)) | None => Came::Cut,
        };
        match &came {
            Came::Message(message) => self.note(&message.clone()).await,
            Came::Closed(_) | Came::Cut => {
                if let Some(mut link) = self.link.take() {
                    let _ = tokio::time::timeout(Duration::from_secs(1), link.close()).await; // it is over either way
                }
            }
            Came::Garbage(_) | Came::Nothing => {}
        }
        came
    }

    async fn note(&mut self, message: &Value) {
        self.history.push(Past { link: self.links, from: self.from, message: message.clone() });
        if let Some(number) = message["event_seq"].as_u64() {
            self.last = self.last.max(number);
        }
        if message["type"] == "session.ping" && !self.mute {
            let nonce = &message["payload"]["nonce"];
            let at = format!("{:.3}", jiff::Timestamp::now());
            let pong = json!({"type": "session.pong", "payload": {"ping_nonce": nonce, "received_at": at}});
            let _ = self.send(&pong).await; // a link that is gone says so to whoever reads on
        }
    }

    /// Takes the messages with a number that come before anything else.
    pub(crate) async fn take_numbered(&mut self, until: Instant) -> Vec<Came> {
        let mut taken = Vec::new();
        loop {
            match self.next(until).await {
                Came::Message(message) if message.get("event_seq").is_some() => {
                    taken.push(Came::Message(message))
                }
                Came::Nothing => return taken,
                other => {
                    self.waiting.push_front(other);
                    return taken;
                }
            }
        }
    }

    /// Puts back what was taken, to come next.
    pub(crate) fn give_back(&mut self, taken: Vec<Came>) {
        for came in taken.into_iter().rev() {
            self.waiting.push_front(came);
        }
    }

    /// Reads until then, for what comes to be there afterwards.
    pub(crate) async fn wait(&mut self, until: Instant) {
        while Instant::now() < until {
            if !self.is_linked() {
                tokio::time::sleep_until(until).await;
                return;
            }
            match self.receive(until).await {
                Came::Nothing => return,
                came => self.waiting.push_back(came),
            }
        }
    }

    /// Takes what has come already, without waiting.
    pub(crate) fn take_arrived(&mut self) {
        while self.is_linked() {
            match self.receive(Instant::now() + Duration::from_secs(1)).now_or_never() {
                Some(Came::Nothing) | None => return,
                Some(came) => self.waiting.push_back(came),
            }
        }
    }

    /// Leaves in good order, so that nothing is kept for this peer longer than need be.
    pub(crate) async fn leave(&mut self) {
        if self.session.is_none() || !self.is_linked() {
            return;
        }
        let _ = self.send(&json!({"type": "session.close", "payload": {}})).await;
        let until = Instant::now() + Duration::from_millis(500);
        while matches!(self.receive(until).await, Came::Message(_) | Came::Garbage(_)) {}
        self.link = None;
    }

    pub(crate) async fn close(&mut self, code: u16) -> Result<(), String> {
        self.send_frame(Frame::close(CloseCode(code), "")).await?;
        if let Some(mut link) = self.link.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), link.close()).await; // it is over either way
        }
        Ok(())
    }
}
