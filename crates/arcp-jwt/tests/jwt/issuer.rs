//! An issuer: a server with a certificate of its own, which publishes what a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is answered at a path.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Value),
    Status(u16),
    Redirect(&'static str),
    /// So many bytes.
    Long(usize),
    Never,
}

pub(crate) struct Issuer {
    /// `https://localhost` with its port.
    pub(crate) url: String,
    /// In PEM.
    pub(crate) certificate: String,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    answers: BTreeMap<String, Answer>,
    asked: BTreeMap<String, usize>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![cert.der().clone()], key).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        let pages = Arc::new(Mutex::new(Pages::default()));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&pages));
        let listener = Tls { tcp, acceptor: TlsAcceptor::from(Arc::new(server)) };
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, certificate: cert.pem(), pages }
    }

    pub(crate) fn answers(&self, path: &str, answer: Answer) {
        self.pages.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Publishes keys at `/jwks`.
    pub(crate) fn publishes(&self, keys: &[Value]) {
        self.answers("/jwks", Answer::Json(json!({ "keys": keys })));
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.pages.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }

    /// How often anything was asked for.
    pub(crate) fn asked_at_all(&self) -> usize {
        self.pages.lock().unwrap().asked.values().sum()
    }
}

async fn answer(State(pages): State<Arc<Mutex<Pages>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let answer = {
        let mut pages = pages.lock().unwrap();
        *pages.asked.entry(path.clone()).or_default() += 1;
        pages.answers.get(&path).cloned()
    };
    match answer {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Json(value)) => value.to_string().into_response(),
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Redirect(to)) => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Some(Answer::Long(bytes)) => Body::from(vec![b' '; bytes]).into_response(),
        Some(Answer::Never) => std::future::pending().await,
    }
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (tcp, address) = self.tcp.accept().await.unwrap();
            if let Ok(tls) = self.acceptor.accept(tcp).await {
                return (tls, address); // whoever does not trust the certificate has gone
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
