//! All connections, and the wish to be written to or read from again.

use std::collections::VecDeque;

use arcp_proto::Envelope;

use super::connection::{Answer, Connection};
use super::{ConnectionKey, Event, Transmit};
use crate::key::KeyMap;
use crate::time::Instant;

#[derive(Default)]
pub(super) struct Connections {
    by_key: KeyMap<ConnectionKey, Connection>,
    /// Connections that have something to send which is not committed yet.
    uncommitted: Vec<ConnectionKey>,
}

impl Connections {
    pub(super) fn insert(&mut self, key: ConnectionKey, connection: Connection) {
        self.by_key.insert(key, connection);
    }

    pub(super) fn remove(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.by_key.remove(&key)
    }

    pub(super) fn by_key(&self, key: ConnectionKey) -> Option<&Connection> {
        self.by_key.get(&key)
    }

    pub(super) fn by_key_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.by_key.get_mut(&key)
    }

    /// When a connection last carried anything but signs of life.
    pub(super) fn carried(&self, key: ConnectionKey) -> Option<Instant> {
        self.by_key.get(&key).map(|connection| connection.carried)
    }

    /// Every connection, in the order in which they came.
    pub(super) fn keys(&self) -> Vec<ConnectionKey> {
        let mut keys: Vec<_> = self.by_key.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Has the driver told, once, that there is something to transmit.
    pub(super) fn wake(&mut self, key: ConnectionKey, events: &mut VecDeque<Event>) {
        if let Some(connection) = self.by_key.get_mut(&key)
            && !connection.woken
            && !connection.closed
        {
            connection.woken = true;
            events.push_back(Event::Transmit(key));
        }
    }

    /// Queues something that has no number, to be sent once what has been written so far is committed.
    pub(super) fn answer(
        &mut self,
        key: ConnectionKey,
        transmit: Transmit,
        (position, after): (u64, u64),
        pause: bool,
        events: &mut VecDeque<Event>,
    ) {
        self.queue(key, Answer { transmit, position, after, life: false, pause }, events);
    }

    /// Queues a frame that shows life.
    pub(super) fn show_life(
        &mut self,
        key: ConnectionKey,
        envelope: &Envelope,
        events: &mut VecDeque<Event>,
    ) {
        let transmit = Transmit::Frame(envelope.encode());
        self.queue(key, Answer { transmit, position: 0, after: 0, life: true, pause: false }, events);
    }

    fn queue(&mut self, key: ConnectionKey, answer: Answer, events: &mut VecDeque<Event>) {
        if let Some(connection) = self.by_key.get_mut(&key)
            && !connection.is_closing()
        {
            connection.answer_bytes += answer.transmit.bytes();
            connection.pauses += usize::from(answer.pause);
            connection.answers.push_back(answer);
            self.wake(key, events);
        }
    }

    /// Notes that a connection has to be woken by the next commit.
    pub(super) fn await_commit(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.by_key.get_mut(&key)
            && !connection.awaits_commit
        {
            connection.awaits_commit = true;
            self.uncommitted.push(key);
        }
    }

    /// Wakes who waits for a commit, and goes on to wait if there is nothing else to send.
    pub(super) fn wake_waiting(&mut self, events: &mut VecDeque<Event>) {
        for key in self.uncommitted.clone() {
            self.wake(key, events);
        }
    }

    pub(super) fn committed(&mut self, events: &mut VecDeque<Event>) {
        for key in std::mem::take(&mut self.uncommitted) {
            if let Some(connection) = self.by_key.get_mut(&key) {
                connection.awaits_commit = false;
            }
            self.wake(key, events);
        }
    }
}
