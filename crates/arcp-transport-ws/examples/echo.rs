//! Both ends of a link that give back what they get, for suites that test WebSocket peers.
//!
//! `echo serve` listens on a port of the system's choice, writes the URL to stdout, and echoes until it is killed.
//! `echo connect URL` runs every case of an Autobahn fuzzing server.
#![allow(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

use std::time::Duration;

use arcp_transport::{BoxTransport, CloseCode, Connector, Frame, Listener, TransportError};
use arcp_transport_ws::{WsConfig, WsConnector, WsListener};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;

/// The suites send messages of 16 MiB.
const LARGEST: usize = 32 << 20;

/// How we call ourselves in reports.
const AGENT: &str = "arcp-client";

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        ["connect", url] => connect(url).await,
        _ => Err("usage: echo serve | echo connect URL".into()),
    }
}

fn config() -> WsConfig {
    WsConfig { max_frame_bytes: LARGEST, max_write_buffer_bytes: 2 * LARGEST, ..WsConfig::server() }
}

async fn serve() -> Outcome<()> {
    let mut listener = WsListener::bind("127.0.0.1:0", "/").await?.with_config(config());
    println!("ws://{}/", listener.local_addr());
    loop {
        let (link, _) = listener.accept().await?;
        tokio::spawn(echo(link));
    }
}

async fn connect(url: &str) -> Outcome<()> {
    let open =
        async |path: String| WsConnector::new(&format!("{url}{path}"))?.with_config(config()).connect().await;
    let mut counter = open("/getCaseCount".to_owned()).await?;
    let Some(Ok(Frame::Text(count))) = counter.next().await else {
        return Err("the suite does not say how many cases it has".into());
    };
    counter.close().await?;
    for case in 1..=count.parse::<usize>()? {
        echo(open(format!("/runCase?case={case}&agent={AGENT}")).await?).await;
    }
    let mut reports = open(format!("/updateReports?agent={AGENT}")).await?;
    while reports.next().await.is_some() {}
    reports.close().await?;
    Ok(())
}

/// Gives back every frame, and closes as a runtime does: with a code that says what was wrong.
async fn echo(mut link: BoxTransport) {
    let close = loop {
        match link.next().await {
            Some(Ok(Frame::Close(_))) | None => break None,
            Some(Ok(frame)) => {
                if link.send(frame).await.is_err() {
                    break None;
                }
            }
            Some(Err(TransportError::NotUtf8)) => break Some(CloseCode::INVALID_DATA),
            Some(Err(TransportError::FrameTooLarge { .. })) => break Some(CloseCode::TOO_LARGE),
            Some(Err(_)) => break Some(CloseCode::PROTOCOL_ERROR),
        }
    };
    if let Some(code) = close {
        let _ = link.send(Frame::close(code, "")).await;
    }
    let _ = timeout(Duration::from_secs(5), link.close()).await;
}
