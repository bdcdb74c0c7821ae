//! Credentials and who could read them on their way (§14): they are sent over connections that nobody else can read, and over
//! no others.

use arcp_core::runtime::Config;
use arcp_proto::{Credential, Feature};
use serde_json::{Value, json};

use crate::host::Host;
use crate::peer::{Peer, hello, message, types};

fn credential(value: &str) -> Credential {
    let credential = json!({
        "id": "cred_1", "scheme": "bearer", "value": value, "endpoint": "https://gateway.example.com/v1",
    });
    serde_json::from_value(credential).unwrap()
}

fn host(configure: impl FnOnce(&mut Config)) -> Host {
    Host::with(|config| {
        let features = config.features.iter().cloned();
        config.features = features.chain([Feature::ProvisionedCredentials]).collect();
        configure(config);
    })
}

/// Opens a session that asks for everything, and tells which features it has.
fn joins(host: &mut Host, secure: bool) -> (Peer, Vec<Value>) {
    let mut peer = host.connect_over(secure);
    let mut payload = hello("alice");
    payload["capabilities"]["features"] = json!(["provisioned_credentials", "subscribe"]);
    peer.sends(host, &message("h", "session.hello", payload));
    let welcome: Value = serde_json::from_str(&host.wires[&peer.key].inbox[0]).unwrap();
    peer.expects_welcome(host);
    peer.who = "alice".to_owned();
    (peer, welcome["payload"]["capabilities"]["features"].as_array().unwrap().clone())
}

fn starts(host: &mut Host, peer: &mut Peer) -> String {
    peer.submits(host, json!({ "agent": "echo", "idempotency_key": "k" }));
    let spec = host.provisioning.pop_front().unwrap();
    host.machine.handle_provisioned(host.now(), spec.job, Ok(vec![credential("sk-canary-1")]));
    host.settle();
    spec.job_id.to_string()
}

#[test]
fn no_credential_crosses_a_connection_that_others_can_read() {
    let mut host = host(|_| {});
    let (mut alice, features) = joins(&mut host, false);
    assert_eq!(features, [json!("subscribe")]);
    let job = starts(&mut host, &mut alice);
    let (mut other, features) = joins(&mut host, true);
    assert_eq!(features.len(), 2);
    other.submits(&mut host, json!({ "agent": "echo", "idempotency_key": "k" }));
    other.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    let key = host.key_of(&job);
    host.machine.rotate_credential(host.now(), key, credential("sk-canary-2")).unwrap();
    host.settle();
    alice.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
    assert_eq!(host.machine.credentials(key), [credential("sk-canary-2")], "its agent has it all the same");
    host.succeed(&job);
    let everything = |host: &Host, peer: &Peer| host.wires[&peer.key].everything.concat();
    assert!(!everything(&host, &alice).contains("canary"), "{}", everything(&host, &alice));
    let heard = everything(&host, &other);
    assert!(heard.contains("sk-canary-1") && heard.contains("sk-canary-2"), "another session of hers has it");
}

#[test]
fn a_session_that_is_sent_credentials_is_resumed_where_nobody_else_can_read_it() {
    for cut in [true, false] {
        let mut host = host(|_| {});
        let (mut alice, _) = joins(&mut host, true);
        let job = starts(&mut host, &mut alice);
        alice.hears(&mut host);
        if cut {
            host.cut(&alice);
        }
        let mut plain = host.connect_over(false);
        plain.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
        let refusal = plain.hears_refusal(&mut host, "hello", "PERMISSION_DENIED");
        let message = refusal["payload"]["message"].as_str().unwrap();
        assert!(message.contains("wss://") && message.contains("own machine"), "{message}");
        assert_eq!(plain.close_code(&host), Some(1008));
        assert_eq!(alice.close_code(&host), None, "who carries it now goes on");

        // Whoever does not know its token is told of that, and of nothing else.
        let mut stranger = host.connect_over(false);
        stranger.resumes_with(&mut host, "alice", &alice.session, "rt_wrong", 0);
        let refusal = stranger.hears_refusal(&mut host, "hello", "PERMISSION_DENIED");
        assert!(!refusal.to_string().contains("credentials"), "{refusal}");

        host.emits(&job, &["meanwhile"]);
        let alice = alice.resumes(&mut host, 0);
        assert_eq!(types(&alice.hears(&mut host)), ["job.event"]);
    }
}

#[test]
fn a_session_without_credentials_is_resumed_over_anything_and_never_has_them() {
    let mut host = host(|_| {});
    let (mut alice, _) = joins(&mut host, false);
    starts(&mut host, &mut alice);
    let mut again = host.connect_over(false);
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    again.expects_welcome(&mut host);
    again.who = "alice".to_owned();
    let again = again.resumes(&mut host, 0);
    assert!(!host.wires[&again.key].everything.concat().contains("provisioned_credentials"));
}

#[test]
fn where_something_in_front_ends_tls_every_connection_is_trusted() {
    let mut host = host(|config| config.behind_tls = true);
    let (mut alice, features) = joins(&mut host, false);
    assert_eq!(features.len(), 2);
    starts(&mut host, &mut alice);
    assert!(alice.hears_one(&mut host)["payload"]["credentials"][0]["value"] == "sk-canary-1");
    let mut again = host.connect_over(false);
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    again.expects_welcome(&mut host);
}
