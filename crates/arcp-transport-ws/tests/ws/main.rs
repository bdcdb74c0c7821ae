//! Links over WebSocket, through real sockets. One file a topic; `raw` is a peer without manners.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod close;
mod connector;
mod handshake;
mod limits;
mod listener;
mod raw;
mod round_trip;
mod tls;

use arcp_transport::{BoxTransport, Connector, Frame, Listener, TransportError};
use arcp_transport_ws::{WsConfig, WsConnector, WsListener};
use futures_util::{FutureExt, SinkExt, StreamExt};

/// What a future says if it is asked once: `None` means that it waits.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

async fn listen(config: WsConfig) -> (WsListener, String) {
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap().with_config(config);
    let url = format!("ws://{}", listener.local_addr());
    (listener, url)
}

/// Both ends of a link: the client's, then the runtime's.
async fn link(client: WsConfig, server: WsConfig) -> (BoxTransport, BoxTransport) {
    let (mut listener, url) = listen(server).await;
    let connector = WsConnector::new(&url).unwrap().with_config(client);
    let (client, server) = tokio::join!(connector.connect(), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn default_link() -> (BoxTransport, BoxTransport) {
    link(WsConfig::client(), WsConfig::server()).await
}

async fn frame(link: &mut BoxTransport) -> Frame {
    link.next().await.expect("the link goes on").expect("a frame")
}

async fn error(link: &mut BoxTransport) -> TransportError {
    link.next().await.expect("the link goes on").expect_err("an error")
}

/// Feeds, flushes once, and closes to the end.
async fn send_and_close(link: &mut BoxTransport, frames: impl IntoIterator<Item = Frame>) {
    for frame in frames {
        link.feed(frame).await.unwrap();
    }
    link.close().await.unwrap();
}
