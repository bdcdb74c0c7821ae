//! The Python halves of the porting guide, each as it stands there: its client with our runtime, its runtime with our client. The Rust
//! halves are compiled and run with the documentation.

use std::process::Command;

use arcp::client::JobError;
use arcp::proto::{ErrorCode, Lease};
use serde_json::{Value, json};

use crate::ours::serve;
use crate::python::{Told, listening, python, script};

const GUIDE: &str = include_str!("../../../arcp/src/guides/porting-from-python.md");

/// What the guide has in Python.
fn blocks() -> Vec<&'static str> {
    let after = GUIDE.split("```python\n").skip(1);
    after.map(|text| text.split_once("\n```").expect("a block ends").0).collect()
}

/// Whether a block makes a runtime, rather than asking one for something.
fn hosts(block: &str) -> bool {
    block.contains("ARCPRuntime(")
}

#[test]
fn each_block_is_one_that_is_run() {
    let hosting: Vec<bool> = blocks().into_iter().map(hosts).collect();
    assert_eq!(hosting, [false, true], "what is new in the guide is to be run here");
}

#[test]
fn what_the_guide_asks_for_in_python_our_runtime_does() {
    let Some(python) = python() else { return };
    for block in blocks().into_iter().filter(|block| !hosts(block)) {
        let (_runtime, url) = serve(&[]);
        let mut client = Command::new(&python);
        let told = Told::by(client.arg(script("guide.py")).args(["client", block]).env("ARCP_URL", url));
        assert_eq!(*told.one("result"), json!({ "echoed": { "x": 1 } }));
        assert_eq!(told.all("printed").len(), 1, "the one event of the agent");
    }
}

#[tokio::test]
async fn what_the_guide_hosts_in_python_our_client_submits_to() {
    let Some(python) = python() else { return };
    for block in blocks().into_iter().filter(|block| hosts(block)) {
        let mut host = Command::new(&python);
        host.arg(script("guide.py")).args(["host", block]);
        let (_runtime, url) = listening(host, "ws://", false);
        let client = arcp::connect(&url, "s3cret").await.unwrap();
        assert_eq!(client.opened().runtime.as_ref().unwrap().name, "shop");
        let input = json!({ "amounts": [0.3, 0.3] });
        let money = Lease::empty().grant("cost.budget", "USD:1.00");
        let lease = money.clone().grant("tool.call", "search.*");
        let mut job = client.submit("spend").input(&input).lease(lease).await.unwrap();
        assert_eq!(job.result::<Value>().await.unwrap(), json!({ "left": "0.40" }));
        let mut job = client.submit("spend").input(&input).lease(money).await.unwrap();
        let Err(JobError::Failed(error)) = job.result::<Value>().await else { panic!("it may not search") };
        assert_eq!(error.code, ErrorCode::PermissionDenied);
        client.close().await;
    }
}
