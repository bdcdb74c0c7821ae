//! What need not be typed: `arcp.toml` and the environment.

use std::process::{Command, Output};

use crate::program::{arcp, exits, serve, text};

/// A directory with an `arcp.toml`.
fn file(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("arcp.toml"), text).unwrap();
    directory
}

fn with(directory: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = arcp();
    command.args(arguments).env("ARCP_CONFIG", directory.path().join("arcp.toml"));
    command
}

#[track_caller]
fn fails(output: &Output, said: &[&str]) {
    exits(output, 2);
    let stderr = text(&output.stderr);
    for part in said {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn a_file_gives_the_url_and_the_token() {
    let serving = serve(&["--token", "other=bob"]);
    let directory = file(&format!(
        "url = '{0}'\ntoken-file = 'secret'\n[profile.bob]\nurl = '{0}'\ntoken_env = 'OF_BOB'\n",
        serving.url
    ));
    std::fs::write(directory.path().join("secret"), "s3cret\n").unwrap();
    let who = |arguments: &[&str], variables: &[(&str, &str)]| {
        let arguments = [&["submit", "whoami"], arguments].concat();
        let output = with(&directory, &arguments).envs(variables.iter().copied()).output().unwrap();
        exits(&output, 0);
        let told: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        told["principal"].as_str().unwrap().to_owned()
    };
    assert_eq!(who(&[], &[]), "alice");
    assert_eq!(who(&[], &[("ARCP_TOKEN", "other")]), "bob", "the environment comes first");
    assert_eq!(who(&["--token", "s3cret"], &[("ARCP_TOKEN", "other")]), "alice", "and a flag before it");
    assert_eq!(who(&["--profile", "bob"], &[("OF_BOB", "other"), ("ARCP_TOKEN", "s3cret")]), "bob");
    assert_eq!(who(&[], &[("OF_BOB", "other"), ("ARCP_PROFILE", "bob")]), "bob");
    let path = directory.path().join("arcp.toml");
    let output = arcp().args(["submit", "whoami", "--config"]).arg(path).output().unwrap();
    exits(&output, 0);
}

/// Whoever can have another url used must not get the token.
#[test]
fn the_token_of_a_file_is_for_the_runtime_of_that_file() {
    let directory = file("url = 'wss://agents.example.com'\ntoken-env = 'HELD'");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    for output in [
        with(&directory, &["jobs", "--url", &url]).env("HELD", "hunter2").output().unwrap(),
        with(&directory, &["jobs"]).env("ARCP_URL", &url).env("HELD", "hunter2").output().unwrap(),
    ] {
        fails(&output, &["no token for ws://", "wss://agents.example.com", "ARCP_TOKEN"]);
        assert!(!text(&output.stderr).contains("hunter2"));
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody has connected");
    let child = ["submit", "echo", "--stdio", "--", "cat"];
    fails(&with(&directory, &child).env("HELD", "hunter2").output().unwrap(), &["no token"]);
}

#[test]
fn a_file_where_the_program_is_started_is_not_read() {
    let directory = file("nonsense = 1");
    let mut command = arcp();
    command.args(["jobs"]).current_dir(&directory).env_remove("ARCP_CONFIG");
    let home = tempfile::tempdir().unwrap();
    command.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
    fails(&command.output().unwrap(), &["no token: set ARCP_TOKEN"]);
    #[cfg(target_os = "linux")]
    {
        std::fs::create_dir_all(home.path().join("config/arcp")).unwrap();
        std::fs::write(home.path().join("config/arcp/arcp.toml"), "nonsense = 1").unwrap();
        fails(&command.output().unwrap(), &["config/arcp/arcp.toml: nonsense: there is no such setting"]);
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_what_is_allowed() {
    for (text, said) in [
        ("urll = 'x'", &["arcp.toml: urll: there is no such setting", "token-file"][..]),
        ("token = 'hunter2'", &["token: there is no such setting"]),
        ("url = 3", &["arcp.toml: url: ", "string"]),
        ("log-format = 'xml'", &["log-format: ", "pretty", "json"]),
        ("[serve]\nlistne = 'x'", &["serve.listne: there is no such setting", "listen"]),
        ("[serve]\nbuffer-events = 0", &["arcp.toml: serve.buffer-events: must be at least 1"]),
        ("[serve]\nbuffer-events = 1.5", &["serve.buffer-events: "]),
        ("[serve]\notlp = 'http://a'\notlp-sample = true", &["serve.otlp-sample: must be text or a number"]),
        ("[serve]\notlp = 'ftp://a'\notlp-sample = 0.1", &["--otlp"]),
        ("[serve]\nfixtures = 'yes'", &["serve.fixtures: must be true or false"]),
        ("[serve]\nlisten = ['a']", &["serve.listen: must be one value"]),
        ("[serve]\ndurability = 'some'", &["serve.durability: use one of full, normal"]),
        ("[serve]\ntoken = 'hunter2=me'", &["serve.token: ", "token-file"]),
        ("[serve]\njwt-issuer = 'https://a'", &["jwt-audience", "serve.jwt-issuer"]),
        ("[serve]\ntoken-file = 'a'\ntoken_file = 'b'", &["twice"]),
    ] {
        let output = with(&file(text), &["serve", "--store", "memory", "--dev-token"]).output().unwrap();
        fails(&output, said);
        assert!(!self::text(&output.stderr).contains("hunter2"));
    }
    let output = arcp().args(["jobs", "--config", "/does/not/exist.toml"]).output().unwrap();
    fails(&output, &["cannot read /does/not/exist.toml"]);
    fails(
        &with(&file("[profile.a]"), &["jobs", "--profile", "b"]).output().unwrap(),
        &["no profile b", "are a"],
    );
}

/// Somebody may have put it there, and what the program says ends up in logs.
#[test]
fn a_token_in_a_file_that_is_wrong_is_not_repeated() {
    for (text, said) in [
        ("url = 'ws://a'\ntoken-env = hunter2", "arcp.toml: line 2, column 13: "),
        ("[profile.a]\ntoken-env = 'hunter2", "arcp.toml: line 2, column 21: "),
        ("hunter2=alice\nother=bob", "arcp.toml: line 1, column 9: "),
        ("token-env = ['hunter2']", "token-env: must be a string, and is a list"),
        ("token-env = { hunter2 = 1 }", "token-env: must be a string, and is a table"),
        ("profile = 'hunter2'", "profile: must be "),
        ("serve = 'hunter2'", "serve: must be "),
        ("log-format = 'hunter2'", "log-format: use one of"),
        ("[serve]\ntoken-file = { hunter2 = 1 }", "serve.token-file: must be text or a number"),
    ] {
        let output = with(&file(text), &["serve", "--store", "memory", "--dev-token"]).output().unwrap();
        fails(&output, &[said]);
        assert!(!self::text(&output.stderr).contains("hunter2"), "{}", self::text(&output.stderr));
    }
}

#[test]
fn a_secret_in_a_variable_that_is_wrong_is_not_repeated() {
    for (name, value) in [
        ("ARCP_SERVE_TOKEN", "hunter2"),
        ("ARCP_SERVE_TOKEN", "ok=alice\nhunter2="),
        ("ARCP_SERVE_TOKEN", "alice=hunter2\nalice=hunter2too"),
        ("ARCP_SERVE_DEV_TOKEN", "hunter2"),
    ] {
        let mut serve = arcp();
        serve.args(["serve", "--store", "memory", "--listen", "127.0.0.1:0"]).env(name, value);
        let output = serve.output().unwrap();
        fails(&output, &[]);
        assert!(!text(&output.stderr).contains("hunter2"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_variable_that_nobody_reads_is_named_with_the_one_that_was_meant() {
    let directory = file(
        "url = 'ws://runtime.invalid'\n[profile.a]\nurl = 'ws://runtime.invalid'\ntoken-env = 'ARCP_TOKEN_HERE'",
    );
    let mut jobs = with(&directory, &["jobs"]);
    for name in ["ARCP_TOEKN", "ARCP_SERVE_LITSEN", "ARCP_TOKEN_HERE", "ARCP_SERVE_STORE"] {
        jobs.env(name, "hunter2");
    }
    let output = jobs.output().unwrap();
    fails(&output, &["no token: set ARCP_TOKEN"]);
    let stderr = text(&output.stderr);
    let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(
        warnings,
        [
            "arcp: warning: the variable ARCP_SERVE_LITSEN is not read: is ARCP_SERVE_LISTEN meant?",
            "arcp: warning: the variable ARCP_TOEKN is not read: is ARCP_TOKEN meant?",
        ]
    );
    assert!(!stderr.contains("hunter2"), "{stderr}");

    let mut serve = arcp();
    serve.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--dev-token",
        "--store",
        "memory",
        "--log-format",
        "json",
    ]);
    let said = said({
        serve.env("ARCP_SERVE_FIXTURE", "true");
        serve
    });
    let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let due = "the variable ARCP_SERVE_FIXTURE is not read: is ARCP_SERVE_FIXTURES meant?";
    assert_eq!((&first["level"], &first["fields"]["message"]), (&"WARN".into(), &due.into()));
    let output = arcp().args(["completions", "bash"]).env("ARCP_TOEKN", "t").output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

/// What `arcp serve` says before it listens, and where it does.
fn said(mut command: Command) -> String {
    use std::io::{BufRead, BufReader};
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    for line in lines {
        let last = line.starts_with("listening on ");
        said.push(line);
        if last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.join("\n")
}

#[test]
fn serve_is_set_up_by_flags_then_variables_then_the_file() {
    let directory = file(
        "log-format = 'json'\n[serve]\nlisten = 'file.invalid:1'\nfixtures = true\nstore = 'memory'\ntoken-file = 'tokens'\nobserve = ['a=b', 'c=d']\nbuffer-events = 7\n",
    );
    std::fs::write(directory.path().join("tokens"), "s3cret=alice\n").unwrap();
    let from_file = with(&directory, &["serve"]).output().unwrap();
    fails(&from_file, &["cannot listen at file.invalid:1"]);
    let from_variable =
        with(&directory, &["serve"]).env("ARCP_SERVE_LISTEN", "variable.invalid:1").output().unwrap();
    fails(&from_variable, &["cannot listen at variable.invalid:1"]);
    let mut flag = with(&directory, &["serve", "--listen", "127.0.0.1:0"]);
    flag.env("ARCP_SERVE_LISTEN", "variable.invalid:1").env("ARCP_SERVE_FIXTURES", "false");
    let said = said(flag);
    assert!(said.contains("listening on ws://127.0.0.1:"), "{said}");
    let told: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| !line.starts_with("listening"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let message = |told: &serde_json::Value| told["fields"]["message"].as_str().unwrap().to_owned();
    assert!(told.iter().any(|told| message(told).contains("no agent is hosted")), "{said}");
}

#[test]
fn what_a_variable_says_wrong_is_named() {
    for (name, value, said) in [
        ("ARCP_SERVE_BUFFER_EVENTS", "0", "ARCP_SERVE_BUFFER_EVENTS: must be at least 1"),
        ("ARCP_SERVE_FIXTURES", "yes", "ARCP_SERVE_FIXTURES: use true or false"),
        ("ARCP_LOG_FORMAT", "xml", "ARCP_LOG_FORMAT: use pretty or json"),
        ("ARCP_LOG", "gar!!bage=[", "ARCP_LOG: "),
    ] {
        let mut serve = arcp();
        serve.args(["serve", "--store", "memory", "--dev-token", "--listen", "127.0.0.1:0"]).env(name, value);
        fails(&serve.output().unwrap(), &[said]);
    }
}

/// A flag that excludes a setting comes before it.
#[test]
fn a_setting_yields_to_a_flag_that_excludes_it() {
    let directory = file("[serve]\nlisten = 'file.invalid:1'\n");
    let mut serve = with(&directory, &["serve", "--stdio", "--fixtures", "--token", "s3cret=me"]);
    let output = serve.output().unwrap(); // its stdin is empty
    exits(&output, 0);
}

#[test]
fn usage_shows_nothing_that_was_not_asked_for() {
    let mut command = arcp();
    let output =
        command.args(["tail"]).env("ARCP_URL", "ws://a").env("ARCP_TOKEN", "hunter2").output().unwrap();
    fails(&output, &["Usage: arcp tail"]);
    let stderr = text(&output.stderr);
    assert!(
        !stderr.contains("--url <URL> ")
            && !stderr.contains("--token <TOKEN> ")
            && !stderr.contains("hunter2"),
        "{stderr}"
    );
}
