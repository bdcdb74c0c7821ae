//! A client of the chat API: a question goes out as JSON, the answer comes as server-sent events.

use arcp::runtime::AgentError;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

/// The longest line of an answer that is read, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Where to ask, and with which key.
#[derive(Clone)]
pub(crate) struct Chat {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// What an answer is made of.
pub(crate) enum Piece {
    /// Some of its text.
    Text(String),
    /// How many tokens it has cost, which comes last.
    Usage(u64),
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: u64,
}

impl Chat {
    /// `base` is such as `https://llm.example.com/v1`.
    pub(crate) fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        // The process may have one already; then that is the one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, url: format!("{base}/chat/completions"), key: key.to_owned() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks, and gives the answer as it comes.
    pub(crate) async fn ask(
        &self,
        model: &str,
        prompt: &str,
        max_tokens: u64,
    ) -> Result<impl Stream<Item = Result<Piece, AgentError>> + Send + use<>, AgentError> {
        let body = json!({
            "model": model,
            "messages": [{ "role": "user", "content": prompt }],
            "max_tokens": max_tokens,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let response = self.http.post(&self.url).bearer_auth(&self.key).json(&body).send().await?;
        if !response.status().is_success() {
            let message = format!("the model's server answers with {}", response.status());
            return Err(AgentError::new("MODEL_FAILED", message));
        }
        let bytes = response.bytes_stream().map_err(AgentError::from);
        Ok(lines(bytes)
            .try_filter_map(|line| async move { pieces(&line) })
            .map_ok(stream::iter)
            .map_ok(|pieces| pieces.map(Ok))
            .try_flatten())
    }
}

/// What one line of an answer says: `data:` and JSON, or nothing.
fn pieces(line: &str) -> Result<Option<Vec<Piece>>, AgentError> {
    let Some(data) = line.strip_prefix("data:").map(str::trim).filter(|data| *data != "[DONE]") else {
        return Ok(None);
    };
    let Chunk { choices, usage } = serde_json::from_str(data)?;
    let text = choices.into_iter().filter_map(|choice| choice.delta.content).map(Piece::Text);
    Ok(Some(text.chain(usage.map(|usage| Piece::Usage(usage.total_tokens))).collect()))
}

/// Cuts what comes into lines.
fn lines<B: AsRef<[u8]>>(
    bytes: impl Stream<Item = Result<B, AgentError>> + Send,
) -> impl Stream<Item = Result<String, AgentError>> + Send {
    let mut rest = Vec::new();
    let ended = stream::once(async { Ok(None) });
    bytes
        .map_ok(Some)
        .chain(ended)
        .map_ok(move |more| {
            let Some(more) = more else { return vec![Ok(std::mem::take(&mut rest))] };
            rest.extend_from_slice(more.as_ref());
            let mut lines = Vec::new();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let after = rest.split_off(end + 1);
                lines.push(Ok(std::mem::replace(&mut rest, after)));
            }
            if rest.len() > MAX_LINE {
                lines.push(Err(AgentError::new("MODEL_FAILED", "the answer has a line that is too long")));
            }
            lines
        })
        .map_ok(stream::iter)
        .try_flatten()
        .and_then(async |line: Vec<u8>| Ok(String::from_utf8(line)?))
}
