//! A link that can be cut: a TCP proxy in front of a runtime.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Passes connections on until it is cut.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, mut cutting) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let mut links = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let mut near = accepted.unwrap().0;
                        links.spawn(async move {
                            let mut far = TcpStream::connect(target).await.unwrap();
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        });
                    }
                    _ = &mut cutting => break,
                }
            }
            links.shutdown().await;
            let _ = end.send(());
        });
        Self { address, cut, ended }
    }

    /// Cuts every connection: no close frame, no goodbye.
    pub(crate) async fn cut(self) {
        self.cut.send(()).unwrap();
        self.ended.await.unwrap();
    }
}
