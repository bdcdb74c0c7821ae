//! `arcp top` as somebody at a terminal meets it: keys in, a screen out.
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::program::{Serving, arcp, exits, serve, text};

/// How long something may take to be on the screen, or off it.
const DUE: Duration = Duration::from_secs(60);

/// The program in a terminal of its own.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

struct Shown {
    parser: vt100::Parser,
    over: bool,
}

impl Terminal {
    fn open(serving: &Serving, home: &tempfile::TempDir, rows: u16, columns: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin!("arcp"));
        command.args(["top", "--url", &serving.url]);
        for (name, value) in
            [("ARCP_TOKEN", "s3cret"), ("ARCP_CONFIG", ""), ("TERM", "xterm-256color"), ("RUST_LOG", "trace")]
        {
            command.env(name, value);
        }
        command.env("XDG_STATE_HOME", home.path());
        command.env("HOME", home.path());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let size = |length| NonZeroU16::new(length).unwrap();
        let shown = Shown { parser: vt100::Parser::new(size(rows), size(columns), 0), over: false };
        let shown = Arc::new((Mutex::new(shown), Condvar::new()));
        let writer = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = reader.read(&mut bytes).unwrap_or(0); // the terminal is gone with the program
                let mut shown = writer.0.lock().unwrap();
                shown.parser.process(&bytes[..read]);
                shown.over = read == 0;
                writer.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { child, master: pair.master, keys, shown }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as it should be, and gives its text.
    #[track_caller]
    fn until(&self, due: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DUE;
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            let screen = shown.parser.screen().contents();
            if due(&screen) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !shown.over, "it never was:\n{screen}");
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.until(|screen| screen.contains(text))
    }

    /// Waits for the end of the program, and gives its exit code, with the terminal as it was before.
    fn restored(mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        let mut shown = self.shown.0.lock().unwrap();
        let taken = |shown: &Shown| {
            let screen = shown.parser.screen();
            screen.alternate_screen() || screen.hide_cursor()
        };
        while !shown.over && taken(&shown) {
            shown = self.shown.1.wait(shown).unwrap();
        }
        assert!(!taken(&shown), "the terminal is not as it was");
        let modes = self.master.get_termios().unwrap();
        assert!(format!("{:?}", modes.local_flags).contains("ICANON"), "{modes:?}");
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn detach(serving: &Serving, home: &tempfile::TempDir, agent: &str, input: &str, more: &[&str]) -> String {
    let mut submit = serving.submit(&[&[agent, "--detach", "--input", input][..], more].concat());
    let output = submit.env("XDG_STATE_HOME", home.path()).env("HOME", home.path()).output().unwrap();
    exits(&output, 0);
    text(&output.stdout).trim().to_owned()
}

#[test]
fn a_job_appears_goes_on_is_followed_and_cancelled() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = Terminal::open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    let job = detach(&serving, &home, "progress", r#"{"total":1000000,"delay_ms":20}"#, &[]);
    terminal.shows("progress@1.0.0");
    let first = terminal.shows("progress 1");
    terminal.until(|screen| screen.contains("progress ") && *screen != first);

    terminal.press("\r");
    let screen = terminal.shows(&format!("── {job} progress@1.0.0 running ── followed"));
    assert!(screen.contains("1 running"), "{screen}");
    terminal.press("c");
    terminal.shows(&format!("cancel {job}? y or n"));
    terminal.press("n");
    terminal.shows("nothing is cancelled");
    terminal.press("cy");
    terminal.shows(&format!("{job} is cancelled"));
    terminal.shows("progress@1.0.0 cancelled");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
    let mut tail = arcp();
    tail.args(["tail", &job, "--url", &serving.url, "--json"]).env("ARCP_TOKEN", "s3cret");
    assert!(text(&tail.output().unwrap().stdout).contains("CANCELLED"));
}

#[test]
fn who_may_not_cancel_a_job_is_told_why() {
    let (serving, home, elsewhere) = (serve(&[]), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let job = detach(&serving, &elsewhere, "sleep", r#"{"ms":6000000}"#, &[]);
    let mut terminal = Terminal::open(&serving, &home, 24, 120);
    terminal.shows("status sleeping");
    terminal.press("cy");
    terminal.shows(&format!("not cancelled: {job}: only the session that submitted a job may cancel it"));
    terminal.press("\u{3}");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn children_budgets_leases_and_filters_are_shown() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let child = r#"{"agent":"operate","input":{"operations":[
        {"capability":"fs.read","target":"/data/a","cost":{"USD":3}},
        {"capability":"fs.read","target":"/data/b","delay_ms":6000000}]},
        "lease_request":{"fs.read":["/data/**"],"cost.budget":["USD:4"]}}"#;
    let lease = r#"{"fs.read":["/data/**"],"agent.delegate":["*"]}"#;
    let more = ["--lease", lease, "--budget", "USD:5", "--expires", "1h"];
    let parent = detach(&serving, &home, "delegate", child, &more);
    detach(&serving, &home, "sleep", r#"{"ms":6000000}"#, &[]);
    let mut terminal = Terminal::open(&serving, &home, 30, 140);
    terminal.until(|screen| {
        let below = |line: &str| {
            line.contains("└ job_") && line.contains("operate@1.0.0") && line.contains("▰▱▱▱▱ 1 USD")
        };
        screen.lines().any(below) && screen.contains("59m") && screen.contains(&parent)
    });
    terminal.press("/operate\r");
    terminal.until(|screen| screen.contains("operate@1.0.0") && !screen.contains("sleep@1.0.0"));
    terminal.press("\u{1b}");
    terminal.shows("sleep@1.0.0");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn a_small_terminal_that_is_made_larger_is_drawn_again() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let terminal = Terminal::open(&serving, &home, 2, 9);
    terminal.shows("connecte");
    let size = |length| NonZeroU16::new(length).unwrap();
    terminal.shown.0.lock().unwrap().parser.screen_mut().set_size(size(24), size(80));
    terminal.master.resize(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    terminal.shows("q quit  ↑↓ select");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let terminal = Terminal::open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    let id = terminal.child.process_id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(terminal.restored(), 130);
}

#[test]
fn a_runtime_that_is_gone_is_said_to_be() {
    let (mut serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = Terminal::open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    terminal.shows("CONNECTION LOST, trying again");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let output = arcp().args(["top", "--token", "t"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("arcp jobs"), "{}", text(&output.stderr));
}
