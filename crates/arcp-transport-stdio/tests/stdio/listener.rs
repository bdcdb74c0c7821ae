//! The listener with one link, and a process that speaks over its own stdin and stdout.

use std::io;

use arcp_transport::{BoxTransport, Connector, Frame, Listener, Peer};
use arcp_transport_stdio::{ChildConnector, StdioConfig, StdioListener, stdio};
use futures_util::{SinkExt, StreamExt};

use crate::{closed, frame, numbered, once, over, raw_pair};

#[tokio::test]
async fn one_link_is_yielded_and_its_end_is_the_listeners() {
    let (left, right) = raw_pair(64);
    let mut client = over(left, StdioConfig::client());
    let listener = StdioListener::over(right.reader, right.writer, StdioConfig::server());
    let mut listener: Box<dyn Listener> = Box::new(listener);
    let (mut server, peer) = once(listener.accept()).expect("it is there").unwrap();
    assert_eq!(peer, Peer::LOCAL);
    assert!(once(listener.accept()).is_none(), "the link goes on");

    client.send(numbered(0)).await.unwrap();
    assert_eq!(frame(&mut server).await, numbered(0));
    let (left, right) = tokio::join!(client.close(), server.close());
    left.and(right).unwrap();
    assert!(once(listener.accept()).is_none(), "it is not dropped");
    drop(server);
    for _ in 0..2 {
        let over = listener.accept().await.err().unwrap();
        assert_eq!(over.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_dropped_accept_loses_nothing() {
    let (_left, right) = raw_pair(64);
    let mut listener = StdioListener::over(right.reader, right.writer, StdioConfig::server());
    drop(listener.accept());
    listener.accept().await.unwrap();
}

/// Set in the process that is the runtime, to how it gets its link.
const IS_CHILD: &str = "ARCP_TEST_IS_CHILD";

/// Needs a process with pipes for stdin and stdout: runs itself again in one.
#[test]
fn a_process_speaks_over_its_own_stdin_and_stdout() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(way) = std::env::var_os(IS_CHILD) {
        runtime.block_on(async {
            match way.to_str() {
                Some("stdio") => echo_until_bye(Box::pin(stdio(StdioConfig::server()))).await,
                _ => {
                    let mut listener = StdioListener::new(StdioConfig::server());
                    echo_until_bye(listener.accept().await.unwrap().0).await;
                    listener.accept().await.err().expect("the link is over");
                }
            }
        });
        std::process::exit(0); // with a read of stdin under way
    }
    runtime.block_on(async {
        let connector = ChildConnector::new(std::env::current_exe().unwrap())
            .args(["--exact", "listener::a_process_speaks_over_its_own_stdin_and_stdout"])
            .args(["--nocapture", "--quiet"]);
        for (way, bye) in [("stdio", true), ("stdio", false), ("listener", true), ("listener", false)] {
            let mut link = connector.clone().env(IS_CHILD, way).connect().await.unwrap();
            let long = Frame::text(format!("{{{}}}", "x".repeat((1 << 20) - 2)));
            link.send(long.clone()).await.unwrap();
            let running = frame(&mut link).await;
            assert_eq!(running, Frame::text("running 1 test"), "said by the test harness");
            assert_eq!(frame(&mut link).await, long);
            if bye {
                link.send(Frame::text("bye")).await.unwrap();
                assert_eq!(frame(&mut link).await, Frame::text("bye"));
                assert_eq!(frame(&mut link).await, closed(), "the child has exited");
                assert!(link.next().await.is_none());
            }
            link.close().await.unwrap();
        }
    });
}

async fn echo_until_bye(mut client: BoxTransport) {
    while let Some(Ok(frame @ Frame::Text(_))) = client.next().await {
        let is_bye = frame == Frame::text("bye");
        client.feed(frame).await.unwrap();
        if is_bye {
            break;
        }
        client.flush().await.unwrap();
    }
    client.close().await.unwrap();
}
