//! A link to a runtime with somebody in the middle: what passes can be changed, swallowed, doubled, or answered. What is done to it is in
//! `faults.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arcp_transport::memory::{MemoryConnector, pair};
use arcp_transport::{BoxFuture, BoxTransport, ConnectError, Connector, Frame};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;

use crate::faults::Fault;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Runtime,
    Client,
}

/// What whoever is in the middle knows.
#[derive(Default)]
pub(crate) struct Known {
    /// How many links there were.
    pub(crate) links: usize,
    /// Whatever a fault wants to keep.
    pub(crate) values: BTreeMap<String, Value>,
}

/// Connects to a runtime, through a fault.
pub(crate) struct Tapped {
    inner: MemoryConnector,
    fault: &'static Fault,
    known: Arc<Mutex<Known>>,
}

impl Tapped {
    pub(crate) fn new(inner: MemoryConnector, fault: &'static Fault) -> Self {
        Self { inner, fault, known: Arc::default() }
    }
}

impl Connector for Tapped {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async {
            let far = self.inner.connect().await?;
            let (near, middle) = pair(64);
            self.known.lock().unwrap().links += 1;
            tokio::spawn(carry(Box::pin(middle), far, self.fault, self.known.clone()));
            Ok(Box::pin(near) as BoxTransport)
        })
    }
}

/// Carries frames both ways until one end is done.
async fn carry(
    mut client: BoxTransport,
    mut runtime: BoxTransport,
    fault: &'static Fault,
    known: Arc<Mutex<Known>>,
) {
    loop {
        let (to, frame) = tokio::select! {
            frame = client.next() => (To::Runtime, frame),
            frame = runtime.next() => (To::Client, frame),
        };
        let frames = match frame {
            Some(Ok(Frame::Text(text))) => {
                let messages = match serde_json::from_str::<Value>(&text) {
                    Ok(message) if message.is_object() => {
                        (fault.change)(&mut known.lock().unwrap(), to, message)
                    }
                    _ => (fault.change)(&mut known.lock().unwrap(), to, Value::String(text.to_string())),
                };
                let frame = |message: Value| match message {
                    Value::String(text) => Frame::text(text),
                    message => Frame::text(message.to_string()),
                };
                messages.into_iter().map(|(to, message)| (to, frame(message))).collect()
            }
            Some(Ok(frame)) => vec![(to, frame)],
            Some(Err(_)) | None => return,
        };
        for (to, frame) in frames {
            let link = if to == To::Runtime { &mut runtime } else { &mut client };
            let over = matches!(frame, Frame::Close(_));
            if link.send(frame).await.is_err() {
                return;
            }
            if over {
                let _ = link.close().await; // the other side may be gone already
                return;
            }
        }
    }
}
