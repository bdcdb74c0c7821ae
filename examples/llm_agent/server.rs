//! A small server of the chat API: it answers every question in the same words, one event a word, and counts them as tokens.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};

const ANSWER: &str = "What a job may do, for how long, and for how much.";

/// Starts it on a free port, and gives its base URL.
pub(crate) async fn start(key: &'static str) -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let completions = post(async move |headers: HeaderMap, body: String| complete(key, &headers, &body));
    let app = Router::new().route("/v1/chat/completions", completions);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

fn complete(key: &str, headers: &HeaderMap, body: &str) -> Response {
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if presented.and_then(|value| value.strip_prefix("Bearer ")) != Some(key) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(request) = serde_json::from_str::<Value>(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let limit = request["max_tokens"].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let words: Vec<_> = ANSWER.split_inclusive(' ').take(limit.unwrap_or(usize::MAX)).collect();
    let asked: usize = request["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|message| message["content"].as_str())
        .map(|text| text.split_whitespace().count())
        .sum();
    let usage = json!({ "prompt_tokens": asked, "completion_tokens": words.len(), "total_tokens": asked + words.len() });
    let mut events: Vec<_> =
        words.iter().map(|word| json!({ "choices": [{ "delta": { "content": word } }] })).collect();
    events.push(json!({ "choices": [], "usage": usage }));
    let mut frames: Vec<_> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    frames.push("data: [DONE]\n\n".to_owned());
    let body = Body::from_stream(stream::iter(frames.into_iter().map(Ok::<_, std::convert::Infallible>)));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}
