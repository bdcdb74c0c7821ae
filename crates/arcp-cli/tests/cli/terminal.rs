//! A program in a terminal of its own: keys in, a screen out. What is asked of which program is not here.
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long something may take to be on the screen, or off it.
const DUE: Duration = Duration::from_secs(60);

/// The program and its terminal.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

struct Shown {
    parser: vt100::Parser,
    /// All that was written.
    bytes: Vec<u8>,
    over: bool,
}

impl Shown {
    fn is_taken(&self) -> bool {
        let screen = self.parser.screen();
        screen.alternate_screen() || screen.hide_cursor()
    }
}

fn size(length: u16) -> NonZeroU16 {
    NonZeroU16::new(length).unwrap()
}

impl Terminal {
    pub(crate) fn start(mut command: CommandBuilder, rows: u16, columns: u16) -> Self {
        let pair = native_pty_system();
        let pair = pair.openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let parser = vt100::Parser::new(size(rows), size(columns), 0);
        let shown = Arc::new((Mutex::new(Shown { parser, bytes: Vec::new(), over: false }), Condvar::new()));
        let writer = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = reader.read(&mut bytes).unwrap_or(0); // the terminal is gone with the program
                let mut shown = writer.0.lock().unwrap();
                shown.parser.process(&bytes[..read]);
                shown.bytes.extend_from_slice(&bytes[..read]);
                shown.over = read == 0;
                writer.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { child, master: pair.master, keys, shown }
    }

    /// The process that was started.
    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// The process that has the terminal now, which a shell may have started.
    pub(crate) fn foreground(&self) -> u32 {
        self.master.process_group_leader().unwrap().try_into().unwrap()
    }

    pub(crate) fn press(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn resize(&self, to: PtySize) {
        self.shown.0.lock().unwrap().parser.screen_mut().set_size(size(to.rows), size(to.cols));
        self.master.resize(to).unwrap();
    }

    /// Waits until the screen is as it should be, and gives its text.
    #[track_caller]
    pub(crate) fn until(&self, due: impl Fn(&str) -> bool) -> String {
        self.wait(|shown| due(&shown.parser.screen().contents()))
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(|screen| screen.contains(text))
    }

    #[track_caller]
    fn wait(&self, due: impl Fn(&Shown) -> bool) -> String {
        let deadline = Instant::now() + DUE;
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            let screen = shown.parser.screen().contents();
            if due(&shown) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !shown.over, "it never was:\n{screen}");
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Whether the terminal gives lines to who reads it, and echoes them.
    fn gives_lines(&self) -> bool {
        let modes = self.master.get_termios().unwrap();
        let flags = format!("{:?}", modes.local_flags);
        flags.contains("ICANON") && flags.contains("ECHO")
    }

    /// Asserts that the terminal is as a program that has it for a while has found it.
    #[track_caller]
    pub(crate) fn is_restored(&self) {
        assert!(!self.shown.0.lock().unwrap().is_taken(), "the terminal is not as it was");
        assert!(self.gives_lines(), "the terminal is left raw");
    }

    /// Waits for the end of the program, and gives its exit code, with the terminal as it was before.
    #[track_caller]
    pub(crate) fn restored(mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        let mut shown = self.shown.0.lock().unwrap();
        while !shown.over && shown.is_taken() {
            shown = self.shown.1.wait(shown).unwrap();
        }
        drop(shown);
        self.is_restored();
        code
    }

    /// Waits for the end of the program, and gives its exit code and all that it has written to the terminal.
    pub(crate) fn written(mut self) -> (u32, String) {
        let code = self.child.wait().unwrap().exit_code();
        let mut shown = self.shown.0.lock().unwrap();
        while !shown.over {
            shown = self.shown.1.wait(shown).unwrap();
        }
        (code, String::from_utf8(shown.bytes.clone()).unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
