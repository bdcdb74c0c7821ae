//! Children: started, spoken with, and never left behind.

use std::{error::Error, io, process::Stdio, time::Duration};

use arcp_transport::{BoxTransport, ConnectError, Connector, Frame, TransportError};
use arcp_transport_stdio::ChildConnector;
use futures_util::{SinkExt, StreamExt};
use tokio::{process::Command, sync::mpsc};
use tracing::subscriber::DefaultGuard;

use crate::{closed, frame, numbered, once};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Tells its pid, and then heeds neither the end of its input nor a polite signal.
const STUBBORN: &str = r#"trap "" TERM; echo $$; exec tail -f /dev/null"#;

fn sh(script: &str) -> ChildConnector {
    ChildConnector::new("sh").arg("-c").arg(script)
}

/// The next frame, as a number.
async fn pid(link: &mut BoxTransport) -> u32 {
    let Frame::Text(pid) = frame(link).await else { panic!("a pid comes first") };
    pid.parse().unwrap()
}

/// Whether there is such a process, if only because nobody has reaped it.
async fn is_there(pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().await.unwrap().success()
}

/// Collects what is logged on this thread at level info and above.
fn logs() -> (mpsc::UnboundedReceiver<String>, DefaultGuard) {
    struct Lines(mpsc::UnboundedSender<String>);
    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8(line.to_vec()).unwrap());
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || Lines(sender.clone()))
        .with_ansi(false)
        .without_time()
        .finish();
    (receiver, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn frames_pass_both_ways_and_the_child_exits_when_the_link_is_closed() {
    let mut link = ChildConnector::new("cat").with_grace(LONG).connect().await.unwrap();
    for number in 0..10 {
        link.send(numbered(number)).await.unwrap();
        assert_eq!(frame(&mut link).await, numbered(number));
    }
    link.close().await.unwrap();
    link.close().await.unwrap();
    assert!(link.next().await.is_none());
    assert!(matches!(link.send(numbered(0)).await, Err(TransportError::Closed)));
}

#[tokio::test]
async fn a_close_frame_is_answered_by_the_child_that_exits() {
    let mut link = ChildConnector::new("cat").with_grace(LONG).connect().await.unwrap();
    link.feed(numbered(0)).await.unwrap();
    link.send(Frame::close(arcp_transport::CloseCode::NORMAL, "")).await.unwrap();
    assert_eq!(frame(&mut link).await, numbered(0));
    assert_eq!(frame(&mut link).await, closed());
    assert!(link.next().await.is_none());
    link.close().await.unwrap();
}

#[tokio::test]
async fn long_frames_pass_through_real_pipes() {
    let link = ChildConnector::new("cat").connect().await.unwrap();
    let (mut sink, mut stream) = link.split();
    let sent: Vec<_> = ["a", "b", "c"].map(|letter| Frame::text(letter.repeat(3 << 20))).into();
    let sending = async {
        for frame in &sent {
            sink.feed(frame.clone()).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let receiving = async {
        for frame in &sent {
            assert_eq!(stream.next().await.unwrap().unwrap(), *frame);
        }
    };
    tokio::join!(sending, receiving);
    sink.close().await.unwrap();
}

#[tokio::test]
async fn the_child_has_its_arguments_environment_and_directory() {
    let connector = sh(r#"echo "$1 $2 $GIVEN ${CARGO_MANIFEST_DIR-nothing}"; pwd"#)
        .args(["zero", "one two", "$GIVEN"])
        .env("GIVEN", "given")
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir("/");
    let mut link = connector.connect().await.unwrap();
    assert_eq!(frame(&mut link).await, Frame::text("one two $GIVEN given nothing"));
    assert_eq!(frame(&mut link).await, Frame::text("/"));
}

#[tokio::test]
async fn each_connect_starts_another_child() {
    let connector = sh("echo $$; cat");
    let mut first = connector.connect().await.unwrap();
    let mut second = connector.connect().await.unwrap();
    assert_ne!(pid(&mut first).await, pid(&mut second).await);
    drop(first);
    second.send(numbered(0)).await.unwrap();
    assert_eq!(frame(&mut second).await, numbered(0));
}

#[tokio::test]
async fn closing_sends_what_was_fed_and_leaves_the_child_its_time() {
    let (mut logs, _guard) = logs();
    let mut link = sh("wc -l >&2; exit 3").with_grace(LONG).connect().await.unwrap();
    link.feed(numbered(0)).await.unwrap();
    link.feed(numbered(1)).await.unwrap();
    link.close().await.unwrap();
    let (counted, exited) = (logs.try_recv().unwrap(), logs.try_recv().unwrap());
    assert!(counted.starts_with(" INFO arcp::child: 2 pid="), "{counted}");
    assert!(exited.contains("child exited") && exited.contains("exit status: 3"), "{exited}");
}

/// The clock is paused: it jumps to the end of the patience as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_exit_is_killed_and_reaped() {
    let mut link = sh(STUBBORN).connect().await.unwrap();
    let pid = pid(&mut link).await;
    assert!(is_there(pid).await);
    link.close().await.unwrap();
    assert!(!is_there(pid).await);
    link.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_read_cannot_hold_up_the_end() {
    let mut link = sh(STUBBORN).connect().await.unwrap();
    let pid = pid(&mut link).await;
    while let Some(fed) = once(link.feed(Frame::text("b".repeat(1 << 20)))) {
        fed.unwrap();
    }
    link.close().await.unwrap();
    assert!(!is_there(pid).await);
}

#[tokio::test]
async fn what_the_child_has_started_cannot_hold_up_the_end() {
    let script = "tail -f /dev/null & echo $!; cat";
    let mut link = sh(script).with_grace(LONG).connect().await.unwrap();
    let grandchild = pid(&mut link).await;
    link.close().await.unwrap();
    assert!(is_there(grandchild).await, "it holds the pipes open");
    let killed = Command::new("kill").arg(grandchild.to_string()).status().await.unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn dropping_the_link_kills_and_reaps_the_child() {
    let mut link = sh(STUBBORN).with_grace(LONG).connect().await.unwrap();
    let pid = pid(&mut link).await;
    drop(link);
    while is_there(pid).await {}
}

#[tokio::test]
async fn closing_that_is_given_up_can_be_taken_up_again() {
    let mut link = sh(STUBBORN).with_grace(LONG).connect().await.unwrap();
    let pid = pid(&mut link).await;
    assert!(once(link.close()).is_none());
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().await.unwrap();
    assert!(killed.success());
    link.close().await.unwrap();
    assert!(!is_there(pid).await);
}

#[tokio::test]
async fn a_child_that_exits_at_once_is_a_link_that_ends_at_once() {
    let mut link = ChildConnector::new("true").with_grace(LONG).connect().await.unwrap();
    assert_eq!(frame(&mut link).await, closed());
    assert!(link.next().await.is_none());
    assert!(matches!(link.send(numbered(0)).await, Err(TransportError::Closed)));
    link.close().await.unwrap();
}

#[tokio::test]
async fn what_a_child_said_before_it_exited_still_arrives() {
    let mut link = sh("echo 1; printf 2; exit 1").with_grace(LONG).connect().await.unwrap();
    assert_eq!(frame(&mut link).await, numbered(1));
    assert_eq!(frame(&mut link).await, numbered(2));
    assert!(link.next().await.is_none());
    link.close().await.unwrap();
}

#[tokio::test]
async fn a_link_ends_after_the_last_words_of_its_child() {
    let (mut logs, _guard) = logs();
    let mut link = sh("exec >&-; seq 20000 >&2; exit 2").with_grace(LONG).connect().await.unwrap();
    assert_eq!(frame(&mut link).await, closed());
    let mut last = [String::new(), String::new()];
    while let Ok(line) = logs.try_recv() {
        last.rotate_left(1);
        last[1] = line;
    }
    assert!(last[0].starts_with(" INFO arcp::child: 20000 pid="), "{last:?}");
    assert!(last[1].contains("exit status: 2"), "{last:?}");
}

#[tokio::test]
async fn writing_to_a_child_fails_after_its_last_words() {
    let (mut logs, _guard) = logs();
    let mut link = sh("exec <&-; seq 20000 >&2; exit 2").with_grace(LONG).connect().await.unwrap();
    while link.send(numbered(0)).await.is_ok() {}
    let lines = std::iter::from_fn(|| logs.try_recv().ok());
    assert!(lines.last().is_some_and(|line| line.contains("exit status: 2")));
}

#[tokio::test]
async fn both_halves_of_a_link_end_with_its_child() {
    let link = sh("exec <&- >&-; seq 20000 >&2; exit 2").with_grace(LONG).connect().await.unwrap();
    let (mut sink, mut stream) = link.split();
    let reading = tokio::spawn(async move { while stream.next().await.is_some() {} });
    let writing = tokio::spawn(async move { while sink.send(numbered(0)).await.is_ok() {} });
    reading.await.unwrap();
    writing.await.unwrap();
}

/// The clock is paused: it jumps to the end of the patience as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_child_that_only_ends_its_output_ends_the_link_a_little_later() {
    let mut link = sh(r#"trap "" TERM; exec >&-; exec tail -f /dev/null"#).connect().await.unwrap();
    assert_eq!(frame(&mut link).await, closed());
    link.close().await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named_with_what_to_do() {
    for (connector, text) in [
        (ChildConnector::new("arcp-no-such-program"), "cannot start arcp-no-such-program: there is no such"),
        (ChildConnector::new("/dev/null"), "cannot start /dev/null: check that it is a program"),
        (sh("true").current_dir("/no/such/directory"), "cannot start sh: there is no such"),
    ] {
        let error = connector.connect().await.err().unwrap();
        assert!(matches!(error, ConnectError::Start { .. }) && !error.is_transient(), "{error:?}");
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn what_a_child_writes_to_stderr_is_logged_line_by_line() {
    let (mut logs, _guard) = logs();
    let script = r#"printf 'first\nsec\377ond\r\nlast' >&2; echo $$"#;
    let mut link = sh(script).with_grace(LONG).connect().await.unwrap();
    let pid = pid(&mut link).await;
    link.close().await.unwrap();
    let mut lines = Vec::new();
    while lines.len() < 3 {
        let line = logs.recv().await.unwrap();
        lines.extend((!line.contains("child exited")).then_some(line));
    }
    let expected = ["first", "sec\u{fffd}ond", "last"];
    assert_eq!(lines, expected.map(|text| format!(" INFO arcp::child: {text} pid={pid}\n")));
}

#[tokio::test]
async fn a_long_line_on_stderr_is_logged_in_pieces() {
    let (mut logs, _guard) = logs();
    let mut link = sh("printf %020000d 7 >&2").with_grace(LONG).connect().await.unwrap();
    link.close().await.unwrap();
    let mut lengths = Vec::new();
    while lengths.len() < 3 {
        let line = logs.recv().await.unwrap();
        let text = line.strip_prefix(" INFO arcp::child: ").unwrap();
        if !text.starts_with("child exited") {
            lengths.push(text.split(' ').next().unwrap().len());
        }
    }
    assert_eq!(lengths, [8192, 8192, 20_000 - 2 * 8192]);
}

#[test]
fn debug_shows_neither_arguments_nor_values() {
    let connector = ChildConnector::new("arcp").arg("--token=hunter2").env("ARCP_TOKEN", "hunter2");
    let shown = format!("{connector:?}");
    assert!(shown.contains("ARCP_TOKEN") && !shown.contains("hunter2"), "{shown}");
}
