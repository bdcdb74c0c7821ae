//! A link that can be cut: what lies between a client and a runtime, and fails at the worst moment.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Passes connections on to a runtime, until they are cut. New ones are passed on again.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    cut: mpsc::Sender<()>,
}

impl Link {
    pub(crate) async fn to(runtime: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, mut cuts) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut near, _)) = listener.accept() => {
                        connections.spawn(async move {
                            let mut far = TcpStream::connect(runtime).await?;
                            copy_bidirectional(&mut near, &mut far).await
                        });
                    }
                    Some(()) = cuts.recv() => connections.shutdown().await,
                    else => return,
                }
            }
        });
        Ok(Self { address, cut })
    }

    /// Cuts every connection that there is, without a word to either side.
    pub(crate) async fn cut(&self) {
        // If the link is gone altogether, so are its connections.
        let _ = self.cut.send(()).await;
    }
}
