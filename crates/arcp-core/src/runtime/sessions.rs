//! All sessions, by key, by id and by principal; and what each principal uses.

use std::collections::HashMap;

use arcp_proto::SessionId;

use super::SessionKey;
use super::session::Session;
use crate::key::KeyMap;
use crate::principal::Principal;
use crate::time::Instant;

#[derive(Default)]
pub(super) struct Sessions {
    by_key: KeyMap<SessionKey, Session>,
    by_id: HashMap<SessionId, SessionKey>,
    usage: HashMap<Principal, Usage>,
    /// Jobs that have not ended.
    running: usize,
    /// Payload that all sessions keep, in bytes.
    kept_bytes: usize,
    /// How much of it makes those that keep most forget some, if that is above the limit: what is left after the last time may be
    /// as much again, where live connections have yet to carry it.
    shrink_at: usize,
}

/// What one principal uses of the runtime.
#[derive(Default)]
struct Usage {
    /// Its sessions, oldest first.
    sessions: Vec<SessionKey>,
    /// Its jobs that have not ended.
    running: usize,
}

impl Sessions {
    pub(super) fn insert(&mut self, key: SessionKey, session: Session) {
        self.by_id.insert(session.id().clone(), key);
        self.kept_bytes += session.kept_bytes();
        self.usage.entry(session.principal.clone()).or_default().sessions.push(key);
        self.by_key.insert(key, session);
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Session> {
        let session = self.by_key.remove(&key)?;
        self.by_id.remove(session.id());
        self.kept_bytes -= session.kept_bytes();
        if let Some(usage) = self.usage.get_mut(&session.principal) {
            usage.sessions.retain(|other| *other != key);
        }
        self.forget_unused(&session.principal);
        Some(session)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many principals use anything.
    pub(super) fn principals(&self) -> usize {
        self.usage.len()
    }

    /// Ends the spans of all of them.
    pub(super) fn end_spans(&mut self) {
        for session in self.by_key.values_mut() {
            session.span = None;
        }
    }

    /// Every session, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_key.values()
    }

    pub(super) fn by_key(&self, key: SessionKey) -> Option<&Session> {
        self.by_key.get(&key)
    }

    pub(super) fn by_key_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.by_key.get_mut(&key)
    }

    pub(super) fn key_of(&self, id: &SessionId) -> Option<SessionKey> {
        self.by_id.get(id).copied()
    }

    /// Changes what a session keeps, and returns what the change does.
    pub(super) fn keep<R>(&mut self, key: SessionKey, change: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let session = self.by_key.get_mut(&key)?;
        let before = session.kept_bytes();
        let result = change(session);
        self.kept_bytes = self.kept_bytes - before + session.kept_bytes();
        Some(result)
    }

    /// Payload that all sessions keep, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Has those that keep most forget their oldest messages, all down to one level, until an eighth of the limit is free.
    /// Returns which have.
    pub(super) fn shrink(&mut self, limit: usize) -> Vec<SessionKey> {
        if self.kept_bytes <= limit {
            self.shrink_at = limit;
            return Vec::new();
        }
        if self.kept_bytes <= self.shrink_at {
            return Vec::new();
        }
        let mut sizes: Vec<_> =
            self.by_key.iter().map(|(key, session)| (session.kept_bytes(), *key)).collect();
        sizes.sort_unstable();
        // The level at which what lies below it, and it itself for each of the others, is what may be.
        let (mut left, mut others) = (limit - limit / 8, sizes.len());
        let mut level = 0;
        for (size, _) in &sizes {
            level = left / others;
            if *size > level {
                break;
            }
            left -= size;
            others -= 1;
        }
        let mut shrunk = Vec::new();
        for (_, key) in sizes.iter().rev().take_while(|(size, _)| *size > level) {
            if self.keep(*key, |session| session.shrink(level)) == Some(true) {
                shrunk.push(*key);
            }
        }
        self.shrink_at = limit.max(self.kept_bytes + limit / 8);
        shrunk
    }

    /// The sessions of a principal, oldest first.
    pub(super) fn of(&self, principal: &Principal) -> &[SessionKey] {
        self.usage.get(principal).map(|usage| usage.sessions.as_slice()).unwrap_or_default()
    }

    /// The session of a principal that has been disconnected for the longest time; of those that have jobs running only if
    /// there is no other, since nobody else may cancel those.
    pub(super) fn longest_disconnected(&self, principal: &Principal, now: Instant) -> Option<SessionKey> {
        let since = |key: &SessionKey| {
            let session = self.by_key(*key)?;
            let disconnected =
                session.disconnected.filter(|one| one.spared_until.is_none_or(|until| until <= now));
            Some((session.running > 0, disconnected?.until, *key))
        };
        self.of(principal).iter().filter_map(since).min().map(|(_, _, key)| key)
    }

    /// Jobs of a principal that have not ended.
    pub(super) fn running(&self, principal: &Principal) -> usize {
        self.usage.get(principal).map_or(0, |usage| usage.running)
    }

    /// Jobs of everybody that have not ended.
    pub(super) fn all_running(&self) -> usize {
        self.running
    }

    pub(super) fn job_started(&mut self, principal: &Principal) {
        self.running += 1;
        self.usage.entry(principal.clone()).or_default().running += 1;
    }

    pub(super) fn job_ended(&mut self, principal: &Principal) {
        if let Some(usage) = self.usage.get_mut(principal) {
            usage.running -= 1;
            self.running -= 1;
        }
        self.forget_unused(principal);
    }

    fn forget_unused(&mut self, principal: &Principal) {
        let unused = |usage: &Usage| usage.sessions.is_empty() && usage.running == 0;
        if self.usage.get(principal).is_some_and(unused) {
            self.usage.remove(principal);
        }
    }
}
