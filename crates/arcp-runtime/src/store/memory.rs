//! The store of a runtime that keeps nothing beyond its process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arcp_core::runtime::{Batch, Write};
use arcp_proto::JobId;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::{Epoch, Opened, Recovered, Store, StoreError};

/// Keeps nothing: what the runtime needs while it runs it has in memory already. Commits are immediate.
///
/// It does hold the runtime to the rules of every store: one owner, and logs that grow only at their end.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    /// Where the log of each job ends.
    heads: HashMap<JobId, u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch.0 != state.epoch {
            return Err(StoreError::Fenced { held: epoch.0, current: state.epoch });
        }
        for write in &batch.writes {
            match write {
                Write::Job(record) => {
                    state.heads.insert(record.accepted.job_id.clone(), 0);
                }
                Write::Appended(entries) => {
                    let Some(first) = entries.first() else { continue };
                    let job_id = &first.entry.job.job_id;
                    let head = state.heads.entry(job_id.clone()).or_default();
                    if *head != first.entry.index {
                        let (expected, actual) = (first.entry.index, *head);
                        return Err(StoreError::Head { job_id: job_id.to_string(), expected, actual });
                    }
                    *head += entries.len() as u64;
                }
                Write::JobGone(job_id) => {
                    state.heads.remove(job_id);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.epoch += 1;
        state.heads.clear();
        let epoch = Epoch(state.epoch);
        future::ready(Ok(Opened { epoch, recovered: Recovered::default() })).boxed()
    }

    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        future::ready(self.apply(epoch, &batch)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcp_core::runtime::{Entry, JobHead, Logged};
    use arcp_proto::{Json, MessageType, Timestamp, TraceId};

    fn append(index: u64) -> Arc<Batch> {
        let job = JobHead {
            job_id: "job_1".parse().unwrap(),
            trace_id: TraceId::new(1).unwrap(),
            trace_context: None,
        };
        let entry = Entry {
            job: Arc::new(job),
            index,
            message_type: MessageType::JobEvent,
            kind: None,
            feature: None,
            ts: Timestamp::UNIX_EPOCH,
            payload: Json::empty_object(),
            plain: None,
            gap: false,
        };
        let logged = Logged { entry: Arc::new(entry), owner_seq: index + 1 };
        Arc::new(Batch { position: 1, writes: vec![Write::Appended(vec![logged])] })
    }

    #[tokio::test]
    async fn a_later_owner_fences_the_earlier_one_off() {
        let store = MemoryStore::new();
        let first = store.open().await.unwrap().epoch;
        store.commit(first, append(0)).await.unwrap();
        let second = store.open().await.unwrap().epoch;
        assert!(matches!(
            store.commit(first, append(1)).await,
            Err(StoreError::Fenced { held: 1, current: 2 })
        ));
        store.commit(second, append(0)).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_grows_only_at_its_end() {
        let store = MemoryStore::new();
        let epoch = store.open().await.unwrap().epoch;
        store.commit(epoch, append(0)).await.unwrap();
        for wrong in [0, 2] {
            assert!(matches!(
                store.commit(epoch, append(wrong)).await,
                Err(StoreError::Head { actual: 1, .. })
            ));
        }
        store.commit(epoch, append(1)).await.unwrap();
    }
}
