//! An upstream that issues credentials which are good for nothing, and the fixture `rotate`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use arcp_runtime::credentials::{
    CredentialChange, CredentialOrder, CredentialProvisioner, Issued, Outstanding, ProvisionError,
};
use arcp_runtime::proto::{Amount, Budget, CredentialConstraints, CredentialId, JobId, Timestamp};
use arcp_runtime::{AgentError, JobContext};
use serde::Serialize;
use serde_json::{Value, json};

/// Issues a credential for every job, with which nothing is ever spent, and appends a line of JSON to a file for each call that succeeds:
/// `{"op":"issue"|"rotate"|"constrain"|"revoke","credential_id","job_id","handle","constraints","at"}`. No secret is in it.
#[derive(Debug)]
pub struct FixtureGateway(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    /// How many revocations still fail.
    failing: u64,
    issued: HashMap<String, CredentialConstraints>,
}

#[derive(Serialize)]
struct Line<'a> {
    op: &'static str,
    credential_id: &'a CredentialId,
    job_id: &'a JobId,
    /// Tells the generations of one credential apart.
    handle: &'a str,
    constraints: CredentialConstraints,
    at: Timestamp,
}

impl FixtureGateway {
    /// Appends to the file at `path`, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(State { file, failing: 0, issued: HashMap::new() })))
    }

    /// Has the first `count` revocations fail, in a way that may pass.
    #[must_use]
    pub fn failing_revocations(self, count: u64) -> Self {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failing = count;
        self
    }

    fn make(&self, op: &'static str, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| ProvisionError::Transient(error.to_string().into()))?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let CredentialOrder { handle, credential_id, job_id, .. } = order;
        let constraints = order.constraints();
        state.issued.insert(handle.clone(), constraints.clone());
        let at = Timestamp::from(SystemTime::now());
        state.write(&Line { op, credential_id, job_id, handle, constraints: constraints.clone(), at })?;
        let value = format!("sk-fixture-{:032x}", u128::from_le_bytes(bytes));
        let issued = Issued::bearer(value, "https://gateway.invalid/v1").profile("openai");
        Ok(issued.constraints(constraints))
    }
}

impl State {
    fn write(&mut self, line: &Line<'_>) -> Result<(), ProvisionError> {
        let failed = |error: io::Error| ProvisionError::Transient(Box::new(error));
        let mut text = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(failed)
    }
}

impl CredentialProvisioner for FixtureGateway {
    async fn issue(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        self.make("issue", order)
    }

    async fn rotate(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        self.make("rotate", order)
    }

    async fn constrain(&self, change: &CredentialChange) -> Result<Budget, ProvisionError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let CredentialChange { handle, credential_id, job_id, limit, .. } = change;
        let mut constraints = state.issued.get(handle).cloned().unwrap_or_default();
        let (mut most, mut spent) = (limit.clone(), Budget::default());
        for (currency, limit) in limit.iter() {
            most.set(currency.clone(), change.most(currency.as_str(), Amount::ZERO).unwrap_or(limit));
            spent.set(currency.clone(), Amount::ZERO);
        }
        constraints.cost_budget = Some(most.patterns());
        state.issued.insert(handle.clone(), constraints.clone());
        let at = Timestamp::from(SystemTime::now());
        state.write(&Line { op: "constrain", credential_id, job_id, handle, constraints, at })?;
        Ok(spent)
    }

    async fn revoke(&self, credential: &Outstanding) -> Result<(), ProvisionError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing > 0 {
            state.failing -= 1;
            return Err(ProvisionError::Transient("fixture gateway was told to fail".into()));
        }
        let Outstanding { handle, credential_id, job_id, .. } = credential;
        let constraints = state.issued.remove(handle).unwrap_or_default();
        let at = Timestamp::from(SystemTime::now());
        state.write(&Line { op: "revoke", credential_id, job_id, handle, constraints, at })
    }
}

pub(crate) async fn rotate(ctx: JobContext, _: Value) -> Result<Value, AgentError> {
    let Some(first) = ctx.credentials().into_iter().next() else {
        return Ok(json!({ "credential_id": null }));
    };
    let rotated = ctx.rotate_credential(&first.id).await?;
    Ok(json!({ "credential_id": rotated.id }))
}
