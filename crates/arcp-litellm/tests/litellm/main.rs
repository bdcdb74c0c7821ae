//! Virtual keys, against a server that behaves as the proxy does, and one that does not.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod family;
mod proxy;

use std::time::Duration;

use arcp_litellm::{LiteLlm, MasterKey, SetupError};
use arcp_runtime::credentials::{
    CredentialChange, CredentialOrder, CredentialProvisioner, Outstanding, ProvisionError,
};
use arcp_runtime::proto::{Amount, Budget, BudgetAmount, Timestamp};
use arcp_runtime::{Principal, ResolvedAgent};
use serde_json::json;

use crate::proxy::{Answer, Proxy};

const MASTER: &str = "sk-master-canary";

fn order(handle: &str, budget: &[&str], models: Option<&[&str]>) -> CredentialOrder {
    CredentialOrder {
        handle: handle.to_owned(),
        replaces: None,
        credential_id: "cred_1".parse().unwrap(),
        job_id: "job_1".parse().unwrap(),
        parent_job_id: None,
        principal: Principal::new("alice"),
        agent: ResolvedAgent { name: "report".parse().unwrap(), version: "1.0.0".parse().unwrap() },
        budget: budget.iter().map(|amount| amount.parse::<BudgetAmount>().unwrap()).collect::<Budget>(),
        models: models.map(|models| models.iter().map(ToString::to_string).collect()),
        expires_at: None,
    }
}

fn outstanding(handle: &str) -> Outstanding {
    let record = json!({
        "handle": handle, "credential_id": "cred_1", "job_id": "job_1", "principal": "alice",
        "since": "2026-05-13T19:42:13Z",
    });
    serde_json::from_value(record).unwrap()
}

async fn start() -> (Proxy, LiteLlm) {
    let proxy = Proxy::start(MASTER).await;
    let gateway = LiteLlm::new(&proxy.url(), MasterKey::new(MASTER)).unwrap();
    (proxy, gateway)
}

#[tokio::test]
async fn a_key_is_bounded_as_the_lease_is() {
    let (proxy, gateway) = start().await;
    let mut order = order("cred_1.1", &["USD:2.50"], Some(&["gpt-4o", "anthropic/*", "openai/**"]));
    order.parent_job_id = Some("job_0".parse().unwrap());
    order.expires_at =
        Some(Timestamp::from_millis(Timestamp::from(std::time::SystemTime::now()).as_millis() + 123_900));
    let issued = gateway.issue(&order).await.unwrap();
    let key = proxy.key("cred_1.1").unwrap();
    assert_eq!(issued.value.expose(), key["key"]);
    assert_eq!(
        (&key["max_budget"], &key["models"]),
        (&json!(2.5), &json!(["gpt-4o", "anthropic/*", "openai/*"]))
    );
    assert_eq!(key["duration"], "123s");
    let metadata = json!({
        "arcp_job_id": "job_1", "arcp_parent_job_id": "job_0", "arcp_principal": "alice",
        "arcp_agent": "report@1.0.0",
    });
    assert_eq!(key["metadata"], metadata);
    assert_eq!(issued.endpoint, format!("{}/v1", proxy.url()));
    assert_eq!(issued.profile.as_deref(), Some("openai"));
    assert_eq!(issued.constraints, order.constraints());
    gateway.revoke(&outstanding("cred_1.1")).await.unwrap();
    assert_eq!(proxy.key("cred_1.1"), None);
}

#[tokio::test]
async fn what_the_proxy_cannot_enforce_is_not_said_to_be_enforced() {
    let (proxy, gateway) = start().await;
    for patterns in [&["gpt-*"][..], &["**"], &["*"], &["openai/*", "tier-*/x"], &["a/*/b"], &["/*"]] {
        let issued = gateway.issue(&order("h.1", &["USD:1", "EUR:2"], Some(patterns))).await.unwrap();
        assert!(proxy.key("h.1").unwrap().get("models").is_none());
        assert_eq!(issued.constraints.model_use, None);
        assert_eq!(issued.constraints.cost_budget, Some(vec!["USD:1".to_owned()]));
    }
}

#[tokio::test]
async fn a_key_that_nothing_would_bound_is_not_made() {
    let (_, gateway) = start().await;
    let wants = |budget: &[&str], models| gateway.wants(&order("h.1", budget, models));
    assert!(wants(&["USD:1"], None) && wants(&[], Some(&["gpt-4o"])));
    assert!(!wants(&[], None), "nothing bounds it");
    assert!(!wants(&["EUR:1"], None), "nor does money that the proxy does not count");
    assert!(!wants(&["USD:0"], Some(&["gpt-4o"])), "nothing is left");
    assert!(!wants(&["USD:1"], Some(&[])), "no model, which to the proxy is every model");
}

#[tokio::test]
async fn a_key_that_is_not_there_is_revoked_and_a_path_that_is_not_there_is_not() {
    let (proxy, gateway) = start().await;
    gateway.revoke(&outstanding("never.1")).await.unwrap();
    let elsewhere = LiteLlm::new(&format!("{}/elsewhere", proxy.url()), MasterKey::new(MASTER)).unwrap();
    assert!(matches!(elsewhere.revoke(&outstanding("never.1")).await, Err(ProvisionError::Permanent(_))));
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_will_not() {
    let budget = r#"{"error":{"message":"Budget has been exceeded!","type":"budget_exceeded","code":"400"}}"#;
    let denied = r#"{"error":{"message":"Received=sk-canary","type":"auth_error","code":"401"}}"#;
    let cases = [
        (Answer::Status(500, ""), "Transient"),
        (Answer::Status(503, "sk-canary"), "Transient"),
        (Answer::Status(429, r#"{"error":{"type":"throttling_error"}}"#), "Transient"),
        (Answer::Status(408, ""), "Transient"),
        (Answer::Status(200, "sk-canary"), "Transient"),
        (Answer::Status(200, "{}"), "Transient"),
        (Answer::Status(200, r#"{"key":""}"#), "Transient"),
        (Answer::Status(200, r#"{"key":7}"#), "Transient"),
        (Answer::Silence, "Transient"),
        (Answer::Status(400, budget), "BudgetExhausted"),
        (Answer::Status(429, budget), "BudgetExhausted"),
        (Answer::Status(400, denied), "Permanent"),
        (Answer::Status(401, denied), "Permanent"),
        (Answer::Status(422, ""), "Permanent"),
        (Answer::Status(302, ""), "Permanent"),
    ];
    let proxy = Proxy::start(MASTER).await;
    let gateway = LiteLlm::builder(&proxy.url(), MasterKey::new(MASTER));
    let gateway = gateway.timeout(Duration::from_millis(200)).build().unwrap();
    for (answer, expected) in cases {
        proxy.next(answer);
        let error = gateway.issue(&order("h.1", &["USD:1"], None)).await.unwrap_err();
        let debug = format!("{error:?}");
        assert!(debug.starts_with(expected), "{answer:?}: {debug}");
        assert!(!debug.contains("canary"), "{debug}");
    }
    for (answer, again) in [
        (Answer::Status(500, ""), true),
        (Answer::Silence, true),
        (Answer::Status(401, denied), false),
        (Answer::Status(404, r#"{"detail":"Not Found"}"#), false),
    ] {
        gateway.issue(&order("h.1", &["USD:1"], None)).await.unwrap();
        proxy.next(answer);
        let error = gateway.revoke(&outstanding("h.1")).await.unwrap_err();
        assert_eq!(matches!(error, ProvisionError::Transient(_)), again, "{answer:?}: {error:?}");
        gateway.revoke(&outstanding("h.1")).await.unwrap();
        assert_eq!(proxy.key("h.1"), None);
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_does_not_know_its_master_is_told_apart() {
    let (proxy, _) = start().await;
    let stranger = LiteLlm::new(&proxy.url(), MasterKey::new("sk-canary-wrong")).unwrap();
    let error = stranger.issue(&order("h.1", &["USD:1"], None)).await.unwrap_err();
    let text = format!("{error:?} {stranger:?}");
    assert!(text.contains("401") && text.contains("auth_error") && !text.contains("canary"), "{text}");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let nobody = LiteLlm::new(&url, MasterKey::new(MASTER)).unwrap();
    let error = nobody.issue(&order("h.1", &["USD:1"], None)).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Transient(_)), "{error:?}");
    let newline = LiteLlm::new(&proxy.url(), MasterKey::new("sk-canary\n")).unwrap();
    let error = newline.issue(&order("h.1", &["USD:1"], None)).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Permanent(_)) && !format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn a_rotation_makes_no_budget_larger() {
    let (proxy, gateway) = start().await;
    gateway.issue(&order("h.1", &["USD:2.00"], None)).await.unwrap();
    proxy.spend("h.1", 0.75);
    // The agent has told of none of it.
    let mut second = order("h.2", &["USD:2.00"], None);
    second.replaces = Some("h.1".to_owned());
    let issued = gateway.rotate(&second).await.unwrap();
    assert_eq!(proxy.key("h.1").unwrap()["max_budget"], 0, "nothing more is spent with the earlier one");
    assert_eq!(proxy.key("h.2").unwrap()["max_budget"], 1.25);
    assert_eq!(issued.constraints.cost_budget, Some(vec!["USD:1.25".to_owned()]));
    gateway.revoke(&outstanding("h.1")).await.unwrap();

    // If no other key can be made, this one stays as good as it was.
    let mut third = order("h.3", &["USD:0.50"], None);
    third.replaces = Some("h.2".to_owned());
    proxy.next_but_one(Answer::Status(500, ""));
    gateway.rotate(&third).await.unwrap_err();
    assert_eq!(proxy.key("h.2").unwrap()["max_budget"], 1.25);
    gateway.rotate(&third).await.unwrap();
    assert_eq!(proxy.key("h.3").unwrap()["max_budget"], 0.5, "what remains by the runtime's own count");

    proxy.spend("h.3", 0.5);
    let mut fourth = order("h.4", &["USD:0.50"], None);
    fourth.replaces = Some("h.3".to_owned());
    assert!(matches!(gateway.rotate(&fourth).await, Err(ProvisionError::BudgetExhausted(_))));
}

fn change(handle: &str, limit: &str, remaining: &str) -> CredentialChange {
    let usd = |amount: &str| {
        let amount = match amount.strip_prefix('-') {
            Some(debt) => Amount::ZERO.minus(debt.parse().unwrap()),
            None => amount.parse().unwrap(),
        };
        [BudgetAmount { currency: "USD".parse().unwrap(), amount }].into_iter().collect()
    };
    CredentialChange {
        handle: handle.to_owned(),
        credential_id: "cred_1".parse().unwrap(),
        job_id: "job_1".parse().unwrap(),
        limit: usd(limit),
        remaining: usd(remaining),
    }
}

#[tokio::test]
async fn a_key_that_is_out_is_held_to_less_and_to_more_again() {
    let (proxy, gateway) = start().await;
    gateway.issue(&order("h.1", &["USD:5.00", "EUR:1"], None)).await.unwrap();
    proxy.spend("h.1", 0.75);
    let max_budget = || proxy.key("h.1").unwrap()["max_budget"].clone();
    let spent = |spent: Budget| spent.remaining("USD").unwrap().to_string();

    // The agent has told of none of what it has spent: what is left is what the key was good for.
    let told = gateway.constrain(&change("h.1", "3.00", "3.00")).await.unwrap();
    assert_eq!((spent(told).as_str(), max_budget()), ("0.75", json!(3.0)));
    // It has told of more, since not all is spent here.
    let told = gateway.constrain(&change("h.1", "3.00", "1.50")).await.unwrap();
    assert_eq!((spent(told).as_str(), max_budget()), ("0.75", json!(2.25)));
    gateway.constrain(&change("h.1", "2.00", "-0.80")).await.unwrap();
    assert_eq!(max_budget(), json!(0), "nothing is less than nothing");
    gateway.constrain(&change("h.1", "4.00", "4.00")).await.unwrap();
    assert_eq!(max_budget(), json!(4.0));

    // A rotation carries it over.
    let mut second = order("h.2", &["USD:5.00"], None);
    second.replaces = Some("h.1".to_owned());
    gateway.rotate(&second).await.unwrap();
    assert_eq!(proxy.key("h.2").unwrap()["max_budget"], 3.25);

    // So does one after a change of which nobody knows whether it was made.
    proxy.next(Answer::Status(500, ""));
    let error = gateway.constrain(&change("h.2", "1.00", "5.00")).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Transient(_)), "{error:?}");
    let mut third = order("h.3", &["USD:5.00"], None);
    third.replaces = Some("h.2".to_owned());
    gateway.rotate(&third).await.unwrap();
    assert_eq!(proxy.key("h.3").unwrap()["max_budget"], 1.0);

    let unknown = gateway.constrain(&change("h.9", "1.00", "1.00")).await.unwrap_err();
    assert!(matches!(unknown, ProvisionError::Permanent(_)), "{unknown:?}");
    proxy.next(Answer::Status(404, r#"{"error":{"message":"sk-canary","type":"not_found","code":"404"}}"#));
    let gone = gateway.constrain(&change("h.3", "1.00", "1.00")).await.unwrap_err();
    assert!(matches!(&gone, ProvisionError::Permanent(_)) && !format!("{gone:?}").contains("canary"));
}

#[test]
fn a_master_key_does_not_cross_the_network_in_the_clear() {
    let made = |url: &str| LiteLlm::new(url, MasterKey::new(MASTER)).map(drop);
    for good in [
        "https://llm.example.com",
        "https://llm.example.com:8443/proxy/",
        "http://127.0.0.1:4000",
        "http://[::1]",
        "http://localhost:4000",
    ] {
        assert!(made(good).is_ok(), "{good}");
    }
    for plain in ["http://llm.example.com", "http://10.0.0.1:4000", "http://127.0.0.1.example.com"] {
        assert!(matches!(made(plain), Err(SetupError::PlainHttp)), "{plain}");
        let gateway = LiteLlm::builder(plain, MasterKey::new(MASTER));
        assert!(!format!("{gateway:?}").contains("canary"));
        assert!(gateway.dangerous_plain_http().build().is_ok());
    }
    for bad in ["", "llm.example.com", "ftp://x", "https://u:p@x", "https://x?q", "https://x#f"] {
        assert!(matches!(made(bad), Err(SetupError::Url)), "{bad}");
    }
}
