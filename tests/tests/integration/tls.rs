//! `wss://` end to end, without axum: a listener of its own, and whom a client trusts.

use std::sync::Arc;

use arcp_client::ws::WsConnector;
use arcp_client::{Client, ConnectError};
use arcp_runtime::{Limits, Runtime};
use arcp_transport_ws::WsListener;
use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

use crate::support::{runtime, token};

/// A certificate authority of one's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// A runtime on a port with TLS: itself, and the port's URL.
async fn serve(config: Arc<ServerConfig>) -> (Runtime, String) {
    let (runtime, _stage) = runtime(Limits::default());
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap().with_tls(config);
    let url = format!("wss://{}", listener.local_addr());
    let serving = runtime.clone();
    tokio::spawn(async move { serving.serve_all(listener).await });
    (runtime, url)
}

async fn refusal(url: &str, trusted: &Authority) -> ConnectError {
    let connector = WsConnector::new(url).unwrap().with_tls_config(trusted.client());
    Client::connect(connector, token("alice")).await.unwrap_err()
}

#[tokio::test]
async fn a_session_over_tls() {
    let authority = Authority::new();
    let (runtime, url) = serve(authority.server("127.0.0.1")).await;
    let connector = WsConnector::new(&url).unwrap().with_tls_config(authority.client());
    let client = Client::connect(connector, token("alice")).await.unwrap();
    let mut count = client.submit("count").input(&json!({ "n": 200, "size": 20_000 })).await.unwrap();
    assert_eq!(count.by_ref().count().await, 200);
    let mut echo = client.submit("echo").input(&"x".repeat(500_000)).await.unwrap();
    assert_eq!(echo.result::<Value>().await.unwrap()["echoed"], "x".repeat(500_000));
    client.close().await;
    assert!(runtime.shutdown().await);
}

#[tokio::test]
async fn whom_a_client_does_not_trust_it_names() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (_runtime, url) = serve(theirs.server("127.0.0.1")).await;
    let error = refusal(&url, &ours).await;
    assert!(matches!(error, ConnectError::Transport(arcp_transport::ConnectError::Tls { .. })), "{error:?}");
    assert!(error.to_string().contains("not signed by a certificate authority that is trusted"), "{error}");

    let (_runtime, url) = serve(ours.server("agents.example")).await;
    let error = refusal(&url, &ours).await;
    assert!(error.to_string().contains("another host name"), "{error}");

    let error = arcp_client::connect(url.replace("wss://", "ws://"), "t").await.unwrap_err();
    assert!(matches!(error, ConnectError::Transport(_)), "{error:?}");
}
