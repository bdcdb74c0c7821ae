//! `wss://`: whom a client trusts, and what it is told when it does not.

use std::sync::Arc;

use arcp_transport::{CloseCode, ConnectError, Connector, Frame, Listener, TransportError};
use arcp_transport_ws::{WsConfig, WsConnector, WsListener, tls};
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};

use crate::{error, frame, send_and_close};

/// A certificate authority of one's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
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

async fn listen(config: Arc<ServerConfig>) -> WsListener {
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let strict = WsConfig { max_frame_bytes: 64 * 1024, ..WsConfig::server() };
    listener.with_tls(config).with_config(strict)
}

/// What a client that trusts `trusted` is told by a runtime with a certificate of `signer`.
async fn refusal(trusted: &Authority, signer: &Authority, names: &[&str]) -> ConnectError {
    let mut listener = listen(signer.server(names)).await;
    let url = format!("wss://{}", listener.local_addr());
    tokio::spawn(async move { listener.accept().await });
    let connector = WsConnector::new(&url).unwrap().with_tls_config(trusted.client());
    connector.connect().await.err().expect("no link")
}

/// The text of an error and of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn frames_and_closing_over_tls() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let mut listener = listen(authority.server(&["localhost", "127.0.0.1"])).await;
        let url = format!("wss://{host}:{}", listener.local_addr().port());
        let connector = WsConnector::new(&url).unwrap().with_tls_config(authority.client());
        let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
        let (mut client, (mut server, peer)) = (client.unwrap(), accepted.unwrap());
        assert!(peer.secure);

        let long = Frame::text("x".repeat(1024 * 1024));
        let runtime = tokio::spawn({
            let long = long.clone();
            async move {
                assert_eq!(frame(&mut server).await, Frame::text("{}"));
                server.send(long).await.unwrap();
                assert_eq!(frame(&mut server).await, Frame::close(CloseCode::NORMAL, "done"));
                assert!(server.next().await.is_none());
                server.close().await.unwrap();
            }
        });
        client.send(Frame::text("{}")).await.unwrap();
        assert_eq!(frame(&mut client).await, long);
        send_and_close(&mut client, [Frame::close(CloseCode::NORMAL, "done")]).await;
        runtime.await.unwrap();
    }
}

#[tokio::test]
async fn a_frame_too_large_is_answered_over_tls_too() {
    let authority = Authority::new();
    let mut listener = listen(authority.server(&["127.0.0.1"])).await;
    let url = format!("wss://{}", listener.local_addr());
    let connector = WsConnector::new(&url).unwrap().with_tls_config(authority.client());
    let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
    let (mut client, (mut server, _)) = (client.unwrap(), accepted.unwrap());

    let close = Frame::close(CloseCode::TOO_LARGE, "");
    let runtime = tokio::spawn({
        let close = close.clone();
        async move {
            assert!(matches!(error(&mut server).await, TransportError::FrameTooLarge { .. }));
            send_and_close(&mut server, [Frame::text("no"), close]).await;
        }
    });
    client.send(Frame::text("x".repeat(8 * 1024 * 1024))).await.unwrap();
    assert_eq!(frame(&mut client).await, Frame::text("no"));
    assert_eq!(frame(&mut client).await, close);
    client.close().await.unwrap();
    runtime.await.unwrap();
}

#[tokio::test]
async fn a_cut_over_tls_is_an_end_without_a_close_frame() {
    let authority = Authority::new();
    let mut listener = listen(authority.server(&["127.0.0.1"])).await;
    let url = format!("wss://{}", listener.local_addr());
    let connector = WsConnector::new(&url).unwrap().with_tls_config(authority.client());
    let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
    drop(accepted.unwrap());
    assert!(client.unwrap().next().await.is_none());
}

#[tokio::test]
async fn an_unknown_authority_is_named_as_the_reason() {
    for (trusted, signer) in [("ours", "theirs"), ("of the same name", "of the same name")] {
        let error = refusal(&Authority::named(trusted), &Authority::named(signer), &["127.0.0.1"]).await;
        assert!(matches!(error, ConnectError::Tls { .. }) && !error.is_transient());
        let text = error.to_string();
        assert!(text.starts_with("TLS with 127.0.0.1:"), "{text}");
        assert!(text.ends_with("not signed by a certificate authority that is trusted here"), "{text}");
        assert!(chain(&error).contains("invalid peer certificate"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_named_as_the_reason() {
    let authority = Authority::new();
    let error = refusal(&authority, &authority, &["agents.example"]).await;
    assert!(error.to_string().contains("for another host name"), "{error}");
}

#[tokio::test]
async fn a_port_without_tls_is_recognised() {
    let (mut listener, url) = crate::listen(WsConfig::server()).await;
    tokio::spawn(async move { listener.accept().await });
    let connector = WsConnector::new(&url.replace("ws://", "wss://")).unwrap();
    let error = connector.with_tls_config(Authority::new().client()).connect().await.err().unwrap();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("does not speak TLS on that port"), "{}", chain(&error));
}

#[tokio::test]
async fn a_port_with_tls_does_not_answer_without() {
    let mut listener = listen(Authority::new().server(&["127.0.0.1"])).await;
    let url = format!("ws://{}", listener.local_addr());
    tokio::spawn(async move { listener.accept().await });
    let error = WsConnector::new(&url).unwrap().connect().await.err().unwrap();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
}

#[tokio::test]
async fn the_default_trusts_the_roots_of_the_system_and_nobody_else() {
    tls::system_roots().expect("this machine trusts some certificate authority");

    let mut listener = listen(Authority::new().server(&["127.0.0.1"])).await;
    let url = format!("wss://{}", listener.local_addr());
    tokio::spawn(async move { listener.accept().await });
    let error = WsConnector::new(&url).unwrap().connect().await.err().unwrap();
    assert!(error.to_string().contains("not signed by a certificate authority"), "{}", chain(&error));
}
