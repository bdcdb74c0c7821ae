//! A link that can be cut: a relay between a client and a server.

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Relays until it is dropped.
pub(crate) struct Relay {
    pub(crate) url: String,
    relays: Arc<Mutex<Vec<AbortHandle>>>,
    listening: AbortHandle,
}

impl Relay {
    /// A relay in front of the runtime at a URL.
    pub(crate) async fn to(url: &str) -> Self {
        let target = url.strip_prefix("ws://").unwrap().strip_suffix("/arcp").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
        let relays = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let kept = Arc::clone(&relays);
        let listening = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                let relay = tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
                kept.lock().unwrap().push(relay.abort_handle());
            }
        });
        Self { url, relays, listening: listening.abort_handle() }
    }

    /// Cuts every connection. New ones can be made.
    pub(crate) fn cut(&self) {
        self.relays.lock().unwrap().drain(..).for_each(|relay| relay.abort());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}
