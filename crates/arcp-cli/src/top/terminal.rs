//! The terminal of `arcp top`: taken over while this lives, and given back however it ends, also by a panic.

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use arcp::proto::Timestamp;
use crossterm::cursor::Show;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::model::{Key, Model};
use super::view;
use crate::exit::Failure;

/// Fails unless there is somebody to look at it and to press keys.
pub(crate) fn check() -> Result<(), Failure> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("top draws on a terminal, and this is none: use `arcp jobs`, or `arcp jobs --json`"))
}

/// Whether the terminal is ours. Looked at and changed by who has stdout.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole screen.
pub(crate) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal over. What it shows comes back with its drop; a panic anywhere brings it back first, and nothing more is
    /// drawn then.
    pub(crate) fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                hook(panic);
            }));
        });
        take()?;
        // From here on a failure gives it back.
        Terminal::new(CrosstermBackend::new(io::stdout())).map(Self).inspect_err(|_| give_back())
    }

    /// Leaves the terminal to others.
    #[cfg(unix)]
    pub(crate) fn leave(&self) {
        give_back();
    }

    /// Takes it over again, whatever has become of it meanwhile, and draws all of it the next time.
    #[cfg(unix)]
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        give_back();
        take()?;
        self.0 = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    pub(crate) fn draw(&mut self, model: &Model, now: Timestamp) -> io::Result<()> {
        let _whole = io::stdout().lock(); // who panics meanwhile waits
        if !TAKEN.load(Ordering::Relaxed) {
            return Err(io::Error::other("a part of the program has panicked"));
        }
        self.0.draw(|frame| view::draw(model, now, frame.area(), frame.buffer_mut())).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    let mut out = io::stdout().lock();
    TAKEN.store(true, Ordering::Relaxed);
    let taken = enable_raw_mode().and_then(|()| execute!(out, EnterAlternateScreen, Clear(ClearType::All)));
    taken.inspect_err(|_| give_back())
}

/// Gives the terminal back, if it was taken. One that is gone is not told.
fn give_back() {
    let mut out = io::stdout().lock();
    if TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(out, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Whether somebody has pressed ctrl-z, of which the terminal makes no signal while it is ours.
#[cfg(unix)]
pub(crate) fn asks_to_pause(event: &Event) -> bool {
    let Event::Key(KeyEvent { code: KeyCode::Char('z'), modifiers, kind, .. }) = event else { return false };
    *kind != KeyEventKind::Release && modifiers.contains(KeyModifiers::CONTROL)
}

/// What a key means; nothing, for most of what terminals tell.
pub(crate) fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Char(c) => Key::Character(*c),
        _ => return None,
    })
}

#[cfg(all(test, unix))]
mod tests;
