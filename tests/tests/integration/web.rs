//! What agents fetch under their lease, and where servers and names try to lead them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_client::proto::event::ToolOutcome;
use arcp_client::proto::{ErrorCode, ErrorPayload, Lease};
use arcp_runtime::http::{HeaderValue, Method, StatusCode};
use arcp_runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::support::{Ran, code, run, token};

/// Long and odd, so that it is found wherever it leaks.
const SECRET: &str = "secret-canary-a83e";

/// A server on a free port of this machine, and what it was asked.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Lets what is held go on.
    gate: Arc<Semaphore>,
    task: AbortHandle,
}

#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Server {
    /// Answers `/to/<status>?<location>` with that, `/held/<status>?<location>` too once it may, `/bytes/<n>` with so many bytes, `/never` never, and anything else with `hello`.
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let gate = Arc::new(Semaphore::new(0));
        let (noted, held) = (Arc::clone(&seen), Arc::clone(&gate));
        let router = Router::new().fallback(move |request: Request| {
            let (noted, held) = (Arc::clone(&noted), Arc::clone(&held));
            async move {
                let (parts, body) = request.into_parts();
                let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
                let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                let headers =
                    parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
                let path = parts.uri.path().to_owned();
                noted.lock().unwrap().push(Seen { method: parts.method, path: path.clone(), headers, body });
                if path.starts_with("/held/") {
                    held.acquire().await.unwrap().forget();
                }
                answer(&path, parts.uri.query().unwrap_or_default()).await
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, seen, gate, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same by the name of this machine.
    fn named(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    fn grant(&self) -> Lease {
        Lease::empty().grant("net.fetch", self.url("/**"))
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.path.clone()).collect()
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(path: &str, query: &str) -> Response {
    let response = Response::builder();
    let parts: Vec<&str> = path.split('/').collect();
    match parts[1..] {
        ["to" | "held", status] => {
            response.status(status.parse::<u16>().unwrap()).header("location", query).body(Body::empty())
        }
        ["bytes", bytes] => response.body(Body::from(vec![b'x'; bytes.parse().unwrap()])),
        ["streamed", bytes] => {
            let chunks = (0..bytes.parse::<u32>().unwrap()).map(|_| Ok::<_, std::io::Error>("x"));
            response.body(Body::from_stream(futures_util::stream::iter(chunks)))
        }
        ["status", status] => response.status(status.parse::<u16>().unwrap()).body(Body::empty()),
        ["never"] => std::future::pending().await,
        _ => response.header("x-test", "yes").body(Body::from("hello")),
    }
    .unwrap()
}

/// Fetches each of these with `GET`: the text of each response, or the code.
async fn fetch(lease: Lease, urls: &[String]) -> (Vec<String>, Ran) {
    let agent = agent_fn(async |ctx: JobContext, urls: Vec<String>| {
        let mut texts = Vec::new();
        for url in urls {
            let response = ctx.http().get(url).await;
            texts.push(match &response {
                Ok(response) => response.text()?.to_owned(),
                Err(_) => code(&response),
            });
        }
        Ok::<_, AgentError>(texts)
    });
    let ran = run(lease, &urls, agent).await;
    (serde_json::from_value(ran.output().clone()).unwrap(), ran)
}

const DENIED: &str = "PERMISSION_DENIED";

fn refusal(ran: &Ran) -> ErrorPayload {
    match ran.calls().last() {
        Some((_, ToolOutcome::Error(refusal))) => refusal.clone(),
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_fetches_what_its_lease_grants() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, base: String| {
        let url = format!("{base}/thing?key={SECRET}");
        let response = ctx.http().get(&url).header("authorization", SECRET).await?;
        assert_eq!((response.status(), response.bytes()), (StatusCode::OK, &b"hello"[..]));
        assert_eq!((response.text()?, response.url()), ("hello", url.as_str()));
        assert_eq!(response.headers()["x-test"], "yes");
        let response =
            ctx.http().request(Method::PUT, format!("{base}/json")).json(&json!({ "a": 1 })).await?;
        assert_eq!(response.into_bytes(), b"hello");
        let missing = ctx.http().get(format!("{base}/status/404")).await?;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert!(missing.json::<Value>().is_err());
        Ok::<_, AgentError>(())
    });
    let ran = run(server.grant(), &server.url(""), agent).await;
    ran.output();
    assert!(!format!("{:?}", ran.events).contains(SECRET));
    let told: Vec<Value> = ran
        .calls()
        .iter()
        .map(|(call, outcome)| {
            let ToolOutcome::Result(result) = outcome else { panic!("{outcome:?}") };
            json!([call.tool, call.args, result])
        })
        .collect();
    let args = |method: &str, path: &str| json!({ "method": method, "target": server.url(path) });
    assert_eq!(
        told,
        [
            json!(["net.fetch", args("GET", "/thing"), { "ok": true, "status": 200, "bytes": 5 }]),
            json!(["net.fetch", args("PUT", "/json"), { "ok": true, "status": 200, "bytes": 5 }]),
            json!(["net.fetch", args("GET", "/status/404"), { "ok": true, "status": 404, "bytes": 0 }]),
        ]
    );
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].headers["authorization"], SECRET);
    assert!(seen[0].headers["user-agent"].starts_with("arcp-runtime/"));
    assert!(!seen[0].headers.contains_key("accept-encoding"));
    assert_eq!(
        (seen[1].headers["content-type"].as_str(), seen[1].body.as_str()),
        ("application/json", "{\"a\":1}")
    );
}

#[tokio::test]
async fn a_refusal_is_told_and_its_code_ends_the_job() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, url: String| {
        ctx.http().get(url).await?;
        Ok::<_, AgentError>(())
    });
    let lease = Lease::empty().grant("net.fetch", server.url("/granted/**"));
    let ran = run(lease, &server.url(&format!("/other?{SECRET}")), agent).await;
    assert_eq!(ran.error().code, ErrorCode::PermissionDenied);
    assert_eq!(refusal(&ran), *ran.error());
    assert!(!format!("{:?}", ran.events).contains(SECRET));
    assert!(server.paths().is_empty());
}

#[tokio::test]
async fn a_wildcard_grants_no_private_place() {
    let server = Server::start().await;
    let urls =
        [server.url("/"), server.named("/"), format!("http://[::ffff:127.0.0.1]:{}/", server.address.port())];
    for lease in ["http://*:*/**", "http://*/**"] {
        let (texts, _) = fetch(Lease::empty().grant("net.fetch", lease), &urls).await;
        assert_eq!(texts, [DENIED; 3]);
    }
    let port = server.address.port();
    // What names a host grants what it names: this path, and no other by way of the wildcard beside it.
    let lease = Lease::empty()
        .grant("net.fetch", format!("http://*:{port}/**"))
        .grant("net.fetch", format!("http://localhost:{port}/named"));
    let (texts, ran) =
        fetch(lease, &[server.named("/named"), server.url("/named"), server.named("/other")]).await;
    assert_eq!(texts, ["hello", DENIED, DENIED]);
    assert!(refusal(&ran).message.contains("localhost leads to no public address"), "{:?}", refusal(&ran));
    assert_eq!(server.paths(), ["/named"]);
}

#[tokio::test]
async fn where_clouds_tell_secrets_nobody_gets_by_a_wildcard() {
    let addresses = [
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "0.0.0.0",
        "[::1]",
        "[fe80::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
    ];
    let urls = addresses.map(|address| format!("http://{address}/"));
    let (texts, _) = fetch(Lease::empty().grant("net.fetch", "http://*/**"), &urls).await;
    assert_eq!(texts, [DENIED; 8]);
}

#[tokio::test]
async fn a_redirect_is_followed_to_what_is_granted_alone() {
    let (server, other) = (Server::start().await, Server::start().await);
    let to = |location: String| server.url(&format!("/to/302?{location}"));
    let granted = server.grant();
    let both = granted.clone().grant("net.fetch", other.url("/granted"));
    let (texts, ran) =
        fetch(both, &[to("/here".into()), to(other.url("/granted")), to(other.url("/other"))]).await;
    assert_eq!(texts, ["hello", "hello", DENIED]);
    assert!(refusal(&ran).message.contains(&other.url("/other")), "it names where: {:?}", refusal(&ran));
    assert_eq!(other.paths(), ["/granted"]);
    let elsewhere = [
        "file:///etc/passwd",
        "ftp://localhost/",
        "javascript:alert(1)",
        "https://localhost/",
        "//localhost/",
    ];
    let tricks = ["http://user@localhost/", "http://localhost\\@127.0.0.1/", "http://"];
    for location in elsewhere.iter().chain(&tricks) {
        let (texts, _) = fetch(granted.clone(), &[to((*location).to_owned())]).await;
        assert_eq!(texts, [DENIED], "{location}");
    }
    let places =
        Lease::empty().grant("net.fetch", server.url("/to/**")).grant("net.fetch", server.url("/a/**"));
    let (texts, _) = fetch(places, &["/a/b", "/a/../b", "/a/%2e%2e/b"].map(|path| to(path.to_owned()))).await;
    assert_eq!(texts, ["hello", DENIED, DENIED]);
    let wildcard = granted.grant("net.fetch", "http://*:*/**");
    let (texts, _) = fetch(wildcard, &[to(other.url("/private")), to(other.named("/private"))]).await;
    assert_eq!(texts, [DENIED, DENIED]);
    assert_eq!(other.paths(), ["/granted"]);
}

#[tokio::test]
async fn a_redirect_that_comes_after_the_end_of_the_job_is_not_followed() {
    let server = Server::start().await;
    let (sender, mut left) = tokio::sync::mpsc::channel(1);
    let leaves = agent_fn(move |ctx: JobContext, url: String| {
        let sender = sender.clone();
        async move {
            let fetching = tokio::spawn({
                let ctx = ctx.clone();
                async move { code(&ctx.http().get(url).await) }
            });
            drop(sender.send(fetching).await);
            ctx.stopped().await;
            Ok::<_, AgentError>(())
        }
    });
    let tokens = StaticTokens::new().token(token("alice"), "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("leaves@1", leaves).build().unwrap();
    let client = crate::support::memory_client(&runtime, "alice").await;
    let url = server.url("/held/302?/thing");
    let mut job = client.submit("leaves").input(&url).lease(server.grant()).await.unwrap();
    let fetching = left.recv().await.unwrap();
    while server.paths().is_empty() {
        tokio::task::yield_now().await;
    }
    job.cancel().await.unwrap();
    job.result::<Value>().await.unwrap_err();
    server.gate.add_permits(1);
    assert_ne!(fetching.await.unwrap(), "ok");
    assert_eq!(server.paths(), ["/held/302"], "nothing more was sent");
}

#[tokio::test]
async fn redirects_have_an_end() {
    let server = Server::start().await;
    let (texts, _) = fetch(server.grant(), &[server.url("/to/302?302")]).await;
    assert_eq!(texts, ["TOO_MANY_REDIRECTS"]);
    assert_eq!(server.paths().len(), 11);
}

#[tokio::test]
async fn a_redirect_changes_what_its_status_says() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, base: String| {
        for status in [301, 302, 303, 307, 308] {
            for method in [Method::POST, Method::PUT] {
                let request = ctx.http().request(method, format!("{base}/to/{status}?/end"));
                request.header("x-kept", "yes").json("body").await?;
            }
        }
        Ok::<_, AgentError>(())
    });
    run(server.grant(), &server.url(""), agent).await.output();
    let seen = server.seen.lock().unwrap();
    let ends = seen.iter().filter(|seen| seen.path == "/end").map(|seen| {
        assert_eq!(seen.headers["x-kept"], "yes");
        assert_eq!(seen.headers.contains_key("content-type"), !seen.body.is_empty());
        format!("{} {}", seen.method, seen.body)
    });
    let kept = ["POST \"body\"", "PUT \"body\""];
    let expected = ["GET ", kept[1], "GET ", kept[1], "GET ", "GET ", kept[0], kept[1], kept[0], kept[1]];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let (server, other) = (Server::start().await, Server::start().await);
    let agent = agent_fn(async |ctx: JobContext, urls: [String; 2]| {
        for url in urls {
            let mut marked = HeaderValue::from_static("marked");
            marked.set_sensitive(true);
            let request =
                ctx.http().get(url).header("authorization", "a").header("cookie", "c").header("x-plain", "p");
            request.header("x-marked", marked).await?;
        }
        Ok::<_, AgentError>(())
    });
    let lease = server.grant().grant("net.fetch", other.url("/**"));
    let back = format!("/to/307?{}", server.url("/back"));
    let urls = [server.url("/to/307?/same"), server.url(&format!("/to/307?{}", other.url(&back)))];
    run(lease, &urls, agent).await.output();
    let names = |seen: &Seen| {
        ["authorization", "cookie", "x-marked", "x-plain"].map(|name| seen.headers.contains_key(name))
    };
    let same = server.seen.lock().unwrap().iter().find(|seen| seen.path == "/same").cloned().unwrap();
    assert_eq!(names(&same), [true; 4]);
    assert_eq!(names(&other.last()), [false, false, false, true]);
    assert_eq!(server.last().path, "/back");
    assert_eq!(names(&server.last()), [false, false, false, true], "nor back");
}

#[tokio::test]
async fn a_response_is_no_longer_than_it_may_be() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, base: String| {
        let mut codes = Vec::new();
        for path in ["/bytes/100", "/bytes/101", "/streamed/100", "/streamed/101"] {
            codes.push(code(&ctx.http().get(format!("{base}{path}")).max_bytes(100).await));
        }
        Ok::<_, AgentError>(codes)
    });
    let ran = run(server.grant(), &server.url(""), agent).await;
    assert_eq!(*ran.output(), json!(["ok", "TOO_LARGE", "ok", "TOO_LARGE"]));
}

#[tokio::test]
async fn a_request_takes_no_longer_than_it_may() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, base: String| {
        let request = ctx.http().get(format!("{base}/to/302?/never"));
        Ok::<_, AgentError>(code(&request.timeout(Duration::from_millis(200)).await))
    });
    assert_eq!(*run(server.grant(), &server.url(""), agent).await.output(), "HTTP_TIMEOUT");
}

#[tokio::test]
async fn what_is_no_request_is_not_sent() {
    let server = Server::start().await;
    let agent = agent_fn(async |ctx: JobContext, url: String| {
        let http = ctx.http();
        Ok::<_, AgentError>([
            code(&http.get(&url).header("host", "other.example").await),
            code(&http.get(&url).header("Transfer-Encoding", "chunked").await),
            code(&http.get(&url).header("a b", "c").await),
            code(&http.get(&url).header("a", "b\r\nc: d").await),
            code(&http.request(Method::CONNECT, &url).await),
        ])
    });
    let ran = run(server.grant(), &server.url("/"), agent).await;
    assert_eq!(*ran.output(), json!(vec!["INVALID_REQUEST"; 5]));
    assert!(server.paths().is_empty());
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_and_not_shown() {
    let lease = Lease::empty().grant("net.fetch", "http://*:*/**");
    let secret = |url: &str| url.replace("SECRET", SECRET);
    let urls = [
        "http://user:SECRET@a.example/",
        "http:/u:SECRET@a.example/",
        "http:///u:SECRET@a.example/",
        "SECRET",
        "mailto:SECRET",
    ];
    let more = ["http://a.example/\\?SECRET", "http://a.example:SECRET/"];
    let urls: Vec<String> = urls.iter().chain(&more).map(|url| secret(url)).collect();
    let (texts, ran) = fetch(lease, &urls).await;
    assert_eq!(texts, vec![DENIED; urls.len()]);
    assert!(!format!("{:?}", ran.events).contains(SECRET), "{:?}", ran.events);
}

#[tokio::test]
async fn who_does_not_answer_has_a_code() {
    let server = Server::start().await;
    let port = server.address.port();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let lease = server
        .grant()
        .grant("net.fetch", format!("http://{closed}/"))
        .grant("net.fetch", format!("https://127.0.0.1:{port}/"));
    let urls = [format!("http://{closed}/"), format!("https://127.0.0.1:{port}/")];
    let (texts, ran) = fetch(lease, &urls).await;
    assert_eq!(texts, ["HTTP_FAILED", "HTTP_FAILED"]);
    assert!(!refusal(&ran).message.is_empty());
}
