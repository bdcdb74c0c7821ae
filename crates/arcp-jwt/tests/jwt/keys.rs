//! Which keys are taken, and that each of them is good for its own algorithm alone.

use arcp_jwt::{Jwt, Key, KeyError, SetupError};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use std::time::Duration;

use crate::signer::{Signer, sign_with_secret};
use crate::{ISSUER, REFUSED, alice, claims, who};

fn jwt(key: Key) -> Jwt {
    Jwt::builder(ISSUER, "arcp").keys([key]).unwrap()
}

#[tokio::test]
async fn every_kind_of_key_checks_its_tokens_from_pem_and_from_jwk() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let signer = Signer::new("k", algorithm);
        let token = signer.sign(&claims());
        assert_eq!(who(&jwt(signer.key()), &token).await, alice(), "{algorithm:?}");
        let jwk = Key::from_jwk(&signer.jwk().to_string()).unwrap();
        assert_eq!(who(&jwt(jwk), &token).await, alice(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_jwk_may_name_another_algorithm_of_its_family_and_then_it_is_that() {
    let signer = Signer::new("k", Algorithm::PS384);
    let pinned = jwt(Key::from_jwk(&signer.jwk().to_string()).unwrap());
    let token = signer.sign(&claims());
    assert_eq!(who(&pinned, &token).await, alice());
    assert_eq!(who(&jwt(signer.key()), &token).await, REFUSED, "without a name it is RS256");
    let mut jwk = signer.jwk();
    jwk["alg"] = json!("HS256");
    assert_eq!(Key::from_jwk(&jwk.to_string()).unwrap_err(), KeyError::Unsupported);
    jwk["alg"] = json!("none");
    assert_eq!(Key::from_jwk(&jwk.to_string()).unwrap_err(), KeyError::Unsupported);
}

#[tokio::test]
async fn a_secret_must_be_configured_as_such() {
    let secret = [7; 32];
    let jwt = jwt(Key::shared_secret(&secret).unwrap());
    assert_eq!(who(&jwt, &sign_with_secret(&json!({ "alg": "HS256" }), &claims(), &secret)).await, alice());
    assert_eq!(who(&jwt, &sign_with_secret(&json!({ "alg": "HS256" }), &claims(), &[8; 32])).await, REFUSED);
    assert_eq!(who(&jwt, &sign_with_secret(&json!({ "alg": "HS512" }), &claims(), &secret)).await, REFUSED);
    assert_eq!(Key::shared_secret(&[7; 31]).unwrap_err(), KeyError::Short);
    let jwk = json!({ "kty": "oct", "k": "A".repeat(43), "alg": "HS256" });
    assert_eq!(Key::from_jwk(&jwk.to_string()).unwrap_err(), KeyError::Symmetric);
}

#[test]
fn what_is_no_public_key_for_signatures_is_refused_and_not_repeated() {
    let signer = Signer::new("k", Algorithm::ES256);
    assert_eq!(Key::from_pem(&signer.private).unwrap_err(), KeyError::Private);
    for bad in ["", "hunter2", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(Key::from_pem(bad).unwrap_err(), KeyError::Malformed);
    }
    let two = format!("{}{}", signer.public, signer.public);
    assert_eq!(Key::from_pem(&two).unwrap_err(), KeyError::Malformed);
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[name] = value;
        Key::from_jwk(&jwk.to_string()).unwrap_err()
    };
    assert_eq!(with("d", json!("hunter2")), KeyError::Private);
    assert_eq!(with("use", json!("enc")), KeyError::Unsupported);
    assert_eq!(with("key_ops", json!(["encrypt"])), KeyError::Unsupported);
    assert_eq!(with("crv", json!("P-384")), KeyError::Unsupported);
    assert_eq!(with("crv", json!("secp256k1")), KeyError::Unsupported);
    assert_eq!(with("kty", json!("hunter2")), KeyError::Unsupported);
    assert_eq!(with("x", json!("AAAA")), KeyError::Unsupported);
    assert_eq!(with("x", json!("?")), KeyError::Malformed);
    assert_eq!(with("x", json!(7)), KeyError::Malformed);
    assert_eq!(Key::from_jwk("[]").unwrap_err(), KeyError::Malformed);
    let short = json!({ "kty": "RSA", "n": "A".repeat(171), "e": "AQAB" });
    assert_eq!(Key::from_jwk(&short.to_string()).unwrap_err(), KeyError::Short);
    let secret = Key::shared_secret(b"hunter2 hunter2 hunter2 hunter2 ").unwrap();
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[test]
fn what_would_let_anybody_in_or_nobody_is_not_set_up() {
    let key = || Signer::new("k", Algorithm::ES256).key();
    assert!(matches!(Jwt::builder("", "arcp").keys([key()]), Err(SetupError::Empty)));
    assert!(matches!(Jwt::builder(ISSUER, "").keys([key()]), Err(SetupError::Empty)));
    assert!(matches!(Jwt::builder(ISSUER, "arcp").audience("").keys([key()]), Err(SetupError::Empty)));
    assert!(matches!(Jwt::builder(ISSUER, "arcp").keys([]), Err(SetupError::NoKey)));
    let skewed = |seconds| Jwt::builder(ISSUER, "arcp").skew(Duration::from_secs(seconds)).keys([key()]);
    assert!(skewed(300).is_ok());
    assert!(matches!(skewed(301), Err(SetupError::Skew)));
    assert!(matches!(Jwt::builder("alice", "arcp").discover(), Err(SetupError::Url(_))));
    assert!(matches!(Jwt::builder("https://id.example?a=b", "arcp").discover(), Err(SetupError::Url(_))));
    assert!(matches!(Jwt::builder(ISSUER, "arcp").jwks("http://id.example/jwks"), Err(SetupError::Url(_))));
    let bad = Jwt::builder(ISSUER, "arcp").certificate_authority("hunter2").jwks("https://id.example/jwks");
    assert!(bad.is_err_and(|error| !error.to_string().contains("hunter2")));
}
