//! What becomes of a terminal that was taken over where something panics: seen from the other end of a real one.

use std::io::{IsTerminal, Read};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::*;

/// Set in the process that panics, to where it does.
const PANICS: &str = "ARCP_TEST_PANICS";

fn model() -> Model {
    Model::new("ws://runtime.example/arcp")
}

/// What the process does that has a terminal of its own: panics with the screen taken, here or in a thread beside.
fn panics(place: &str) -> io::Result<()> {
    assert!(std::io::stdout().is_terminal());
    let mut screen = Screen::open()?;
    let now = Timestamp::from_millis(0);
    screen.draw(&model(), now)?;
    match place {
        "here" => panic!("the first line\nand the second of a panic here"),
        _ => {
            let beside = std::thread::spawn(|| panic!("the first line\nand the second of a panic beside"));
            assert!(beside.join().is_err());
            let Err(error) = screen.draw(&model(), now) else { return Ok(()) };
            eprintln!("nothing is drawn any more: {error}");
        }
    }
    Ok(())
}

/// Needs a process in a terminal: runs itself again in one.
#[test]
fn a_panic_gives_the_terminal_back_and_can_be_read() {
    if let Ok(place) = std::env::var(PANICS) {
        return panics(&place).unwrap();
    }
    for place in ["here", "beside"] {
        let size = PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        let test = "top::terminal::tests::a_panic_gives_the_terminal_back_and_can_be_read";
        command.args(["--exact", test, "--nocapture", "--quiet"]);
        command.env(PANICS, place);
        command.env("RUST_BACKTRACE", "0");
        command.env("TERM", "xterm-256color");
        let mut reader = pair.master.try_clone_reader().unwrap();
        let mut child = pair.slave.spawn_command(command).unwrap();
        let (sender, seen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let _ = sender.send(bytes[..read].to_vec());
            }
        });
        let success = child.wait().unwrap().success();
        assert_eq!(success, place == "beside");
        // The modes as the program left them, and then all that it has written.
        let modes = format!("{:?}", pair.master.get_termios().unwrap().local_flags);
        drop(pair.slave);
        let bytes: Vec<u8> = seen.iter().flatten().collect();
        assert!(modes.contains("ICANON") && modes.contains("ECHO"), "{modes}");
        let mut parser = vt100::Parser::new(24.try_into().unwrap(), 100.try_into().unwrap(), 0);
        parser.process(&bytes);
        let screen = parser.screen();
        let shown = screen.contents();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{shown}");
        assert!(bytes.windows(8).any(|bytes| bytes == b"\x1b[?1049h"), "it was taken over: {shown}");
        // Each line of it begins where lines do.
        for line in ["the first line".to_owned(), format!("and the second of a panic {place}")] {
            assert!(shown.lines().any(|shown| shown == line), "{shown}");
        }
        assert_eq!(shown.contains("nothing is drawn any more: a part of the program"), place == "beside");
    }
}
