//! A server that manages keys as a LiteLLM proxy does, and answers otherwise when it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// What the next call is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16, &'static str),
    /// None.
    Silence,
}

#[derive(Default)]
struct Keys {
    by_alias: BTreeMap<String, Value>,
    made: u32,
    /// What was spent with keys that are gone.
    gone: f64,
    /// The most that all keys together could come to at any time.
    most: f64,
    /// The answer to a call, and how many are answered as usual before it.
    next: Option<(u32, Answer)>,
}

impl Keys {
    fn weigh(&mut self) {
        let worth = |key: &Value| key["max_budget"].as_f64().unwrap().max(key["spend"].as_f64().unwrap());
        self.most = self.most.max(self.gone + self.by_alias.values().map(worth).sum::<f64>());
    }
}

#[derive(Clone)]
pub(crate) struct Proxy {
    keys: Arc<Mutex<Keys>>,
    master: &'static str,
    address: SocketAddr,
}

impl Proxy {
    pub(crate) async fn start(master: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { keys: Arc::default(), master, address: listener.local_addr().unwrap() };
        let router = Router::new()
            .route("/key/generate", post(generate))
            .route("/key/update", post(update))
            .route("/key/delete", post(delete))
            .fallback(async || (StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#))
            .layer(middleware::from_fn_with_state(proxy.clone(), otherwise))
            .with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the next call answered so.
    pub(crate) fn next(&self, answer: Answer) {
        self.keys.lock().unwrap().next = Some((0, answer));
    }

    /// Has the call after the next one answered so.
    pub(crate) fn next_but_one(&self, answer: Answer) {
        self.keys.lock().unwrap().next = Some((1, answer));
    }

    pub(crate) fn key(&self, alias: &str) -> Option<Value> {
        self.keys.lock().unwrap().by_alias.get(alias).cloned()
    }

    /// The keys that were made for a job.
    pub(crate) fn keys_of(&self, job: &str) -> Vec<Value> {
        let keys = self.keys.lock().unwrap();
        keys.by_alias.values().filter(|key| key["metadata"]["arcp_job_id"] == job).cloned().collect()
    }

    /// The most that all keys together could come to at any time, if each has a budget.
    pub(crate) fn most(&self) -> f64 {
        self.keys.lock().unwrap().most
    }

    pub(crate) fn spend(&self, alias: &str, amount: f64) {
        self.keys.lock().unwrap().by_alias.get_mut(alias).unwrap()["spend"] = json!(amount);
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let code = status.as_u16().to_string();
    let error = json!({ "message": message, "type": kind, "param": "None", "code": code });
    (status, json!({ "error": error }).to_string()).into_response()
}

async fn otherwise(State(proxy): State<Proxy>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let answer = {
        let mut keys = proxy.keys.lock().unwrap();
        match keys.next.take() {
            Some((0, answer)) => Some(answer),
            Some((before, answer)) => {
                keys.next = Some((before - 1, answer));
                None
            }
            None => None,
        }
    };
    match answer {
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Status(status, body)) => {
            let location = [("location", "https://elsewhere.example.com/")];
            return (StatusCode::from_u16(status).unwrap(), location, body).into_response();
        }
        None => {}
    }
    if headers["authorization"] != format!("Bearer {}", proxy.master) {
        let message = format!("Invalid proxy server token passed. Received={:?}", headers["authorization"]);
        return error(StatusCode::UNAUTHORIZED, "auth_error", &message);
    }
    next.run(request).await
}

async fn generate(State(proxy): State<Proxy>, body: String) -> Response {
    let mut key: Value = serde_json::from_str(&body).unwrap();
    let mut keys = proxy.keys.lock().unwrap();
    keys.made += 1;
    key["key"] = json!(format!("sk-virtual-{}", keys.made));
    key["spend"] = json!(0.0);
    keys.by_alias.insert(key["key_alias"].as_str().unwrap().to_owned(), key.clone());
    if key["max_budget"].is_number() {
        keys.weigh();
    }
    key.to_string().into_response()
}

async fn update(State(proxy): State<Proxy>, body: String) -> Response {
    let change: Value = serde_json::from_str(&body).unwrap();
    let mut keys = proxy.keys.lock().unwrap();
    let Some(key) = keys.by_alias.values_mut().find(|key| key["key"] == change["key"]) else {
        return error(StatusCode::NOT_FOUND, "not_found", "Key not found");
    };
    key["max_budget"] = change["max_budget"].clone();
    let answer = key.to_string();
    keys.weigh();
    answer.into_response()
}

async fn delete(State(proxy): State<Proxy>, body: String) -> Response {
    let wanted: Value = serde_json::from_str(&body).unwrap();
    let alias = wanted["key_aliases"][0].as_str().unwrap();
    let mut keys = proxy.keys.lock().unwrap();
    match keys.by_alias.remove(alias) {
        Some(key) => {
            keys.gone += key["spend"].as_f64().unwrap();
            json!({ "deleted_keys": [key["key"]] }).to_string().into_response()
        }
        None => error(StatusCode::NOT_FOUND, "auth_error", "{'error': 'No keys found'}"),
    }
}
