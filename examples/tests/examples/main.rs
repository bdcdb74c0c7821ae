//! Every example, run as a newcomer runs it, and what it prints. Those that need more than that have tests of their own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Cargo builds examples beside the tests of their package, but names them to nobody.
fn run(example: &str) -> Output {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let program = path.join(example).with_extension(std::env::consts::EXE_EXTENSION);
    Command::new(program).output().unwrap()
}

/// Runs an example, and gives what it wrote to stderr.
#[track_caller]
fn prints(example: &str, expected: &str) -> String {
    let output = run(example);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{example}: {}\n{stdout}{stderr}", output.status);
    assert_eq!(stdout, expected, "{example}: {stderr}");
    stderr
}

macro_rules! examples {
    ($($name:ident: $expected:literal;)*) => {
        $(
            #[test]
            fn $name() {
                prints(stringify!($name), $expected);
            }
        )*
    };
}

examples! {
    host_agent: "Good morning, Grace!\n\
        job ended in an error: INVALID_REQUEST: input: a name must have letters\n";
    stdio_child: "info reversing 8 characters\n\
        desserts\n";
    resume_after_cut: "the connection is cut after 100 events\n\
        10000 events, each once and in order; the result is 10000\n\
        the connection is there again: true\n";
    resume_after_restart: "first process: info waiting for somebody who cancels\n\
        second process: info waiting for somebody who cancels\n\
        second process: info somebody has come\n\
        second process: job was cancelled: CANCELLED: cancelled by the client\n";
    subscribe: "status compiling\n\
        status linking\n\
        a.out\n\
        runtime refused the request: PERMISSION_DENIED: only the session that submitted a job may cancel it\n";
    list_jobs: "wait@1.0.0 running\n\
        echo@1.0.0 success\n\
        echo@1.0.0 success\n\
        echo@1.0.0 success\n\
        running: 1, and it is the one: true\n\
        echoes: 3\n";
    cancel: "progress 1 m\n\
        info filling the hole up again\n\
        CANCELLED: there is a pipe\n";
    idempotent_retry: "paid 1999 cents\n\
        paid 1999 cents, the same job: true\n\
        payments: 1\n\
        runtime refused the request: DUPLICATE_KEY: idempotency_key was used for a submit with other parameters\n";
    agent_versions: "hello: 1.0.0, 2.0.0-rc.1, and 1.0.0 if nothing is said\n\
        hello@1.0.0: Hello, Ada\n\
        hello@2.0.0-rc.1: Ahoy, Ada\n\
        runtime refused the request: AGENT_VERSION_NOT_AVAILABLE: hello@3.0.0 is not registered, hello has 1.0.0, 2.0.0-rc.1\n";
    typed_agent: "{\n\
        \x20 \"description\": \"In pixels.\",\n\
        \x20 \"format\": \"uint32\",\n\
        \x20 \"maximum\": 10000,\n\
        \x20 \"minimum\": 1,\n\
        \x20 \"type\": \"integer\"\n\
        }\n\
        1200 pixels\n\
        \"input.width\": \"value is not of type \\\"integer\\\"\"\n\
        \"input.width\": \"value is less than the minimum of 1\"\n\
        \"input\": \"\\\"height\\\" is a required property\"\n";
    lease_violation: "public/notes.txt: for everybody\n\
        private.txt: PERMISSION_DENIED\n\
        public/../private.txt: PERMISSION_DENIED\n\
        public/link.txt: PERMISSION_DENIED\n";
    lease_expiry: "info the door may be opened\n\
        info LeaseExpired, and then LEASE_EXPIRED\n\
        LEASE_EXPIRED\n";
    cost_budget: "metric cost.search 0.40 USD\n\
        metric cost.budget.remaining 0.60 USD\n\
        metric cost.search 0.40 USD\n\
        metric cost.budget.remaining 0.20 USD\n\
        metric cost.search 0.40 USD\n\
        metric cost.budget.remaining -0.20 USD\n\
        warn no further than 3 of them: budget is exhausted: -0.20 USD left\n\
        3 answers; left: -0.20\n";
    streamed_result: "200000 lines in 2288890 bytes, in more than one piece: true\n\
        \"line 0\\nline 1\\n\"\n\
        2 lines\n";
    delegation: "delegate translate\n\
        delegate translate\n\
        delegate print\n\
        warn agent.delegate of print is not granted; the closest grant is translate\n\
        «one» «two»\n\
        translate@1.0.0 of true: «one»\n\
        translate@1.0.0 of true: «two»\n\
        left: 1.40\n";
    opentelemetry: "one trace: true\n\
        plan a party (internal)\n\
        \x20 invoke_agent planner (server) success\n\
        \x20   invoke_agent shopper (internal) success\n\
        \x20     execute_tool weigh (internal)\n\
        arcp_jobs_ended_total{status=\"success\"} 2\n";
    provisioned_credentials: "why? Because.\n\
        bearer at https://llm.example.com/v1: Some([\"USD:0.50\"])\n\
        CredentialValue([redacted])\n\
        the key is not known here\n";
    jwt: "ci may read /srv/build/log/*\n\
        PERMISSION_DENIED\n\
        UNAUTHENTICATED\n";
    vendor_events: "a stroke from (0, 0) to (0, 9)\n\
        a stroke from (1, 0) to (1, 9)\n\
        x-vendor.acme.signed \"a painter\"\n\
        2 strokes\n";
    llm_agent: "small/one: What a job may do, for how long, and for how much.\n\
        16 tokens, USD 0.468000 left\n\
        large/one: PERMISSION_DENIED\n";
    drive_core_by_hand: "open, with sum\n\
        event {\"level\":\"info\",\"message\":\"adding 3 numbers\"}\n\
        the sum is 6\n";
}

#[test]
fn mcp_tools() {
    let expected = "the server has files_delete, text_words\n\
        tool_call text_words {\"text\":\"one two three\"}\n\
        tool_result \"3\"\n\
        -> 3\n\
        tool_call files_delete {\"text\":\"everything\"}\n\
        tool_result PERMISSION_DENIED: tool.call of files_delete is not granted; the closest grant is text_*\n\
        -> PERMISSION_DENIED\n";
    let stderr = prints("mcp_tools", expected);
    assert!(stderr.contains("server: counting words"), "{stderr}");
    assert!(!stderr.contains("deleting"), "what is denied does not come to the server: {stderr}");
}

#[test]
fn every_example_is_run_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let examples = manifest.split("[[example]]").skip(1).map(|entry| entry.split('"').nth(1).unwrap());
    let mut tests = String::new();
    for topic in std::fs::read_dir(root.join("tests")).unwrap() {
        tests += &std::fs::read_to_string(topic.unwrap().path().join("main.rs")).unwrap();
    }
    let missing: Vec<_> = examples.filter(|name| !tests.contains(name)).collect();
    assert!(missing.is_empty(), "no test runs {}", missing.join(", "));
}
