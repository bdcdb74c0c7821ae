//! Every fixture agent, as the strict client sees it.

use std::collections::BTreeSet;

use arcp_runtime::Limits;
use serde_json::{Value, json};

use super::{Ground, Peer, Wire, ground};

/// Everything that a job can be allowed.
fn everything() -> Value {
    json!({
        "fs.read": ["/**"], "fs.write": ["/src/**"], "net.fetch": ["https://api.example.com/**"], "tool.call": ["**"],
        "agent.delegate": ["**"], "model.use": ["**"], "cost.budget": ["USD:5.00", "credits:10"], "x-vendor.a.b": ["*"],
    })
}

/// A session, and the agents that it has run.
struct Run {
    peer: Peer,
    seen: BTreeSet<String>,
}

impl Run {
    async fn of(&mut self, agent: &str, input: Value) -> super::Ran {
        self.with(agent, input, json!({})).await
    }

    async fn with(&mut self, agent: &str, input: Value, lease: Value) -> super::Ran {
        let ran = self.peer.run(json!({ "agent": agent, "input": input, "lease_request": lease })).await;
        self.seen.insert(ran.accepted["payload"]["agent"].as_str().unwrap().to_owned());
        ran
    }
}

async fn on_both(test: impl AsyncFn(&mut Run)) {
    let ground = ground(Limits::default()).await;
    for wire in Wire::BOTH {
        let mut run = start(&ground, wire).await;
        test(&mut run).await;
        run.peer.close().await;
    }
}

async fn start(ground: &Ground, wire: Wire) -> Run {
    Run { peer: Peer::open(ground, wire, "alice").await, seen: BTreeSet::new() }
}

/// Each with its plainest input: none is left out.
#[tokio::test]
async fn all_of_them() {
    let ground = ground(Limits::default()).await;
    for wire in Wire::BOTH {
        let mut peer = Peer::connect(&ground, wire, "alice").await;
        let hello = peer.hello();
        peer.say("session.hello", hello).await;
        let welcome = peer.welcomed().await;
        let agents = welcome["payload"]["capabilities"]["agents"].as_array().unwrap();
        let offered: BTreeSet<String> = agents
            .iter()
            .flat_map(|agent| {
                let name = agent["name"].as_str().unwrap();
                agent["versions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(move |version| format!("{name}@{}", version.as_str().unwrap()))
            })
            .collect();
        let mut run = Run { peer, seen: BTreeSet::new() };
        for (agent, input) in [
            ("echo", json!(1)),
            ("count", json!({ "n": 3 })),
            ("sleep", json!({ "ms": 1 })),
            ("stubborn", json!({ "ms": 1 })),
            ("progress", json!({ "total": 2 })),
            ("stream", json!({ "chunks": 2, "chunk_bytes": 3 })),
            ("kinds", json!({})),
            ("operate", json!({ "operations": [] })),
            ("delegate", json!({ "agent": "echo", "input": null })),
            ("fail", json!({})),
            ("versioned@1.0.0", json!({})),
            ("versioned", json!({})),
            ("whoami", json!({})),
            ("rotate", json!({})),
            ("typed", json!({ "count": 1 })),
        ] {
            run.of(agent, input).await;
        }
        assert_eq!(run.seen, offered);
        run.peer.close().await;
    }
}

#[tokio::test]
async fn echo_takes_and_gives_any_json() {
    on_both(async |run| {
        for input in [
            json!(null),
            json!(0.1),
            json!("\u{0}\n\u{2028}\u{1f980}"),
            json!([null, { "a": {} }]),
            json!({}),
        ] {
            let ran = run.of("echo", input.clone()).await;
            assert_eq!(ran.result(), &json!({ "echoed": input }));
            assert_eq!(ran.events[0]["body"], json!({ "level": "info", "message": "echo started" }));
        }
    })
    .await;
}

#[tokio::test]
async fn events_of_every_kind() {
    on_both(async |run| {
        let ran = run.of("kinds", json!({})).await;
        let kinds = [
            "log",
            "thought",
            "tool_call",
            "tool_result",
            "status",
            "metric",
            "artifact_ref",
            "progress",
            "x-vendor.fixture.note",
        ];
        assert_eq!(ran.kinds(), kinds);
        assert_eq!(ran.result(), &Value::Null);
        let ran = run.of("progress", json!({ "total": 4, "units": "files" })).await;
        let last = ran.of_kind("progress").last().unwrap();
        assert_eq!(last, &json!({ "current": 4, "total": 4, "units": "files" }));
        let ran = run.of("count", json!({ "n": 500, "size": 3_000 })).await;
        assert_eq!(ran.of_kind("log").count(), 500);
    })
    .await;
}

#[tokio::test]
async fn results_in_pieces() {
    on_both(async |run| {
        for (encoding, chunks, bytes) in
            [("utf8", 3, 70_000), ("base64", 3, 70_001), ("utf8", 1, 1), ("base64", 2, 2), ("utf8", 0, 1)]
        {
            let input = json!({ "chunks": chunks, "chunk_bytes": bytes, "encoding": encoding });
            let ran = run.of("stream", input).await;
            assert_eq!(ran.end["payload"]["result_size"], chunks * bytes, "{:#}", ran.end);
            assert!(ran.of_kind("result_chunk").all(|chunk| chunk["encoding"] == encoding));
            assert!(ran.of_kind("result_chunk").count() >= 1);
        }
        let failing = json!({ "chunks": 3, "chunk_bytes": 10, "fail_at": 1 });
        assert_eq!(run.of("stream", failing).await.failure(), ("INTERNAL_ERROR", "error"));
    })
    .await;
}

#[tokio::test]
async fn operations_under_a_lease() {
    on_both(async |run| {
        let operation =
            |capability: &str, target: &str| json!({ "capability": capability, "target": target });
        let operations = [
            operation("fs.read", "/a/b"),
            operation("fs.write", "/etc/passwd"),
            operation("net.fetch", "https://api.example.com/v1"),
            operation("net.fetch", "https://user@api.example.com/v1"),
            operation("tool.call", "search"),
            operation("agent.delegate", "echo"),
            operation("model.use", "tier-fast/a"),
            operation("x-vendor.a.b", "c"),
            operation("fs.read", "/a/../b"),
        ];
        let ran = run.with("operate", json!({ "operations": operations }), everything()).await;
        let denied = "PERMISSION_DENIED";
        let outcomes = ["ok", denied, "ok", denied, "ok", "ok", "ok", "ok", denied];
        assert_eq!(ran.result()["outcomes"], json!(outcomes));
        assert_eq!(ran.accepted["payload"]["budget"], json!({ "USD": 5.0, "credits": 10 }));

        let spend =
            json!({ "capability": "tool.call", "target": "a", "cost": { "USD": 3.0, "credits": 0.0000004 } });
        let ran = run.with("operate", json!({ "operations": [spend, spend, spend] }), everything()).await;
        assert_eq!(ran.result()["outcomes"], json!(["ok", "ok", "BUDGET_EXHAUSTED"]));
        let remaining: Vec<_> =
            ran.of_kind("metric").filter(|metric| metric["name"] == "cost.budget.remaining").collect();
        assert_eq!(remaining.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn delegations() {
    on_both(async |run| {
        let delegate = |agent: &str, lease: Value| json!({ "agent": agent, "input": { "ms": 1 }, "lease_request": lease });
        let input = delegate("echo", json!({ "cost.budget": ["USD:1.00"], "fs.read": ["/a/*"] }));
        let ran = run.with("delegate", input, everything()).await;
        assert_eq!(ran.result()["final_status"], "success");
        assert!(run.peer.watch.has_ended(ran.result()["child_job_id"].as_str().unwrap()));
        for (agent, lease, code) in [
            ("echo", json!({ "fs.write": ["/**"] }), "LEASE_SUBSET_VIOLATION"),
            ("echo", json!({ "cost.budget": ["USD:5.01"] }), "LEASE_SUBSET_VIOLATION"),
            ("nobody", json!({}), "AGENT_NOT_AVAILABLE"),
            ("echo@9", json!({}), "AGENT_VERSION_NOT_AVAILABLE"),
        ] {
            let ran = run.with("delegate", delegate(agent, lease), everything()).await;
            assert_eq!(ran.result(), &json!({ "error": code }));
            assert_eq!(ran.of_kind("tool_result").next().unwrap()["error"]["code"], code);
        }
        let ran = run.of("delegate", delegate("echo", json!({}))).await;
        assert_eq!(ran.result(), &json!({ "error": "PERMISSION_DENIED" }));
        // A child that nobody waits for ends before its parent does.
        let input = json!({ "agent": "sleep", "input": { "ms": 600_000 }, "wait": false });
        let ran = run.with("delegate", input, everything()).await;
        assert!(run.peer.watch.has_ended(ran.result()["child_job_id"].as_str().unwrap()));
        // Children of children.
        let inner = json!({ "agent": "delegate", "input": delegate("kinds", json!({})), "lease_request": everything() });
        assert_eq!(run.with("delegate", inner, everything()).await.result()["final_status"], "success");
    })
    .await;
}

#[tokio::test]
async fn ends_and_who_it_was() {
    on_both(async |run| {
        for code in
            ["INTERNAL_ERROR", "TIMEOUT", "BUDGET_EXHAUSTED", "CANCELLED", "MY_OWN", "INVALID_REQUEST"]
        {
            let ran = run.of("fail", json!({ "code": code, "message": "no" })).await;
            assert_eq!(ran.failure(), (code, "error"));
        }
        assert_eq!(run.of("fail", json!({ "message": "" })).await.failure(), ("INTERNAL_ERROR", "error"));
        assert_eq!(run.of("fail", json!({ "panic": true })).await.failure(), ("INTERNAL_ERROR", "error"));
        for (agent, input) in
            [("count", json!({})), ("sleep", json!({ "ms": "long" })), ("operate", json!([]))]
        {
            assert_eq!(run.of(agent, input).await.failure(), ("INVALID_REQUEST", "error"));
        }
        for (agent, version) in [("versioned", "2.0.0"), ("versioned@1.0.0", "1.0.0")] {
            assert_eq!(run.of(agent, json!({})).await.result(), &json!({ "version": version }));
        }
        let ran = run.with("whoami", json!({}), json!({ "fs.read": ["/a"] })).await;
        assert_eq!(ran.result()["job_id"], ran.accepted["job_id"]);
        assert_eq!(ran.result()["trace_id"], ran.accepted["trace_id"]);
        assert_eq!(ran.result()["lease"], json!({ "fs.read": ["/a"] }));
    })
    .await;
}

/// A session that has negotiated nothing is sent nothing of it.
#[tokio::test]
async fn nothing_that_was_not_negotiated() {
    let ground = ground(Limits::default()).await;
    for wire in Wire::BOTH {
        let mut peer = Peer::open_with(&ground, wire, "alice", &[]).await;
        let lease = everything();
        let ran =
            peer.run(json!({ "agent": "progress", "input": { "total": 3 }, "lease_request": lease })).await;
        assert_eq!(ran.kinds(), [""; 0]);
        let ran = peer.run(json!({ "agent": "kinds", "input": {} })).await;
        assert_eq!(ran.events.len(), 8);
        let ran = peer.run(json!({ "agent": "stream", "input": { "chunks": 3, "chunk_bytes": 2 } })).await;
        assert_eq!(ran.result(), "aabbcc");
        let operation = json!({ "capability": "fs.read", "target": "/a", "cost": { "USD": 1 } });
        let input = json!({ "operations": [operation] });
        let ran = peer.run(json!({ "agent": "operate", "input": input, "lease_request": lease })).await;
        assert_eq!(ran.of_kind("metric").count(), 1, "the cost, and not what remains");
        peer.close().await;
    }
}
