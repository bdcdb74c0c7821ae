//! A runtime at the other end of two pipes: jobs end to end, and lines as long as they come.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_client::proto::event::{Body, ChunkEncoding};
use arcp_client::stdio::{ChildConnector, StdioConfig, StdioTransport};
use arcp_client::{Client, ConnectError, Job, Loss};
use arcp_runtime::{AgentError, JobContext, Limits, Runtime, StaticTokens, agent_fn};
use arcp_transport::{BoxFuture, BoxTransport, Connector, Frame};
use arcp_transport_stdio::StdioListener;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, duplex};

use crate::support::{Wrongs, next, runtime, token};

/// What a pipe holds.
const PIPE: usize = 64 * 1024;

/// Connects to a runtime in this process by two pipes, and notes how long the lines are that come from there.
#[derive(Clone)]
struct Pipes {
    runtime: Runtime,
    capacity: usize,
    /// So many bytes come over the first link before it ends.
    cut: u64,
    links: Arc<AtomicUsize>,
    longest: Arc<AtomicUsize>,
}

impl Pipes {
    fn to(runtime: &Runtime) -> Self {
        let runtime = runtime.clone();
        Self { runtime, capacity: PIPE, cut: u64::MAX, links: Arc::default(), longest: Arc::default() }
    }

    fn open(&self) -> BoxTransport {
        let (their_stdout, our_reader) = duplex(self.capacity);
        let (our_writer, their_stdin) = duplex(self.capacity);
        let theirs = StdioTransport::new(their_stdin, their_stdout, StdioConfig::server());
        tokio::spawn(self.runtime.serve(Box::pin(theirs), arcp_transport::Peer::LOCAL));
        let first = self.links.fetch_add(1, Ordering::Relaxed) == 0;
        let our_reader = our_reader.take(if first { self.cut } else { u64::MAX });
        let ours = StdioTransport::new(our_reader, our_writer, StdioConfig::client());
        let longest = Arc::clone(&self.longest);
        Box::pin(ours.inspect_ok(move |frame| {
            if let Frame::Text(text) = frame {
                longest.fetch_max(text.len(), Ordering::Relaxed);
            }
        }))
    }

    fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }
}

impl Connector for Pipes {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, arcp_transport::ConnectError>> {
        Box::pin(async { Ok(self.open()) })
    }
}

/// A shell that writes all its lines and closes the pipe still reads the answers.
#[tokio::test]
async fn what_was_asked_before_the_end_of_stdin_is_answered() {
    let hello = json!({
        "arcp": "1.1", "id": "h", "type": "session.hello",
        "payload": {
            "client": { "name": "t", "version": "0" },
            "auth": { "scheme": "bearer", "token": token("alice") },
            "capabilities": { "encodings": ["json"], "features": ["list_jobs"] },
        },
    });
    let list = json!({ "arcp": "1.1", "id": "l", "type": "session.list_jobs", "payload": {} });
    let lines = io::Cursor::new(format!("{hello}\n{list}\n").into_bytes());
    let (their_stdout, our_reader) = duplex(PIPE);
    let theirs = StdioTransport::new(lines, their_stdout, StdioConfig::server());
    let (runtime, _stage) = runtime(Limits::default());
    tokio::spawn(runtime.serve(Box::pin(theirs), arcp_transport::Peer::LOCAL));
    let mut ours = StdioTransport::new(our_reader, tokio::io::sink(), StdioConfig::client());
    let mut types = Vec::new();
    while let Some(Ok(Frame::Text(text))) = ours.next().await {
        types.push(serde_json::from_str::<Value>(&text).unwrap()["type"].clone());
    }
    assert_eq!(types, ["session.welcome", "session.jobs"]);
}

async fn submit(client: &Client, agent: &str, input: Value) -> Job {
    client.submit(agent).input(&input).await.unwrap()
}

#[tokio::test]
async fn a_job_runs_end_to_end() {
    let (runtime, _stage) = runtime(Limits::default());
    for capacity in [1, PIPE] {
        let pipes = Pipes { capacity, ..Pipes::to(&runtime) };
        let wrongs = Wrongs::default();
        let client = Client::connect(wrongs.tap(pipes), token("alice")).await.unwrap();
        let input = json!({ "text": "é\u{0}\r\n\u{2028}" });
        let mut echo = submit(&client, "echo", input.clone()).await;
        let Body::Log(log) = next(&mut echo).await.body else { panic!("echo says that it starts") };
        assert_eq!(log.message, "echo started");
        assert_eq!(echo.result::<Value>().await.unwrap(), json!({ "echoed": input }));
        client.close().await;
    }
}

#[tokio::test]
async fn a_runtime_that_serves_its_only_link_ends_with_it() {
    let (runtime, _stage) = runtime(Limits::default());
    let (their_stdout, our_reader) = duplex(PIPE);
    let (our_writer, their_stdin) = duplex(PIPE);
    let listener = StdioListener::over(their_stdin, their_stdout, StdioConfig::server());
    let serving = tokio::spawn(async move { runtime.serve_all(listener).await });

    struct Once(std::sync::Mutex<Option<BoxTransport>>);
    impl Connector for Once {
        fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, arcp_transport::ConnectError>> {
            Box::pin(async { Ok(self.0.lock().unwrap().take().expect("asked once")) })
        }
    }
    let link = StdioTransport::new(our_reader, our_writer, StdioConfig::client());
    let connector = Once(std::sync::Mutex::new(Some(Box::pin(link))));
    let client = Client::connect(connector, token("alice")).await.unwrap();
    assert_eq!(submit(&client, "echo", json!(1)).await.result::<Value>().await.unwrap()["echoed"], 1);
    client.close().await;
    assert_eq!(serving.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_refusal_reaches_the_client() {
    let (runtime, _stage) = runtime(Limits::default());
    let refused = Client::connect(Pipes::to(&runtime), "wrong").await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn a_child_that_is_no_runtime_is_told_from_one_that_cannot_be_started() {
    let missing = Client::connect(ChildConnector::new("arcp-no-such-program"), "any").await.unwrap_err();
    assert!(missing.to_string().starts_with("cannot start arcp-no-such-program: "), "{missing}");
    let silent = Client::connect(ChildConnector::new("true"), "any").await.unwrap_err();
    assert!(matches!(silent, ConnectError::Lost(Loss::BeforeWelcome)), "{silent:?}");
}

/// Set in the process that is the runtime.
const IS_CHILD: &str = "ARCP_TEST_IS_RUNTIME";

/// Needs another process: runs itself again in one. What its test harness writes to stdout is no envelope; a client
/// passes over it.
#[test]
fn a_runtime_in_a_child_process_serves_its_client() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::var_os(IS_CHILD).is_some() {
        let served = tokio.block_on(async {
            let (runtime, _stage) = runtime(Limits::default());
            runtime.serve_all(StdioListener::new(StdioConfig::server())).await
        });
        let in_order = served.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        std::process::exit(if in_order { 0 } else { 1 });
    }
    tokio.block_on(async {
        let connector = ChildConnector::new(std::env::current_exe().unwrap())
            .args(["--exact", "stdio::a_runtime_in_a_child_process_serves_its_client"])
            .args(["--nocapture", "--quiet"])
            .env(IS_CHILD, "1");
        let client = Client::connect(connector, token("alice")).await.unwrap();
        let input = json!({ "chunks": 3, "chunk_bytes": 512 << 10, "encoding": "base64" });
        let result = submit(&client, "stream", input).await.result_bytes().await.unwrap();
        assert_eq!(result.len(), 3 * (512 << 10));
        client.close().await;
    });
}

/// As where the runtime outlives its link, because a program in between carries the bytes on.
#[tokio::test]
async fn a_session_is_resumed_over_other_pipes_where_a_line_was_cut() {
    let (runtime, _stage) = runtime(Limits::default());
    let pipes = Pipes { cut: 20_000, ..Pipes::to(&runtime) };
    let client = Client::connect(pipes.clone(), token("alice")).await.unwrap();
    let count = submit(&client, "count", json!({ "n": 200, "size": 300 })).await;
    let seen: Vec<_> = count.map(|event| event.event_seq).collect().await;
    assert_eq!(seen, (1..=200).map(Some).collect::<Vec<_>>());
    assert_eq!(pipes.links.load(Ordering::Relaxed), 2);
    client.close().await;
}

#[tokio::test]
async fn the_largest_chunks_pass_whole() {
    let (runtime, _stage) = runtime(Limits::default());
    const CHUNK: usize = 512 << 10;
    for (encoding, least) in [("base64", CHUNK / 3 * 4), ("utf8", CHUNK)] {
        let pipes = Pipes::to(&runtime);
        let wrongs = Wrongs::default();
        let client = Client::connect(wrongs.tap(pipes.clone()), token("alice")).await.unwrap();
        let input = json!({ "chunks": 5, "chunk_bytes": CHUNK, "encoding": encoding });
        let result = submit(&client, "stream", input).await.result_bytes().await.unwrap();
        let whole: Vec<u8> = (b'a'..=b'e').flat_map(|letter| vec![letter; CHUNK]).collect();
        assert!(result == whole, "{encoding}: {} bytes came", result.len());
        assert!(pipes.longest() >= least, "{encoding}: no line was longer than {}", pipes.longest());
        client.close().await;
    }
}

#[tokio::test]
async fn text_that_is_all_escapes_passes_whole() {
    let escapes = agent_fn(async |ctx: JobContext, (text, times): (String, usize)| {
        let mut result = ctx.result_stream(ChunkEncoding::Utf8)?;
        for _ in 0..times {
            result.write(&text).await?;
        }
        result.finish(None).await?;
        Ok::<_, AgentError>(())
    });
    let tokens = StaticTokens::new().token(token("alice"), "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("escapes@1.0.0", escapes).build().unwrap();
    // Two bytes each, six bytes each, and line breaks of every kind.
    for escaped in ["\"\\", "\u{1}\u{1f}", "\n\r\r\n\u{85}\u{2028}\u{2029}"] {
        let text = escaped.repeat(50_000);
        let pipes = Pipes::to(&runtime);
        let wrongs = Wrongs::default();
        let client = Client::connect(wrongs.tap(pipes.clone()), token("alice")).await.unwrap();
        let mut job = submit(&client, "escapes", json!([text, 10])).await;
        let result: String = job.result().await.unwrap();
        assert!(result == text.repeat(10), "{escaped:?}: {} bytes came", result.len());
        assert!(pipes.longest() > 512 << 10, "no line was longer than {}", pipes.longest());
        client.close().await;
    }
}
