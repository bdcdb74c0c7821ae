//! What may still be good at an upstream, written down before it can be (§14).

use std::path::PathBuf;

use arcp_proto::{CredentialId, JobId, Timestamp};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// A credential that was asked for and is not known to be revoked. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// What the upstream knows it by.
    pub handle: String,
    /// What its job knows it by.
    pub credential_id: CredentialId,
    /// The job that it was asked for.
    pub job_id: JobId,
    /// Whose job that is.
    pub principal: String,
    /// When it was asked for.
    pub since: Timestamp,
    /// Why the upstream does not revoke it, if it refuses to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrevocable: Option<String>,
}

/// Knows every credential that may still be good at the upstream.
///
/// What [`intend`](Self::intend) has acknowledged must be there after a crash: it is what the next run revokes. A ledger
/// belongs to one runtime at a time. A future that is returned here is polled where it must not block.
pub trait CredentialLedger: Send + Sync + 'static {
    /// Whether what is written outlives the process. Without that revocation cannot be guaranteed, and the runtime must not
    /// offer `provisioned_credentials` (§14).
    fn survives(&self) -> bool;

    /// Whether whoever made a ledger that does not survive wants it all the same.
    fn accepts_loss(&self) -> bool {
        false
    }

    /// Notes a credential that is about to be asked for.
    ///
    /// # Errors
    /// Then it is not asked for.
    fn intend(&self, credential: Outstanding) -> BoxFuture<'static, Result<(), LedgerError>>;

    /// Notes that nothing is good any more under a handle. One that is not known is no error.
    ///
    /// # Errors
    /// The entry stays, and the next run revokes once more, which does no harm.
    fn settle(&self, handle: &str) -> BoxFuture<'static, Result<(), LedgerError>>;

    /// Notes that the upstream refuses to revoke a credential, for people to look at. The next run tries again.
    ///
    /// # Errors
    /// The entry stays as it was.
    fn give_up(&self, handle: &str, reason: &str) -> BoxFuture<'static, Result<(), LedgerError>>;

    /// Everything that is not settled.
    ///
    /// # Errors
    /// When it cannot be read; nothing is provisioned then.
    fn outstanding(&self) -> BoxFuture<'static, Result<Vec<Outstanding>, LedgerError>>;
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has it.
    #[error("credential ledger {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is no ledger, or a damaged one. Nothing was changed.
    #[error("credential ledger {} cannot be read: line {line} is not what a ledger holds", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file cannot be read or written.
    #[error("credential ledger {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger itself has failed.
    #[error("credential ledger failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
