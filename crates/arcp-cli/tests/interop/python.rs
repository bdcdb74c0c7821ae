//! The SDK's interpreter, and scripts that run in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// An interpreter with the SDK. Without one the test is skipped, which is said, or fails in CI.
pub(crate) fn python() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-sdk-1.1.3");
    let output = Command::new("python3").arg(script("environment.py")).arg(place).output();
    let told = match output {
        Ok(output) if output.status.success() => serde_json::from_slice(&output.stdout).unwrap(),
        Ok(output) => serde_json::json!({ "absent": String::from_utf8_lossy(&output.stderr) }),
        Err(error) => serde_json::json!({ "absent": format!("python3 cannot be started: {error}") }),
    };
    let told: Value = told;
    if let Some(python) = told["python"].as_str() {
        return Some(PathBuf::from(python));
    }
    let reason = told["absent"].as_str().unwrap_or("nothing is known");
    assert!(std::env::var_os("CI").is_none(), "the published SDK is needed in CI: {reason}");
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    let line =
        format!("skipped: {test}: the published Python SDK is not here: {reason} (CI=1 makes this fail)\n");
    // By no macro: what those print of a test that passes is kept back.
    let _ = std::io::stderr().write_all(line.as_bytes()); // if stderr is gone there is nobody to tell
    None
}

/// A child process, killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that says where it listens, in a line that begins with `announced` on its stdout or stderr.
pub(crate) fn listening(mut command: Command, announced: &str, on_stderr: bool) -> (Running, String) {
    if on_stderr {
        command.stderr(Stdio::piped());
    } else {
        command.stdout(Stdio::piped());
    }
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let stream: Box<dyn std::io::Read + Send> = match on_stderr {
        true => Box::new(child.stderr.take().unwrap()),
        false => Box::new(child.stdout.take().unwrap()),
    };
    let mut lines = BufReader::new(stream).lines();
    let mut said = Vec::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else { panic!("it ended before it listened: {said:#?}") };
        match line.strip_prefix(announced) {
            Some(rest) => break format!("{}{rest}", if announced == "ws://" { "ws://" } else { "" }),
            None => said.push(line),
        }
    };
    // What it says from now on must be read, or it waits.
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), url)
}

/// What a script has told, in order: each line has one thing, by its name.
#[derive(Debug)]
pub(crate) struct Told(Vec<Value>);

impl Told {
    /// Runs a script to its end.
    pub(crate) fn by(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stdout}\n{stderr}");
        Self(stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Everything that was told under a name.
    pub(crate) fn all(&self, name: &str) -> Vec<&Value> {
        self.0.iter().filter_map(|line| line.get(name)).collect()
    }

    /// The one thing that was told under a name.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> &Value {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}: {self:#?}");
        all[0]
    }
}
