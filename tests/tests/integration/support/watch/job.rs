//! What the messages of one job must be together: events, streamed results, one end.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Broken, ensure, text};

/// One job, as far as a session has seen it.
pub(super) struct Seen {
    pub(super) trace: String,
    /// The job that delegated to it.
    pub(super) parent: Option<String>,
    ended: bool,
    /// Whether something of it was not seen: then what it refers to need not be known.
    partial: bool,
    calls: BTreeSet<String>,
    delegations: BTreeSet<String>,
    streamed: Option<Streamed>,
}

/// A result in pieces.
struct Streamed {
    result_id: String,
    encoding: String,
    next: u64,
    bytes: u64,
    complete: bool,
}

impl Seen {
    pub(super) fn new(trace: &str) -> Self {
        Self {
            trace: trace.to_owned(),
            parent: None,
            ended: false,
            partial: false,
            calls: BTreeSet::new(),
            delegations: BTreeSet::new(),
            streamed: None,
        }
    }

    /// It is told from its beginning, or from somewhere after it; by itself, whatever is told of the job that delegated to it.
    pub(super) fn begins(&mut self, partial: bool) {
        *self = Self { partial, ..Self::new(&self.trace) };
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn has_delegated(&self, delegate_id: &str) -> Result<(), Broken> {
        ensure!(self.partial || self.delegations.contains(delegate_id), "nobody has delegated that");
        Ok(())
    }

    pub(super) fn says(&mut self, message: &Value, features: &BTreeSet<String>) -> Result<(), Broken> {
        ensure!(!self.ended, "the job has ended");
        ensure!(text(message, "trace_id") == self.trace, "another trace");
        let payload = &message["payload"];
        match text(message, "type") {
            "job.event" => self.event(payload, features),
            "job.result" => {
                self.ended = true;
                self.result(payload, features)
            }
            _ => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn event(&mut self, payload: &Value, features: &BTreeSet<String>) -> Result<(), Broken> {
        let body = &payload["body"];
        match text(payload, "kind") {
            "tool_call" => {
                ensure!(self.calls.insert(text(body, "call_id").to_owned()), "a call_id used twice");
            }
            "tool_result" => {
                let call_id = text(body, "call_id");
                let known = self.calls.remove(call_id) || self.delegations.contains(call_id);
                ensure!(known || self.partial, "a tool_result of no call");
            }
            "delegate" => {
                ensure!(self.delegations.insert(text(body, "delegate_id").to_owned()), "a delegate_id twice");
            }
            "progress" => ensure!(features.contains("progress"), "progress was not negotiated"),
            "result_chunk" => {
                ensure!(features.contains("result_chunk"), "result_chunk was not negotiated");
                self.chunk(body)?;
            }
            "metric" if text(body, "name").starts_with("cost.budget.") => {
                ensure!(features.contains("cost.budget"), "cost.budget was not negotiated");
            }
            "status" if text(body, "phase") == "credential_rotated" => {
                ensure!(features.contains("provisioned_credentials"), "credentials were not negotiated");
            }
            "x-vendor.arcp.missed" => self.partial = true,
            _ => {}
        }
        Ok(())
    }

    fn chunk(&mut self, body: &Value) -> Result<(), Broken> {
        let (result_id, encoding) = (text(body, "result_id"), text(body, "encoding"));
        let chunk_seq = body["chunk_seq"].as_u64().unwrap_or(u64::MAX);
        let partial = self.partial;
        let streamed = self.streamed.get_or_insert_with(|| Streamed {
            result_id: result_id.to_owned(),
            encoding: encoding.to_owned(),
            next: if partial { chunk_seq } else { 0 },
            bytes: 0,
            complete: false,
        });
        ensure!(streamed.result_id == result_id, "two results");
        ensure!(streamed.encoding == encoding, "two encodings in one stream");
        ensure!(!streamed.complete, "a chunk after the last one");
        ensure!(streamed.next == chunk_seq, "chunk {chunk_seq} instead of {}", streamed.next);
        let data = text(body, "data");
        streamed.bytes += match encoding {
            "base64" => (data.len() / 4 * 3 - data.matches('=').count()) as u64,
            _ => data.len() as u64,
        };
        streamed.next += 1;
        streamed.complete = body["more"] == false;
        Ok(())
    }

    fn result(&self, payload: &Value, features: &BTreeSet<String>) -> Result<(), Broken> {
        match (&self.streamed, payload["result_id"].as_str()) {
            (None, None) => Ok(()),
            (Some(_), None) => Err("an inline result after chunks".to_owned()),
            (None, Some(_)) => {
                ensure!(self.partial, "a streamed result without chunks");
                ensure!(features.contains("result_chunk"), "result_chunk was not negotiated");
                Ok(())
            }
            (Some(streamed), Some(result_id)) => {
                ensure!(streamed.result_id == result_id, "another result");
                ensure!(streamed.complete, "the last chunk is missing");
                let size = payload["result_size"].as_u64();
                ensure!(self.partial || size == Some(streamed.bytes), "{size:?} is not {}", streamed.bytes);
                Ok(())
            }
        }
    }
}
