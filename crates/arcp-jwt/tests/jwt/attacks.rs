//! Tokens that somebody has made to get in with, each of them one step from a good one.

use arcp_jwt::{Jwt, Key};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::signer::{Signer, message, sign_with_secret};
use crate::{FAR, ISSUER, REFUSED, alice, claims, who};

struct Gate {
    signer: Signer,
    jwt: Jwt,
}

impl Gate {
    fn new(algorithm: Algorithm) -> Self {
        let signer = Signer::new("good", algorithm);
        let key = Key::from_jwk(&signer.jwk().to_string()).unwrap();
        let jwt = Jwt::builder(ISSUER, "arcp").scope("run").keys([key]).unwrap();
        Self { signer, jwt }
    }

    fn claims() -> Value {
        let mut claims = claims();
        claims["scope"] = json!("openid run");
        claims
    }

    /// The good token is good, so it is what follows that is wrong with another.
    async fn lets_the_good_one_in(&self) {
        assert_eq!(who(&self.jwt, &self.signer.sign(&Self::claims())).await, alice());
    }

    async fn refuses(&self, token: &str, why: &str) {
        assert_eq!(who(&self.jwt, token).await, REFUSED, "{why}");
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let gate = Gate::new(Algorithm::ES256);
    gate.lets_the_good_one_in().await;
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = message(&json!({ "alg": name, "kid": "good" }), &Gate::claims());
        gate.refuses(&format!("{unsigned}."), name).await;
        gate.refuses(&unsigned, name).await;
        let signed = gate.signer.sign_as(&json!({ "alg": name, "kid": "good" }), &Gate::claims());
        gate.refuses(&signed, name).await;
    }
    let good = gate.signer.sign(&Gate::claims());
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    gate.refuses(&format!("{unsigned}."), "stripped").await;
    gate.refuses(&format!("{unsigned}.AAAA"), "another").await;
}

#[tokio::test]
async fn the_public_key_is_no_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let gate = Gate::new(algorithm);
        gate.lets_the_good_one_in().await;
        let jwk = gate.signer.jwk();
        let raw = jwk["n"].as_str().or(jwk["x"].as_str()).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let secrets =
            [gate.signer.public.as_bytes(), gate.signer.public.trim().as_bytes(), b"", &raw.unwrap()];
        for secret in secrets {
            let header = json!({ "alg": "HS256", "kid": "good", "typ": "JWT" });
            gate.refuses(&sign_with_secret(&header, &Gate::claims(), secret), "as a secret").await;
            let lying = gate.signer.header();
            gate.refuses(&sign_with_secret(&lying, &Gate::claims(), secret), "and under its own name").await;
        }
    }
}

#[tokio::test]
async fn the_key_says_what_the_algorithm_is_and_the_token_does_not() {
    let gate = Gate::new(Algorithm::RS256);
    gate.lets_the_good_one_in().await;
    for name in ["RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "rs256", "RS256 "] {
        let header = json!({ "alg": name, "kid": "good" });
        gate.refuses(&gate.signer.sign_as(&header, &Gate::claims()), name).await;
    }
    gate.refuses(&gate.signer.sign_as(&json!({ "kid": "good" }), &Gate::claims()), "none named").await;
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_not_used() {
    let gate = Gate::new(Algorithm::ES256);
    gate.lets_the_good_one_in().await;
    let mallory = Signer::new("good", Algorithm::ES256);
    let bait = [
        ("jwk", mallory.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!([URL_SAFE_NO_PAD.encode("certificate")])),
    ];
    for (name, value) in bait {
        let mut header = mallory.header();
        header[name] = value;
        gate.refuses(&mallory.sign_as(&header, &Gate::claims()), name).await;
        // Nor does it matter what they are in a token that is good.
        let good = gate.signer.sign_as(&header, &Gate::claims());
        assert_eq!(who(&gate.jwt, &good).await, alice(), "{name}");
    }
}

#[tokio::test]
async fn another_kid_is_another_key() {
    let gate = Gate::new(Algorithm::ES256);
    for kid in ["bad", "Good", "", "../../good", "good' OR 1=1"] {
        let header = json!({ "alg": "ES256", "kid": kid });
        gate.refuses(&gate.signer.sign_as(&header, &Gate::claims()), kid).await;
    }
    for kid in [json!(7), json!(["good"])] {
        let header = json!({ "alg": "ES256", "kid": kid });
        gate.refuses(&gate.signer.sign_as(&header, &Gate::claims()), "of another kind").await;
    }
    let without = gate.signer.sign_as(&json!({ "alg": "ES256" }), &Gate::claims());
    assert_eq!(who(&gate.jwt, &without).await, alice(), "a key at hand needs no name");
}

#[tokio::test]
async fn claims_that_are_not_right_are_refused() {
    let gate = Gate::new(Algorithm::ES256);
    gate.lets_the_good_one_in().await;
    for (name, value) in [
        ("exp", json!(1)),
        ("nbf", json!(FAR)),
        ("iss", json!("https://evil.example")),
        ("aud", json!("another")),
        ("sub", json!("")),
        ("scope", json!("openid")),
        ("arcp_lease", json!({ "fs.read": "everything" })),
    ] {
        let mut claims = Gate::claims();
        claims[name] = value;
        gate.refuses(&gate.signer.sign(&claims), name).await;
    }
    for name in ["exp", "iss", "aud", "sub", "scope"] {
        let mut claims = Gate::claims();
        claims.as_object_mut().unwrap().remove(name);
        gate.refuses(&gate.signer.sign(&claims), name).await;
    }
    for claims in [json!([]), json!("alice"), json!(null)] {
        gate.refuses(&gate.signer.sign(&claims), "no object").await;
    }
}

#[tokio::test]
async fn what_was_changed_after_it_was_signed_is_refused() {
    let gate = Gate::new(Algorithm::EdDSA);
    let good = gate.signer.sign(&Gate::claims());
    assert_eq!(who(&gate.jwt, &good).await, alice());
    let parts: Vec<&str> = good.split('.').collect();
    let mut root = Gate::claims();
    root["sub"] = json!("root");
    let claims = URL_SAFE_NO_PAD.encode(root.to_string());
    gate.refuses(&format!("{}.{claims}.{}", parts[0], parts[2]), "claims").await;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
    gate.refuses(&format!("{header}.{}.{}", parts[1], parts[2]), "header").await;
    gate.refuses(&format!("{good}="), "padding").await;
    gate.refuses(&format!(" {good}"), "a space").await;
    gate.refuses(&format!("{good}.{}", parts[2]), "a fourth part").await;
    gate.refuses(&parts[..2].join("."), "two parts").await;
    for garbage in ["", ".", "..", "...", "a.b.c", "s3cret", "\u{1F980}.\u{1F980}.\u{1F980}"] {
        gate.refuses(garbage, garbage).await;
    }
}

#[tokio::test]
async fn what_a_header_demands_is_understood_or_refused() {
    let gate = Gate::new(Algorithm::ES256);
    let signed = |name: &str, value: Value| {
        let mut header = gate.signer.header();
        header[name] = value;
        gate.signer.sign_as(&header, &Gate::claims())
    };
    gate.refuses(&signed("crit", json!(["b64"])), "crit").await;
    gate.refuses(&signed("crit", json!([])), "an empty crit").await;
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", ""] {
        gate.refuses(&signed("typ", json!(typ)), typ).await;
    }
    for typ in ["jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        assert_eq!(who(&gate.jwt, &signed("typ", json!(typ))).await, alice(), "{typ}");
    }
    let twice = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"none","kid":"good"}"#),
        URL_SAFE_NO_PAD.encode(Gate::claims().to_string())
    );
    gate.refuses(&format!("{twice}."), "two algorithms").await;
}

#[tokio::test]
async fn a_token_that_is_too_long_is_refused_though_it_is_good() {
    let gate = Gate::new(Algorithm::ES256);
    let padded = |length: usize| {
        let mut claims = Gate::claims();
        claims["padding"] = json!("x".repeat(length));
        gate.signer.sign(&claims)
    };
    assert_eq!(who(&gate.jwt, &padded(8 * 1024)).await, alice());
    let long = padded(13 * 1024);
    assert!(long.len() > 16 * 1024);
    gate.refuses(&long, "too long").await;
    gate.refuses(&"a".repeat(16 << 20), "far too long").await;
}
