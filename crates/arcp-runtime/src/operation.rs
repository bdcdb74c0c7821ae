//! What an agent does under its lease: each operation is authorized before it is begun, and told of (§8.2, §9.3).

use std::future::Future;
use std::pin::pin;

#[cfg(feature = "http")]
use arcp_core::lease::Granted;
use arcp_core::lease::{Denied, Reservation};
use arcp_core::runtime::Draft;
#[cfg(feature = "http")]
use arcp_proto::TraceContext;
use arcp_proto::event::{EventKind, Metric, ToolCall, ToolOutcome, ToolResult};
use arcp_proto::{Amount, Budget, CallId, Currency, ErrorPayload, Json, namespace};
use serde::Serialize;
use serde_json::json;

use crate::agent_error::AgentError;
use crate::clock::Clock;
use crate::context::{EmitError, JobContext};
use crate::within::Within;

/// Why an operation was not done, or not told of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The lease does not allow it (§9.3). Nothing was done; the job's clients were told.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It could not be told of. If it is the telling of the outcome that failed, the operation was done.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// It was begun and failed. The job's clients were told.
    #[error("{0}")]
    Failed(AgentError),
}

impl OperationError {
    /// As `tool_result` and `job.error` carry it.
    pub fn payload(&self) -> ErrorPayload {
        match self {
            Self::Denied(denied) => denied.payload(),
            Self::Emit(error) => ErrorPayload::new(arcp_proto::ErrorCode::InternalError, error.to_string()),
            Self::Failed(error) => error.payload().clone(),
        }
    }

    /// Why the lease does not allow it, if that is it.
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied(denied) => Some(denied),
            Self::Emit(_) | Self::Failed(_) => None,
        }
    }
}

/// Money that was set aside with [`JobContext::reserve`]. Dropped, it can be spent otherwise again.
#[must_use = "money that is set aside is free again when this is dropped"]
#[derive(Debug)]
pub struct Reserved {
    ctx: JobContext,
    reservation: Reservation,
}

impl Reserved {
    /// How much is set aside.
    pub fn amount(&self) -> Amount {
        self.reservation.amount()
    }

    /// Tells what the cost has come to, as the metric `cost.<name>`, and spends it: of what was set aside and, if it came to
    /// more, of what else there is. The rest is free again.
    ///
    /// # Errors
    /// See [`EmitError`]; nothing is spent then.
    pub async fn commit(self, name: impl AsRef<str>, amount: Amount) -> Result<(), EmitError> {
        let Self { ctx, reservation } = self;
        let metric = cost(name.as_ref(), reservation.currency().as_str(), amount);
        let draft = Draft::new(EventKind::Metric, Clock::wall(), &metric).map_err(EmitError::Encode)?;
        ctx.emit_with(|machine, now, job| machine.emit_settled(now, job, draft, reservation)).await
    }
}

fn cost(name: &str, currency: &str, amount: Amount) -> Metric {
    let mut metric = Metric::new(format!("cost.{name}"), amount);
    metric.unit = Some(currency.to_owned());
    metric
}

impl JobContext {
    /// Whether the job may do something now (§9.3): expiry, budget and grants are checked, in this order. Gives the target in
    /// its canonical form, which is the one to act on. Nothing is emitted.
    ///
    /// An agent that acts by way of [`fs`](Self::fs), `http`, [`call_tool`](Self::call_tool) and
    /// [`use_model`](Self::use_model) need not call this.
    ///
    /// # Errors
    /// Why not. `?` ends the job in its code.
    pub fn authorize(&self, capability: &str, target: &str) -> Result<String, Denied> {
        let authorized = self.authority().authorize(capability, target, self.clock());
        self.noticing_expiry(authorized).map(|target| target.canonical().to_owned())
    }

    /// The same, and tells which grants cover the operation.
    #[cfg(feature = "http")]
    pub(crate) fn granted(&self, capability: &str, target: &str) -> Result<Granted, Denied> {
        self.noticing_expiry(self.authority().granted(capability, target, self.clock()))
    }

    fn noticing_expiry<T>(&self, authorized: Result<T, Denied>) -> Result<T, Denied> {
        if let Err(Denied::Expired { .. }) = authorized {
            // Its timer may be late, or the wall clock ahead of it.
            self.lease_expired();
        }
        authorized
    }

    /// Runs a tool under the lease: emits `tool_call`, checks `tool.call`, awaits the future, emits `tool_result`. A future that
    /// is not polled has not begun: without authority the tool is not run.
    ///
    /// Dropping this future drops the tool's; there is no `tool_result` then.
    ///
    /// # Errors
    /// See [`OperationError`].
    pub async fn call_tool<A, T, E>(
        &self,
        name: &str,
        args: &A,
        tool: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, OperationError>
    where
        A: Serialize + ?Sized + Sync,
        T: Serialize + Send + Sync,
        E: Into<AgentError> + Send,
    {
        let args = Json::encode(args).map_err(EmitError::Encode)?;
        let shown = |output: &T| Json::encode(output).unwrap_or_default();
        let run = async |_, _: &CallId| tool.await.map_err(|error| OperationError::Failed(error.into()));
        self.operate(namespace::TOOL_CALL, name, name, args, run, shown).await
    }

    /// Checks that the job may use a model (§9.7), and tells of it as a `tool_call` of `model.use` with its `tool_result`.
    ///
    /// # Errors
    /// See [`OperationError`].
    pub async fn use_model(&self, model: &str) -> Result<(), OperationError> {
        let args = Json::from(json!({ "target": model }));
        let done = async |_, _: &CallId| Ok(());
        self.operate(namespace::MODEL_USE, model, namespace::MODEL_USE, args, done, |()| ok()).await
    }

    /// Emits `tool_call`, checks, acts on the canonical target, emits `tool_result`. What acts may itself find that it is
    /// not allowed to go on.
    pub(crate) async fn operate<T>(
        &self,
        capability: &str,
        target: &str,
        tool: &str,
        args: Json,
        act: impl AsyncFnOnce(String, &CallId) -> Result<T, OperationError>,
        shown: impl FnOnce(&T) -> Json,
    ) -> Result<T, OperationError> {
        let call_id = self.tell_call(tool, args).await?;
        let target = match self.authorize(capability, target) {
            Ok(target) => target,
            Err(denied) => {
                self.driver().with(|machine, _| machine.operation_refused(&denied.code()));
                self.tell_result(call_id, ToolOutcome::Error(denied.payload())).await?;
                return Err(denied.into());
            }
        };
        let outcome = {
            let act = pin!(act(target, &call_id));
            Within::new(self.spec().span.clone(), Some(call_id.clone()), act).await
        };
        match outcome {
            Ok(output) => {
                self.tell_result(call_id, ToolOutcome::Result(shown(&output))).await?;
                Ok(output)
            }
            Err(error) => {
                self.tell_result(call_id, ToolOutcome::Error(error.payload())).await?;
                Err(error)
            }
        }
    }

    /// What a request that a tool makes carries of the job's trace.
    #[cfg(feature = "http")]
    pub(crate) fn tool_trace(&self, call_id: &CallId) -> Option<TraceContext> {
        match &self.spec().span {
            Some(span) => Some(span.tool_context(call_id)),
            None => self.trace_context().cloned(),
        }
    }

    pub(crate) async fn tell_call(&self, tool: &str, args: Json) -> Result<CallId, EmitError> {
        let call_id = self.new_call_id();
        let call = ToolCall { tool: tool.to_owned(), args, call_id: call_id.clone() };
        self.emit(EventKind::ToolCall, &call).await?;
        Ok(call_id)
    }

    pub(crate) async fn tell_result(&self, call_id: CallId, outcome: ToolOutcome) -> Result<(), EmitError> {
        match self.emit(EventKind::ToolResult, &ToolResult { call_id: call_id.clone(), outcome }).await {
            // A result that is too large to be shown was a result all the same.
            Err(EmitError::TooLarge { bytes, limit }) => {
                let note = Json::from(json!({ "omitted": true, "bytes": bytes, "limit": limit }));
                self.emit(EventKind::ToolResult, &ToolResult { call_id, outcome: ToolOutcome::Result(note) })
                    .await
            }
            told => told,
        }
    }

    /// Tells a cost, as the metric `cost.<name>`, and takes it from the budget (§9.6). What was spent was spent: this is never
    /// denied, but afterwards other operations may be.
    ///
    /// # Errors
    /// See [`EmitError`]; nothing is spent then.
    pub async fn charge(
        &self,
        name: impl AsRef<str>,
        currency: impl AsRef<str>,
        amount: Amount,
    ) -> Result<(), EmitError> {
        self.metric(cost(name.as_ref(), currency.as_ref(), amount)).await
    }

    /// Sets money aside for a cost that is known before it is incurred, so that nobody else of the same budget, such as a job
    /// that this one delegates to, spends it meanwhile. In a currency without a budget there is always enough.
    ///
    /// # Errors
    /// `LEASE_EXPIRED`, or `BUDGET_EXHAUSTED` when so much is not left.
    pub fn reserve(&self, currency: &Currency, amount: Amount) -> Result<Reserved, Denied> {
        let reservation = self.authority().reserve(currency, amount, self.clock())?;
        Ok(Reserved { ctx: self.clone(), reservation })
    }

    /// What remains of the budget, that of the job that delegated to this one included where it draws on it (§9.6).
    pub fn budget(&self) -> Budget {
        self.authority().remaining()
    }
}

pub(crate) fn ok() -> Json {
    Json::from(json!({ "ok": true }))
}
