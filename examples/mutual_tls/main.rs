//! A runtime that knows its clients by their certificates: whoever has one of its authority gets in, with the name in it.
//!
//! ```sh
//! cargo run --example mutual_tls
//! ```
//!
//! The same without a program: `arcp serve --tls-cert FILE --tls-key FILE --client-ca FILE --client-cert-principal`, and
//! `arcp submit --ca FILE --client-cert FILE --client-key FILE`.
#![allow(clippy::print_stdout, reason = "what it prints is what it shows")]

use std::path::Path;

use arcp::Client;
use arcp::axum::{Server, TlsPeer, TlsSettings};
use arcp::proto::BearerToken;
use arcp::runtime::{
    AgentError, AuthenticationError, Authenticator, Caller, JobContext, Principal, Runtime, Visitor, agent_fn,
};
use arcp::ws::WsConnector;
use arcp::ws::tls::{self, Identity};
use axum::Router;
use axum::http::request::Parts;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Takes the common name of the client's certificate for its principal. The token is not looked at.
struct ByCertificate;

impl Authenticator for ByCertificate {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        Err(AuthenticationError::Invalid)
    }

    async fn authenticate_visitor(
        &self,
        _: &BearerToken,
        visitor: &Visitor,
    ) -> Result<Caller, AuthenticationError> {
        let tls = visitor.request::<Parts>().and_then(|request| request.extensions.get::<TlsPeer>());
        let name = tls.and_then(TlsPeer::common_name).ok_or(AuthenticationError::Invalid)?;
        Ok(Principal::new(name).into())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let files = directory.path();
    let authority = authority(files, "ca")?;
    certify(&authority, files, "server")?;
    certify(&authority, files, "ada")?;
    let (ca, cert, key) = (files.join("ca.pem"), files.join("server.pem"), files.join("server.key"));

    let greet =
        agent_fn(async |ctx: JobContext, (): ()| Ok::<_, AgentError>(format!("hello, {}", ctx.principal())));
    let runtime = Runtime::builder().authenticator(ByCertificate).agent("greet@1.0.0", greet).build()?;
    let settings = tls::server(Identity { certificates: &cert, key: &key }, Some(&ca))?;
    let server = Server::bind("127.0.0.1:0").await?.tls(TlsSettings::new(settings));
    let url = format!("wss://{}", server.local_addr()?);
    let app = Router::new().route("/arcp", arcp::axum::serve(runtime));
    tokio::spawn(server.serve(app, std::future::pending()));

    // A stranger has a certificate that says the same, of an authority of its own.
    let strangers = files.join("strangers");
    std::fs::create_dir(&strangers)?;
    certify(&self::authority(&strangers, "ca")?, &strangers, "ada")?;
    for (who, directory) in
        [("ada", Some(files)), ("a stranger", Some(strangers.as_path())), ("nobody", None)]
    {
        let own = directory.map(|directory| (directory.join("ada.pem"), directory.join("ada.key")));
        let identity = own.as_ref().map(|(certificates, key)| Identity { certificates, key });
        let connector = WsConnector::new(&url)?.with_tls_config(tls::client(Some(&ca), identity)?);
        match Client::connect(connector, "unused").await {
            Ok(client) => {
                let greeting: String = client.submit("greet").input(&()).await?.result().await?;
                println!("{who}: {greeting}");
                client.close().await;
            }
            Err(_) => println!("{who}: not let in"),
        }
    }
    Ok(())
}

/// An authority, whose certificate is written into a file. What the rest of this program makes is what an operator has.
fn authority(directory: &Path, name: &str) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(directory.join(format!("{name}.pem")), authority.pem())?;
    Ok(authority)
}

fn certify(
    authority: &CertifiedIssuer<'static, KeyPair>,
    directory: &Path,
    name: &str,
) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    std::fs::write(directory.join(format!("{name}.pem")), params.signed_by(&key, authority)?.pem())?;
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    Ok(())
}
