//! Credentials as an agent has them (§9.8).

use std::sync::Arc;

use arcp_proto::{Budget, Credential, CredentialId, ErrorCode, ErrorPayload};

use super::custody::{Call, NotObtained};
use super::{CredentialOrder, LedgerError, ProvisionError, unavailable};
use crate::context::{EmitError, JobContext};

/// Why a credential was not rotated. The earlier value is as good as before, unless the job has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The job has no such credential, or has ended.
    #[error("job has no credential {0}")]
    Unknown(CredentialId),
    /// The upstream has not issued another.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// It could not be written down that another is asked for, so it was not.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The job's client could not be told; what was issued is revoked.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

impl RotateError {
    /// As `job.error` carries it.
    pub fn payload(&self) -> ErrorPayload {
        match self {
            Self::Provision(error) => error.payload(),
            Self::Ledger(_) => unavailable(),
            Self::Unknown(_) | Self::Emit(_) => ErrorPayload::new(ErrorCode::InternalError, self.to_string()),
        }
    }
}

impl From<NotObtained> for RotateError {
    fn from(error: NotObtained) -> Self {
        match error {
            NotObtained::Ledger(error) => Self::Ledger(error),
            NotObtained::Provision(error) => Self::Provision(error),
        }
    }
}

impl JobContext {
    /// What was issued for this job, with the values that are good now. None once the job has ended.
    ///
    /// A value is good at its endpoint and must be presented nowhere else. It is the job's own: it must not be logged, emitted
    /// or kept.
    pub fn credentials(&self) -> Vec<Credential> {
        self.driver().with(|machine, _| machine.credentials(self.key()).to_vec())
    }

    /// Has another value issued in place of one that this job has (§9.8.2), bounded by what remains of its budget now. The
    /// job's submitter is told, and then the earlier value is revoked.
    ///
    /// Dropping the future does not take it back.
    ///
    /// # Errors
    /// See [`RotateError`].
    pub async fn rotate_credential(&self, id: &CredentialId) -> Result<Credential, RotateError> {
        let (ctx, id) = (self.clone(), id.clone());
        let rotation = self.driver().spawn(async move { ctx.rotate(id).await });
        rotation.await.unwrap_or(Err(RotateError::Emit(EmitError::Ended)))
    }

    async fn rotate(&self, id: CredentialId) -> Result<Credential, RotateError> {
        let unknown = || RotateError::Unknown(id.clone());
        let custody = Arc::clone(self.driver().custody().ok_or_else(unknown)?);
        let turn = custody.turn(self.key()).ok_or_else(unknown)?;
        let _turn = turn.lock().await;
        let budget = loop {
            match self.driver().with(|machine, _| machine.rotation_budget(self.key())) {
                Ok(Some(budget)) => break budget,
                Ok(None) => drop(custody.constrain_now(self.key()).await),
                Err(_) => return Err(unknown()),
            }
        };
        let (generation, replaced) = custody.next_generation(self.key(), &id).ok_or_else(unknown)?;
        let mut order = CredentialOrder::new(self.spec(), budget, id, generation);
        order.replaces = Some(replaced);
        custody.enter(self.key(), 1);
        let obtained = custody.obtain(self.key(), &order, Call::Rotate).await;
        if let Ok((_, record)) = &obtained {
            custody.hold(self.key(), record.clone());
        }
        custody.leave(self.key(), Some(Budget::default()));
        let (credential, record) = obtained?;
        let rotated = credential.clone();
        let emitted = self
            .emit_with(|machine, now, job| {
                let flow = machine.rotate_credential(now, job, rotated)?;
                custody.replace(job, &record);
                Ok(flow)
            })
            .await;
        if let Err(error) = emitted {
            custody.discard(self.key(), &record);
            return Err(error.into());
        }
        Ok(credential)
    }
}
