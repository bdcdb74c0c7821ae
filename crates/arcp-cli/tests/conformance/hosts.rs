//! The runtimes that the cases are played against: one a transport, all with the fixtures, two principals and a pretend gateway.

use std::path::Path;
use std::thread;
use std::time::Duration;

use arcp::axum::Server;
use arcp::runtime::credentials::MemoryLedger;
use arcp::runtime::{Limits, Runtime, StaticTokens};
use arcp::stdio::ChildConnector;
use arcp::transport::memory::listener;
use arcp::ws::{WsConnector, WsListener};
use arcp_conformance::{AT_A_TIME, Run, Target, runtime_cases, test_runtime};
use arcp_testing::FixtureGateway;

const TOKEN: &str = "token-of-alice";
const OTHER: &str = "token-of-bob";
const OBSERVER: &str = "token-of-carol";

/// Intervals that are short enough to wait for.
const HEARTBEAT: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(3);

fn runtime(calls: &Path) -> Runtime {
    let limits = Limits {
        heartbeat_interval: HEARTBEAT,
        resume_window: WINDOW,
        cancel_grace: Duration::from_secs(2),
        sessions_per_principal: 4_096,
        ..Limits::default()
    };
    let builder = Runtime::builder()
        .authenticator(StaticTokens::new().token(TOKEN, "alice").token(OTHER, "bob").token(OBSERVER, "carol"))
        .limits(limits)
        .observation(CarolLooks)
        .credentials(FixtureGateway::open(calls).unwrap(), MemoryLedger::dangerous());
    arcp_testing::with_fixtures(builder).build().unwrap()
}

async fn play(target: Target) -> Run {
    test_runtime(&target, &crate::asked(runtime_cases()), AT_A_TIME, |_, _| ()).await.unwrap()
}

/// In this process, on a clock that jumps over what is waited for.
pub(crate) fn memory(dir: &Path) -> Run {
    let calls = dir.join("memory");
    let paused = move || {
        let mut tokio = tokio::runtime::Builder::new_current_thread();
        tokio.enable_all().start_paused(true).build().unwrap().block_on(async {
            let (connector, listener) = listener();
            let runtime = runtime(&calls);
            tokio::spawn(async move { runtime.serve_all(listener).await });
            let forever = Duration::from_secs(86_400); // of which none is waited for
            play(Target::new(connector, TOKEN).other_principal(OTHER).observer(OBSERVER).patience(forever))
                .await
        })
    };
    thread::spawn(paused).join().unwrap()
}

/// On a port of its own.
pub(crate) async fn websocket(dir: &Path) -> Run {
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr());
    let runtime = runtime(&dir.join("websocket"));
    let serving = tokio::spawn(async move { runtime.serve_all(listener).await });
    let run =
        play(Target::new(WsConnector::new(&url).unwrap(), TOKEN).other_principal(OTHER).observer(OBSERVER))
            .await;
    serving.abort();
    run
}

/// As a route of an axum router.
pub(crate) async fn axum(dir: &Path) -> Run {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", server.local_addr().unwrap());
    let router = axum::Router::new().route("/arcp", arcp::axum::serve(runtime(&dir.join("axum"))));
    let serving = tokio::spawn(server.serve(router, std::future::pending::<()>()));
    let run =
        play(Target::new(WsConnector::new(&url).unwrap(), TOKEN).other_principal(OTHER).observer(OBSERVER))
            .await;
    serving.abort();
    run
}

/// `arcp serve --stdio`, a child process for each connection.
pub(crate) async fn stdio(dir: &Path) -> Run {
    let child = ChildConnector::new(assert_cmd::cargo::cargo_bin!("arcp"))
        .args(["serve", "--stdio", "--fixtures", "--store", "memory", "--cancel-grace", "2"])
        .args(["--token", &format!("{TOKEN}=alice")])
        .args(["--heartbeat-interval", &HEARTBEAT.as_secs().to_string()])
        .args(["--resume-window", &WINDOW.as_secs().to_string()])
        .arg("--fixture-gateway")
        .arg(dir.join("stdio"));
    play(Target::new(child, TOKEN).pipes()).await
}

/// Carol may observe everybody's jobs.
struct CarolLooks;

impl arcp::runtime::ObservationPolicy for CarolLooks {
    fn observation(
        &self,
        observer: &arcp::runtime::Principal,
        _: &arcp::runtime::Principal,
    ) -> arcp::runtime::Observation {
        if observer.as_str() == "carol" {
            arcp::runtime::Observation::Allowed
        } else {
            arcp::runtime::Observation::Hidden
        }
    }
}
