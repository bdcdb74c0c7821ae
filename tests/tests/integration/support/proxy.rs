//! A link that can be cut: a TCP proxy in front of a runtime.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Passes connections on, and cuts them when it is told to.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: mpsc::Sender<oneshot::Sender<()>>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, mut cuts) = mpsc::channel::<oneshot::Sender<()>>(1);
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
                    cut = cuts.recv() => match cut {
                        Some(done) => {
                            links.shutdown().await;
                            let _ = done.send(());
                        }
                        None => return,
                    },
                }
            }
        });
        Self { address, cut }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Cuts every connection that there is: no close frame, no goodbye.
    pub(crate) async fn cut(&self) {
        let (done, cut) = oneshot::channel();
        self.cut.send(done).await.unwrap();
        cut.await.unwrap();
    }
}
