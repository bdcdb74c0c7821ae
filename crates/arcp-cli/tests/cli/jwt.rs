//! `arcp serve --jwt-issuer`: who gets in with a JWT, and with what.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::program::{Serving, arcp, exits, serve, text};

const ISSUER: &str = "https://id.example";

struct Signer {
    pair: KeyPair,
    key: EncodingKey,
}

impl Signer {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { pair, key }
    }

    /// The public key, in PEM.
    fn file(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(self.pair.public_key_pem().as_bytes()).unwrap();
        file
    }

    fn token(&self, issuer: &str, others: &Value) -> String {
        let mut claims = json!({ "iss": issuer, "aud": "arcp", "sub": "carol", "exp": 4_102_444_800_u64 });
        claims.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).unwrap()
    }

    fn jwks(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("k".to_owned());
        json!({ "keys": [jwk] })
    }
}

/// Runs `whoami` with a token.
fn whoami(serving: &Serving, token: &str, more: &[&str]) -> Output {
    serving.submit(&["whoami"]).args(more).env("ARCP_TOKEN", token).output().unwrap()
}

fn told(output: &Output) -> Value {
    exits(output, 0);
    serde_json::from_str(&text(&output.stdout)).unwrap()
}

#[test]
fn a_jwt_lets_its_principal_in_beside_those_with_tokens() {
    let signer = Signer::new();
    let file = signer.file();
    let path = file.path().to_str().unwrap();
    let more = ["--jwt-issuer", ISSUER, "--jwt-audience", "arcp", "--jwt-key", path, "--jwt-scope", "run"];
    let serving = serve(&more);
    let scope =
        json!({ "scope": "run", "arcp_lease": { "fs.read": ["/data/**"], "cost.budget": ["USD:1"] } });
    let token = signer.token(ISSUER, &scope);
    let carol =
        told(&whoami(&serving, &token, &["--lease", r#"{"fs.read":["/data/x"]}"#, "--budget", "USD:3"]));
    assert_eq!(carol["principal"], "carol");
    assert_eq!(carol["lease"], json!({ "fs.read": ["/data/x"], "cost.budget": ["USD:1"] }));
    assert_eq!(told(&whoami(&serving, "s3cret", &[]))["principal"], "alice");

    let carol = told(&whoami(&serving, &token, &["--lease", r#"{"fs.read":["/*/x"]}"#]));
    assert_eq!(carol["lease"]["fs.read"], json!(["/data/x"]), "what is left of it");
    let output = whoami(&serving, &token, &["--lease", r#"{"fs.read":["/etc/**"]}"#]);
    assert!(text(&output.stderr).contains("PERMISSION_DENIED"), "{}", text(&output.stderr));
    assert!(!output.status.success());
}

#[test]
fn a_jwt_that_is_not_good_is_refused_and_in_no_log() {
    let (signer, mallory) = (Signer::new(), Signer::new());
    let file = signer.file();
    let path = file.path().to_str().unwrap();
    let mut serving = serve(&["--jwt-issuer", ISSUER, "--jwt-audience", "arcp", "--jwt-key", path]);
    let bad = [
        mallory.token(ISSUER, &json!({})),
        signer.token(ISSUER, &json!({ "exp": 1 })),
        signer.token("https://evil.example", &json!({})),
        signer.token(ISSUER, &json!({ "aud": "hunter2" })),
    ];
    for token in &bad {
        let output = whoami(&serving, token, &[]);
        assert!(text(&output.stderr).contains("UNAUTHENTICATED"), "{}", text(&output.stderr));
    }
    serving.child.kill().unwrap();
    let mut log = String::new();
    serving.stderr.read_to_string(&mut log).unwrap();
    for reason in ["signature is not that of its key", "expired", "another issuer", "names nobody here"] {
        assert!(log.contains(reason), "{log}");
    }
    assert!(!log.contains("hunter2") && !log.contains("evil.example"), "{log}");
    for part in bad.iter().flat_map(|token| token.split('.')) {
        assert!(!log.contains(part), "{log}");
    }
}

/// Serves the configuration of an issuer and its keys, as long as the test runs. Returns its URL.
fn issuer(signer: &Signer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let configuration = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    let pages = [("/.well-known/openid-configuration ", configuration), ("/keys ", signer.jwks())];
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let request = text(&request);
            let page = pages.iter().find(|(path, _)| request.starts_with(&format!("GET {path}")));
            let body = page.unwrap().1.to_string();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

#[test]
fn keys_are_those_that_the_issuer_publishes() {
    let signer = Signer::new();
    let issuer = issuer(&signer);
    let keys = format!("{issuer}/keys");
    let token = signer.token(&issuer, &json!({ "email": "carol@example.com" }));
    let more = ["--jwt-issuer", &issuer, "--jwt-audience", "arcp", "--jwt-private-network"];
    let by_discovery = serve(&[&more[..], &["--jwt-principal-claim", "email"]].concat());
    assert_eq!(told(&whoami(&by_discovery, &token, &[]))["principal"], "carol@example.com");
    let by_url = serve(&[&more[..], &["--jwt-jwks-url", &keys, "--jwt-issuer-in-principal"]].concat());
    assert_eq!(told(&whoami(&by_url, &token, &[]))["principal"], format!("{issuer}#carol"));
}

#[test]
fn what_cannot_work_does_not_start() {
    let signer = Signer::new();
    let mut private = NamedTempFile::new().unwrap();
    private.write_all(signer.pair.serialize_pem().as_bytes()).unwrap();
    let private = private.path().to_str().unwrap();
    for (arguments, why) in [
        (&["--jwt-issuer", ISSUER][..], "--jwt-audience"),
        (&["--jwt-audience", "arcp"], "--jwt-issuer"),
        (&["--jwt-key", private, "--token", "a=b"], "--jwt-issuer"),
        (&["--jwt-issuer", "http://id.example", "--jwt-audience", "arcp"], "not https"),
        (&["--jwt-issuer", "https://127.0.0.1", "--jwt-audience", "arcp"], "may not be reached"),
        (&["--jwt-issuer", ISSUER, "--jwt-audience", "arcp", "--jwt-key", private], "key is private"),
        (&["--jwt-issuer", ISSUER, "--jwt-audience", "arcp", "--jwt-key", "/nothing/here"], "cannot read"),
        (&["--jwt-issuer", ISSUER, "--jwt-audience", "arcp", "--jwt-ca", private], "not in PEM"),
    ] {
        let output = arcp()
            .args(["serve", "--store", "memory", "--fixtures", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains(why), "{arguments:?}: {}", text(&output.stderr));
    }
}
