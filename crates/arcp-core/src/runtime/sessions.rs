//! All sessions, by key, by id and by principal; and what each principal uses.

use std::collections::HashMap;

use arcp_proto::SessionId;

use super::SessionKey;
use super::session::Session;
use crate::principal::Principal;
use crate::time::Instant;

#[derive(Default)]
pub(super) struct Sessions {
    by_key: HashMap<SessionKey, Session>,
    by_id: HashMap<SessionId, SessionKey>,
    usage: HashMap<Principal, Usage>,
    /// Jobs that have not ended.
    running: usize,
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
        self.usage.entry(session.principal.clone()).or_default().sessions.push(key);
        self.by_key.insert(key, session);
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Session> {
        let session = self.by_key.remove(&key)?;
        self.by_id.remove(session.id());
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
