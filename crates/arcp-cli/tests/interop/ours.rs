//! Its client with our runtime.

use std::process::Command;

use serde_json::{Value, json};

use crate::python::{Running, Told, listening, python, script};

fn arcp() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("arcp"));
    command
        .env("ARCP_CONFIG", "")
        .env_remove("ARCP_TOKEN")
        .env_remove("ARCP_URL")
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

pub(crate) fn serve(more: &[&str]) -> (Running, String) {
    let mut command = arcp();
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--fixtures",
        "--token",
        "s3cret=alice",
        "--store",
        "memory",
    ]);
    command.args(more);
    listening(command, "listening on ", true)
}

/// What its client tells of a scenario with a runtime over a WebSocket.
fn over_websocket(scenario: &str, more: &[&str]) -> Option<Told> {
    let python = python()?;
    let (_runtime, url) = serve(more);
    Some(Told::by(Command::new(python).arg(script("client.py")).arg(scenario).env("ARCP_URL", url)))
}

/// The same over the pipes of a runtime that it starts.
fn over_stdio(scenario: &str, more: &[&str]) -> Option<Told> {
    let python = python()?;
    let program = assert_cmd::cargo::cargo_bin!("arcp").to_str().unwrap();
    let mut words = vec![program, "serve", "--stdio", "--fixtures", "--token", "s3cret=alice"];
    words.extend(more);
    let command = serde_json::to_string(&words).unwrap();
    let mut client = Command::new(python);
    client.arg(script("client.py")).arg(scenario).env_remove("ARCP_URL").env("ARCP_COMMAND", command);
    // A line of more than 64 KiB ends its reader, which asyncio bounds, and an inline result is one line.
    client.env("ARCP_INLINE_BYTES", "40000");
    Some(Told::by(&mut client))
}

/// What both ways tell; none if the SDK is not here.
fn both(scenario: &str) -> Vec<Told> {
    [over_websocket(scenario, &[]), over_stdio(scenario, &[])].into_iter().flatten().collect()
}

fn error<'a>(told: &'a Value, of: &str) -> (&'a str, bool) {
    assert_eq!(told["type"], of, "{told}");
    (told["code"].as_str().unwrap(), told["retryable"].as_bool().unwrap())
}

#[test]
fn the_quick_start_of_its_documentation() {
    for told in both("quick_start") {
        assert!(told.one("agents").as_array().unwrap().contains(&json!("echo")));
        let features = told.one("features").as_array().unwrap();
        assert_eq!(features.len(), 9, "all that it asks for: {features:?}");
        let accepted = told.one("accepted");
        assert_eq!(accepted["agent"], "echo@1.0.0");
        assert_eq!(
            accepted["lease"],
            json!({ "net.fetch": ["https://example.com/**"], "tool.call": ["search.*"] })
        );
        assert_eq!(accepted["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(told.one("expires"), true);
        assert_eq!(told.one("events")[0]["body"], json!({ "level": "info", "message": "echo started" }));
        let result = json!({ "echoed": { "dataset": "s3://example/sales.csv" } });
        assert_eq!(*told.one("done"), json!({ "final_status": "success", "result": result }));
        assert_eq!(error(told.one("s3"), "InvalidRequestError").0, "INVALID_REQUEST");
        assert_eq!(told.one("closed"), true);
    }
}

/// Its documentation prints `body["name"]` and `body["arguments"]` of a tool call, which the draft calls `tool` and `args` (§8.2): of
/// those only what the draft has is there.
#[test]
fn events_of_every_kind() {
    for told in both("kinds") {
        let events = told.one("events").as_array().unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
        let all =
            "log thought tool_call tool_result status metric artifact_ref progress x-vendor.fixture.note";
        assert_eq!(kinds, all.split(' ').collect::<Vec<_>>());
        assert_eq!(
            (&events[2]["body"]["tool"], &events[5]["body"]["value"]),
            (&json!("search"), &json!(12_408))
        );
        assert_eq!(told.one("done"), "success");
    }
}

#[test]
fn budgets_and_expiry() {
    for told in both("budgets") {
        assert_eq!(*told.one("budget"), json!({ "USD": "USD:1.00" }));
        assert_eq!(*told.one("remaining"), json!(["0.70 USD", "0.40 USD", "0.10 USD", "-0.20 USD"]));
        assert_eq!(*told.one("outcomes"), json!(["ok", "ok", "ok", "ok"]));
        assert_eq!(error(told.one("exhausted"), "BudgetExhaustedError"), ("BUDGET_EXHAUSTED", false));
        assert_eq!(error(told.one("expired"), "LeaseExpiredError"), ("LEASE_EXPIRED", false));
    }
}

#[test]
fn cancelled_and_timed_out_jobs_end() {
    for told in both("stops") {
        assert_eq!(told.one("cancelled")["final_status"], "cancelled");
        assert_eq!(told.one("timed_out")["final_status"], "timed_out");
        assert_eq!(*told.one("again"), json!({ "echoed": "still here" }));
    }
}

/// What the quirks are for: spoken to as the draft has it, this client hangs or dies. That it loses what follows a
/// `job.subscribed` at once is a race, and so not shown here.
#[test]
fn without_quirks_it_would_break() {
    let Some(told) = over_websocket("stops_unhelped", &["--quirks", "off"]) else { return };
    assert_eq!(told.one("ended"), false, "its job has ended and it does not know");
    let told =
        over_websocket("budget_unhelped", &["--quirks", "stop-as-result,pause-before-replay"]).unwrap();
    assert_eq!(told.one("error"), "ValidationError");
}

#[test]
fn one_key_is_one_job() {
    for told in both("idempotency") {
        assert_eq!(told.all("same"), [true, true]);
        assert_eq!(*told.one("result"), json!({ "count": 3 }));
        assert_eq!(*told.one("ended"), json!({ "count": 3 }));
        assert_eq!(error(told.one("refused"), "DuplicateKeyError").0, "DUPLICATE_KEY");
    }
}

/// A refused request fails every job of its client that is open, since its reader takes any `session.error` for the end of all: here
/// none is.
#[test]
fn every_code_is_its_error() {
    let Some(told) = over_websocket("errors", &[]) else { return };
    assert_eq!(error(told.one("token"), "UnauthenticatedError").0, "UNAUTHENTICATED");
    let codes: Vec<&str> = told.one("codes").as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(codes.len(), 15);
    let jobs = told.all("job");
    assert_eq!(jobs.iter().map(|job| job["code"].as_str().unwrap()).collect::<Vec<_>>(), codes);
    let retryable = |job: &&&Value| job["retryable"] == true;
    let retryable: Vec<_> = jobs.iter().filter(retryable).map(|job| job["code"].as_str().unwrap()).collect();
    assert_eq!(retryable, ["TIMEOUT", "INTERNAL_ERROR"]);
    assert_eq!(error(told.one("panic"), "InternalError"), ("INTERNAL_ERROR", true));
    let requests: Vec<&str> = told.all("request").iter().map(|told| told["type"].as_str().unwrap()).collect();
    let types = "AgentNotAvailableError AgentVersionNotAvailableError InvalidRequestError JobNotFoundError InvalidRequestError";
    assert_eq!(requests, types.split(' ').collect::<Vec<_>>());
    assert_eq!(*told.one("after"), json!({ "echoed": 1 }));
    assert_eq!(over_stdio("errors", &[]).unwrap().one("token")["code"], "UNAUTHENTICATED");
}

#[test]
fn listing_and_subscribing() {
    let Some(told) = over_websocket("observe", &[]) else { return };
    assert_eq!(*told.one("running"), json!([true]));
    assert_eq!((told.one("pages"), told.one("more")), (&json!(["sleep@1.0.0", "count@1.0.0"]), &Value::Null));
    assert_eq!(*told.one("credentials"), json!([null, null]));
    assert_eq!(told.one("replayed"), true);
    let past: Vec<String> = (0..5).map(|n| format!("event {n}")).collect();
    assert_eq!(*told.one("past"), json!(past));
    assert_eq!(*told.one("result"), json!({ "count": 5 }));
    assert_eq!((told.one("phases"), told.one("status")), (&json!(["sleeping"]), &json!("cancelled")));
    assert_eq!(told.one("unsubscribed"), true);
    let numbers: Vec<u64> = serde_json::from_value(told.one("numbers").clone()).unwrap();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    for told in both("replay_at_once") {
        assert_eq!(told.all("counts"), [0, 1, 2, 20].map(|n| json!(vec![n; 5])).iter().collect::<Vec<_>>());
    }
}

#[test]
fn streamed_results() {
    for told in both("chunks") {
        assert_eq!(told.all("encoding"), ["utf8", "base64"]);
        assert_eq!((told.all("right"), told.all("size")), (vec![&json!(true); 2], vec![&json!(true); 2]));
        assert_eq!(told.all("summary"), ["streamed 3 chunks", "streamed 3 chunks"]);
        assert_eq!(told.one("inline"), true);
        assert_eq!(told.one("assembled"), "aaabbb");
    }
}

#[test]
fn a_session_is_resumed_over_cuts_without_a_gap() {
    let Some(told) = over_websocket("resume", &[]) else { return };
    assert_eq!((told.all("resumed"), told.all("rotated")), (vec![&json!(true); 3], vec![&json!(true); 3]));
    assert_eq!(*told.one("numbers"), json!((1..=41).collect::<Vec<_>>()));
    assert_eq!(told.one("goes_on"), "cancelled");
    assert_eq!(error(told.one("stale"), "PermissionDeniedError").0, "PERMISSION_DENIED");
}

#[test]
fn twenty_jobs_at_once_are_acknowledged() {
    for told in both("acks") {
        assert_eq!(told.one("jobs"), 20);
        assert_eq!((told.one("results"), told.one("events")), (&json!(vec![50; 20]), &json!(vec![50; 20])));
        assert_eq!((told.one("in_order"), told.one("rising")), (&json!(true), &json!(true)));
        assert!(told.one("acked").as_u64().unwrap() > 0);
        assert_eq!(*told.one("numbers"), json!((1..=20 * 51).collect::<Vec<_>>()));
        assert_eq!(*told.one("after"), json!({ "echoed": 1 }));
    }
}

#[test]
fn it_is_heard_while_it_has_nothing_to_say() {
    let Some(told) = over_websocket("heartbeats", &["--heartbeat-interval", "1"]) else { return };
    assert_eq!(*told.one("done"), json!({ "slept_ms": 3_200 }));
    assert!(told.one("pinged").as_u64().unwrap() >= 2);
}

#[test]
fn credentials_are_shown_to_the_submitter_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, ledger) = (directory.path().join("gateway"), directory.path().join("ledger"));
    let more =
        ["--fixture-gateway", gateway.to_str().unwrap(), "--credential-ledger", ledger.to_str().unwrap()];
    let Some(told) = over_websocket("credentials", &more) else { return };
    assert_eq!(told.one("credential")["scheme"], "bearer");
    assert_eq!(told.one("constraints")["cost_budget"], json!(["USD:2.00"]));
    assert_eq!((told.one("same"), told.one("new")), (&json!([true]), &json!([true])));
    assert_eq!(told.one("done"), "success");
    assert_eq!(*told.one("redacted"), json!([true]));
}

#[test]
fn its_program_submits_to_our_runtime_and_watches_it() {
    let Some(python) = python() else { return };
    let (_runtime, url) = serve(&[]);
    let run = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "arcp"]).args(words).args(["--url", &url, "--token", "s3cret"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let submitted: Value =
        serde_json::from_str(&run(&["submit", "--agent", "echo", "--input", "7"])).unwrap();
    assert_eq!(submitted["result"], json!({ "echoed": 7 }));
    let listed = arcp().args(["jobs", "--json", "--url", &url, "--token", "s3cret"]).output().unwrap();
    let listed: Value =
        serde_json::from_slice(listed.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let tailed = run(&["tail", "--job-id", listed["job_id"].as_str().unwrap()]);
    assert!(
        tailed.contains("echo started") && tailed.lines().last().unwrap().contains("\"echoed\": 7"),
        "{tailed}"
    );
}
