//! A link between a client and a runtime with somebody in the middle: what passes can be changed, swallowed, doubled, or answered. What is
//! done to it is in `faults.rs`, and how the two come together in `mutants.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arcp_transport::{BoxTransport, Frame};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;

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

/// What becomes of a message that passes. A frame that is no object passes as a string.
pub(crate) type Change = fn(&mut Known, To, Value) -> Vec<(To, Value)>;

/// Carries frames both ways until one end is done; first what the client has said already.
pub(crate) async fn carry(
    mut client: BoxTransport,
    mut runtime: BoxTransport,
    mut said: Option<Frame>,
    change: Change,
    known: Arc<Mutex<Known>>,
) {
    known.lock().unwrap().links += 1;
    loop {
        let (to, frame) = match said.take() {
            Some(frame) => (To::Runtime, Some(Ok(frame))),
            None => tokio::select! {
                frame = client.next() => (To::Runtime, frame),
                frame = runtime.next() => (To::Client, frame),
            },
        };
        let frames = match frame {
            Some(Ok(Frame::Text(text))) => {
                let message = match serde_json::from_str::<Value>(&text) {
                    Ok(message) if message.is_object() => message,
                    _ => Value::String(text.to_string()),
                };
                let frame = |message: Value| match message {
                    Value::String(text) => Frame::text(text),
                    message => Frame::text(message.to_string()),
                };
                let messages = change(&mut known.lock().unwrap(), to, message);
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
