//! The calls of the proxy's key management, and what its answers mean.

use std::time::Duration;

use arcp_runtime::credentials::ProvisionError;
use arcp_runtime::proto::{Amount, CredentialValue, Number};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::MasterKey;
use crate::refusal::is_budget_error;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

pub(crate) struct Api {
    client: Client,
    /// Ends in a slash.
    url: Url,
    master_key: MasterKey,
}

/// `/key/generate`.
#[derive(Serialize)]
pub(crate) struct Generate<'a> {
    pub(crate) key_alias: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_budget: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) models: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<String>,
    pub(crate) metadata: Metadata<'a>,
}

/// What an administrator sees of where a key comes from.
#[derive(Serialize)]
pub(crate) struct Metadata<'a> {
    pub(crate) arcp_job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arcp_parent_job_id: Option<&'a str>,
    pub(crate) arcp_principal: &'a str,
    pub(crate) arcp_agent: String,
}

#[derive(Deserialize)]
struct Generated {
    key: CredentialValue,
}

/// `/key/update`.
#[derive(Serialize)]
pub(crate) struct Update<'a> {
    pub(crate) key: &'a str,
    pub(crate) max_budget: Amount,
}

#[derive(Deserialize)]
struct Updated {
    spend: Number,
}

/// `/key/delete`.
#[derive(Serialize)]
struct Delete<'a> {
    key_aliases: [&'a str; 1],
}

/// What the proxy said when it did not do what it was asked to. Its own words stay out of it: they can contain keys.
#[derive(Debug, thiserror::Error)]
enum Answer {
    #[error("{path}: status {status}{}", kind.as_ref().map_or_else(String::new, |kind| format!(" ({kind})")))]
    Status { path: &'static str, status: StatusCode, kind: Option<String> },
    #[error("{path}: answer is not what was expected")]
    Malformed { path: &'static str },
    #[error("{path}: no answer")]
    Nothing {
        path: &'static str,
        #[source]
        source: reqwest::Error,
    },
}

impl Api {
    pub(crate) fn new(
        url: Url,
        master_key: MasterKey,
        timeout: Duration,
        loopback: bool,
    ) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder().timeout(timeout).redirect(redirect::Policy::none()).referer(false);
        if loopback {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build()?, url, master_key })
    }

    pub(crate) async fn generate(&self, key: &Generate<'_>) -> Result<CredentialValue, ProvisionError> {
        let path = "key/generate";
        let generated: Generated = read(path, &self.call(path, key).await?)?;
        if generated.key.expose().is_empty() {
            return Err(malformed(path));
        }
        Ok(generated.key)
    }

    /// Changes what a key may spend. Returns what was spent with it.
    pub(crate) async fn update(&self, key: &Update<'_>) -> Result<Amount, ProvisionError> {
        let path = "key/update";
        let updated: Updated = read(path, &self.call(path, key).await?)?;
        Ok(updated.spend.to_amount_rounded_up())
    }

    /// Deletes the key with an alias. One that is not there is deleted.
    pub(crate) async fn delete(&self, key_alias: &str) -> Result<(), ProvisionError> {
        let path = "key/delete";
        let (status, body) = self.send(path, &Delete { key_aliases: [key_alias] }).await?;
        // A server that has no such path says 404 too, but not so.
        let gone = status == StatusCode::NOT_FOUND && error_of(&body).is_some();
        if status.is_success() || gone { Ok(()) } else { Err(refused(path, status, &body)) }
    }

    async fn call<B: Serialize>(&self, path: &'static str, body: &B) -> Result<String, ProvisionError> {
        let (status, body) = self.send(path, body).await?;
        if status.is_success() { Ok(body) } else { Err(refused(path, status, &body)) }
    }

    async fn send<B: Serialize>(
        &self,
        path: &'static str,
        body: &B,
    ) -> Result<(StatusCode, String), ProvisionError> {
        let nothing = |source: reqwest::Error| {
            ProvisionError::Transient(Box::new(Answer::Nothing { path, source: source.without_url() }))
        };
        let url = self.url.join(path).map_err(|_| malformed(path))?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", self.master_key.expose())).map_err(|_| {
                ProvisionError::Permanent("administrator's key has characters that no key has".into())
            })?;
        bearer.set_sensitive(true);
        let request = self.client.post(url).header(AUTHORIZATION, bearer).json(body);
        let mut response = request.send().await.map_err(nothing)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(nothing)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(malformed(path));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), String::from_utf8_lossy(&body).into_owned()))
    }
}

fn read<'a, T: Deserialize<'a>>(path: &'static str, body: &'a str) -> Result<T, ProvisionError> {
    serde_json::from_str(body).map_err(|_| malformed(path))
}

/// Nobody knows what has been done.
fn malformed(path: &'static str) -> ProvisionError {
    ProvisionError::Transient(Box::new(Answer::Malformed { path }))
}

fn refused(path: &'static str, status: StatusCode, body: &str) -> ProvisionError {
    let answer = Box::new(Answer::Status { path, status, kind: kind_of(body) });
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if is_budget_error(status.as_u16(), body) {
        ProvisionError::BudgetExhausted(answer)
    } else if status.is_server_error() || later.contains(&status) {
        ProvisionError::Transient(answer)
    } else {
        ProvisionError::Permanent(answer)
    }
}

/// The error that an answer of the proxy is.
pub(crate) fn error_of(body: &str) -> Option<Value> {
    let mut body: Value = serde_json::from_str(body).ok()?;
    Some(body.get_mut("error")?.take()).filter(|error| !error.is_null())
}

/// What kind of error it is, if that is said in a word of the proxy's own.
fn kind_of(body: &str) -> Option<String> {
    let error = error_of(body)?;
    let kind = error.get("type")?.as_str()?;
    let plain = kind.len() <= 40 && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    plain.then(|| kind.to_owned())
}
