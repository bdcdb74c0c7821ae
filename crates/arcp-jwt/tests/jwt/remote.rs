//! Keys over HTTPS: found, rotated, and not fetched from where they must not be.

use arcp_jwt::{Builder, Jwt};
use arcp_runtime::AuthenticationError;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::issuer::{Answer, Issuer};
use crate::signer::Signer;
use crate::{REFUSED, alice, claims, who};

const DOCUMENT: &str = "/.well-known/openid-configuration";

const UNAVAILABLE: Result<String, AuthenticationError> = Err(AuthenticationError::Unavailable);

/// What a client that trusts the issuer's certificate begins with.
fn builder(issuer: &Issuer) -> Builder {
    Jwt::builder(&issuer.url, "arcp").certificate_authority(&issuer.certificate).allow_private_network()
}

fn jwks(issuer: &Issuer) -> Jwt {
    builder(issuer).jwks(&format!("{}/jwks", issuer.url)).unwrap()
}

fn token(issuer: &Issuer, signer: &Signer) -> String {
    signer.sign(&claims_of(issuer))
}

fn claims_of(issuer: &Issuer) -> Value {
    let mut claims = claims();
    claims["iss"] = json!(issuer.url);
    claims
}

#[tokio::test]
async fn keys_are_fetched_with_the_first_token_and_kept() {
    let issuer = Issuer::start().await;
    let (one, two) = (Signer::new("1", Algorithm::ES256), Signer::new("2", Algorithm::RS256));
    issuer.publishes(&[one.jwk(), two.jwk()]);
    let jwt = jwks(&issuer);
    assert_eq!(issuer.asked_at_all(), 0);
    for signer in [&one, &two, &one] {
        assert_eq!(who(&jwt, &token(&issuer, signer)).await, alice());
    }
    assert_eq!(issuer.asked("/jwks"), 1);
    issuer.answers("/jwks", Answer::Status(500));
    assert_eq!(who(&jwt, &token(&issuer, &one)).await, alice(), "the issuer is not needed for each token");
}

#[tokio::test]
async fn many_keys_that_are_not_known_are_one_fetch() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::ES256);
    issuer.publishes(&[one.jwk()]);
    let jwt = jwks(&issuer);
    for number in 0..200 {
        let mut header = one.header();
        header["kid"] = json!(format!("x{number}"));
        assert_eq!(who(&jwt, &one.sign_as(&header, &claims_of(&issuer))).await, REFUSED);
    }
    assert_eq!(issuer.asked("/jwks"), 1);
    assert_eq!(who(&jwt, &token(&issuer, &one)).await, alice());
}

#[tokio::test]
async fn tokens_that_cannot_be_good_cause_no_fetch() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::ES256);
    issuer.publishes(&[one.jwk()]);
    let jwt = jwks(&issuer);
    let nameless = one.sign_as(&json!({ "alg": "ES256" }), &claims_of(&issuer));
    for bad in ["s3cret", "a.b.c", &"x".repeat(20_000), &nameless] {
        assert_eq!(who(&jwt, bad).await, REFUSED);
    }
    assert_eq!(issuer.asked_at_all(), 0);
}

#[tokio::test]
async fn keys_that_are_of_no_use_are_left_out() {
    let issuer = Issuer::start().await;
    let (good, bad) = (Signer::new("1", Algorithm::ES256), Signer::new("2", Algorithm::ES256));
    let with = |name: &str, value: Value| {
        let mut jwk = bad.jwk();
        jwk[name] = value;
        jwk
    };
    let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0".repeat(8) });
    let mut nameless = bad.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let others = [
        json!(7),
        with("use", json!("enc")),
        with("kty", json!("new")),
        with("x", json!("A")),
        nameless,
        secret,
    ];
    issuer.publishes(&[&others[..], &[good.jwk()]].concat());
    let jwt = jwks(&issuer);
    assert_eq!(who(&jwt, &token(&issuer, &good)).await, alice());
    assert_eq!(who(&jwt, &token(&issuer, &bad)).await, REFUSED);
    let decoded = "secret".repeat(8);
    let header = json!({ "alg": "HS256", "kid": "s" });
    let symmetric = crate::signer::sign_with_secret(&header, &claims_of(&issuer), decoded.as_bytes());
    assert_eq!(who(&jwt, &symmetric).await, REFUSED, "a secret that is published is none");
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::EdDSA);
    issuer.publishes(&[one.jwk()]);
    let uri = format!("{}/jwks", issuer.url);
    issuer.answers(DOCUMENT, Answer::Json(json!({ "issuer": issuer.url, "jwks_uri": uri, "more": [] })));
    let jwt = builder(&issuer).discover().unwrap();
    assert_eq!(who(&jwt, &token(&issuer, &one)).await, alice());
    assert_eq!((issuer.asked(DOCUMENT), issuer.asked("/jwks")), (1, 1));
}

#[tokio::test]
async fn a_configuration_that_leads_astray_is_not_followed() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::EdDSA);
    issuer.publishes(&[one.jwk()]);
    let uri = format!("{}/jwks", issuer.url);
    let plain = uri.replace("https://localhost", "http://id.example");
    for configuration in [
        json!({ "issuer": "https://evil.example", "jwks_uri": uri }),
        json!({ "issuer": format!("{}/", issuer.url), "jwks_uri": uri }),
        json!({ "jwks_uri": uri }),
        json!({ "issuer": issuer.url }),
        json!({ "issuer": issuer.url, "jwks_uri": plain }),
        json!({ "issuer": issuer.url, "jwks_uri": "https://169.254.169.254/jwks" }),
        json!({ "issuer": issuer.url, "jwks_uri": "file:///etc/passwd" }),
        json!({ "issuer": issuer.url, "jwks_uri": "/jwks" }),
        json!([]),
    ] {
        issuer.answers(DOCUMENT, Answer::Json(configuration.clone()));
        let jwt = builder(&issuer).discover().unwrap();
        assert_eq!(who(&jwt, &token(&issuer, &one)).await, UNAVAILABLE, "{configuration}");
    }
    assert_eq!(issuer.asked("/jwks"), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_the_keys_is_none() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::ES256);
    issuer.answers("/elsewhere", Answer::Json(json!({ "keys": [one.jwk()] })));
    for answer in [
        Answer::Redirect("/elsewhere"),
        Answer::Status(500),
        Answer::Status(204),
        Answer::Json(json!([one.jwk()])),
        Answer::Json(json!({ "keys": one.jwk() })),
        Answer::Long(64 * 1024 + 1),
    ] {
        issuer.answers("/jwks", answer);
        assert_eq!(who(&jwks(&issuer), &token(&issuer, &one)).await, UNAVAILABLE);
    }
    assert_eq!((issuer.asked("/jwks"), issuer.asked("/elsewhere")), (6, 0));
    issuer.answers("/jwks", Answer::Json(json!({ "keys": [one.jwk()], "padding": "x".repeat(60_000) })));
    assert_eq!(who(&jwks(&issuer), &token(&issuer, &one)).await, alice(), "it is not the length");
}

/// The clock of the test stands still, and goes on by itself when everybody waits.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let issuer = Issuer::start().await;
    issuer.answers("/jwks", Answer::Never);
    let one = Signer::new("1", Algorithm::ES256);
    let begun = tokio::time::Instant::now();
    assert_eq!(who(&jwks(&issuer), &token(&issuer, &one)).await, UNAVAILABLE);
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn an_issuer_that_is_down_or_not_to_be_trusted_lets_nobody_in() {
    let issuer = Issuer::start().await;
    let one = Signer::new("1", Algorithm::ES256);
    issuer.publishes(&[one.jwk()]);
    let url = format!("{}/jwks", issuer.url);
    let another = Issuer::start().await;
    let jwt =
        Jwt::builder(&issuer.url, "arcp").certificate_authority(&another.certificate).allow_private_network();
    assert_eq!(who(&jwt.jwks(&url).unwrap(), &token(&issuer, &one)).await, UNAVAILABLE, "certificate");
    let jwt = Jwt::builder(&issuer.url, "arcp").certificate_authority(&issuer.certificate);
    assert_eq!(
        who(&jwt.jwks(&url).unwrap(), &token(&issuer, &one)).await,
        UNAVAILABLE,
        "a name of this machine"
    );
    assert_eq!(issuer.asked_at_all(), 0);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let jwt = builder(&issuer).jwks(&format!("https://localhost:{}/jwks", closed.port())).unwrap();
    assert_eq!(who(&jwt, &token(&issuer, &one)).await, UNAVAILABLE, "nobody listens");
}
