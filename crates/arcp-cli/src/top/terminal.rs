//! The terminal of `arcp top`: taken over while this lives, and given back however it ends, also by a panic.

use std::io::{self, IsTerminal};

use arcp::proto::Timestamp;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;

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

/// The whole screen.
pub(crate) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal over. What it shows comes back with its drop; a panic anywhere brings it back first.
    pub(crate) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    pub(crate) fn draw(&mut self, model: &Model, now: Timestamp) -> io::Result<()> {
        self.0.draw(|frame| view::draw(model, now, frame.area(), frame.buffer_mut())).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
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
