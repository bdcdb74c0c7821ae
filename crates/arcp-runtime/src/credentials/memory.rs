//! A ledger that is gone with its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::ledger::{CredentialLedger, LedgerError, Outstanding};

/// Knows what is outstanding as long as the process lives: whatever it issued before a crash stays good at the upstream.
///
/// A runtime refuses it for that, unless it was made with [`MemoryLedger::dangerous`]. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger {
    outstanding: Arc<Mutex<BTreeMap<String, Outstanding>>>,
    accepts_loss: bool,
}

impl MemoryLedger {
    /// An empty ledger, which no runtime takes.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ledger that a runtime takes although it forgets. For tests and demonstrations, where nothing that is issued is
    /// worth anything.
    pub fn dangerous() -> Self {
        Self { accepts_loss: true, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Outstanding>> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialLedger for MemoryLedger {
    fn survives(&self) -> bool {
        false
    }

    fn accepts_loss(&self) -> bool {
        self.accepts_loss
    }

    fn intend(&self, credential: Outstanding) -> BoxFuture<'static, Result<(), LedgerError>> {
        self.lock().insert(credential.handle.clone(), credential);
        future::ready(Ok(())).boxed()
    }

    fn settle(&self, handle: &str) -> BoxFuture<'static, Result<(), LedgerError>> {
        self.lock().remove(handle);
        future::ready(Ok(())).boxed()
    }

    fn give_up(&self, handle: &str, reason: &str) -> BoxFuture<'static, Result<(), LedgerError>> {
        if let Some(credential) = self.lock().get_mut(handle) {
            credential.unrevocable = Some(reason.to_owned());
        }
        future::ready(Ok(())).boxed()
    }

    fn outstanding(&self) -> BoxFuture<'static, Result<Vec<Outstanding>, LedgerError>> {
        future::ready(Ok(self.lock().values().cloned().collect())).boxed()
    }
}
