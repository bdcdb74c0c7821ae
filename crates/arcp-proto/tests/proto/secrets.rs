//! No `Debug` of anything that can carry a token or a credential value shows it.

use arcp_proto::event::{Body, Event, EventKind, Status};
use arcp_proto::job::{Accepted, Subscribed};
use arcp_proto::session::{Auth, Hello, Resume, ResumeRequest, Welcome};
use arcp_proto::{
    BearerToken, Credential, CredentialValue, Digest, Envelope, Extensions, Json, Message, Payload,
    ResumeToken,
};
use serde_json::{Value, json};

const CANARY: &str = "canary-7Q";

#[track_caller]
fn hidden(what: &dyn std::fmt::Debug) {
    let text = format!("{what:?} {what:#?}");
    assert!(!text.contains(CANARY) && !text.contains("7Q"), "{text}");
}

fn decoded<T: serde::de::DeserializeOwned>(value: Value) -> T {
    Json::from(value).decode().unwrap()
}

/// The payload, its message, its envelope before and after the wire: each prints without the secret that it carries.
#[track_caller]
fn hidden_throughout<P: Payload + std::fmt::Debug>(payload: &P) {
    hidden(payload);
    assert!(payload.to_json().as_str().contains(CANARY), "the wire has lost the secret");
    hidden(&payload.to_json());
    let envelope = Envelope::new("m1".parse().unwrap(), payload);
    hidden(&envelope);
    let received = Envelope::decode(envelope.encode()).unwrap();
    hidden(&received);
    hidden(&received.message().unwrap());
}

fn credential() -> Value {
    json!({ "id": "cred_1", "scheme": "bearer", "value": CANARY, "endpoint": "https://g.example/v1" })
}

#[test]
fn the_secrets_themselves() {
    hidden(&BearerToken::new(CANARY));
    hidden(&ResumeToken::new(CANARY));
    hidden(&CredentialValue::new(CANARY));
    let digest = Digest::of(CANARY);
    let text = format!("{digest:?}");
    assert_eq!(text, "Digest([redacted])");
}

#[test]
fn handshakes() {
    let auth = || Some(Auth::bearer(CANARY.into()));
    hidden(&auth());
    hidden_throughout(&Hello { auth: auth(), ..Hello::default() });
    hidden_throughout(&Hello { resume_token: Some(CANARY.into()), ..Hello::default() });
    let resume: Resume = decoded(json!({ "session_id": "s", "resume_token": CANARY }));
    hidden(&resume);
    hidden_throughout(&Hello { resume: Some(resume), ..Hello::default() });
    let capabilities = json!({ "capabilities": { "agents": [CANARY] } });
    hidden_throughout(&decoded::<Hello>(capabilities));
    hidden_throughout(&decoded::<ResumeRequest>(json!({
        "auth": { "scheme": "bearer", "token": CANARY }, "resume_token": CANARY, "session_id": "s",
    })));
    hidden_throughout(&decoded::<ResumeRequest>(json!({
        "resume": { "session_id": "s", "resume_token": CANARY },
    })));
    hidden_throughout(&decoded::<Welcome>(json!({ "session_id": "s", "resume_token": CANARY })));
}

#[test]
fn credentials() {
    hidden(&decoded::<Credential>(credential()));
    hidden_throughout(&decoded::<Accepted>(json!({ "job_id": "j", "credentials": [credential()] })));
    hidden_throughout(&decoded::<Subscribed>(
        json!({ "job_id": "j", "current_status": "running", "credentials": [credential()] }),
    ));
}

#[test]
fn a_rotation() {
    for value in ["value", "credential_value"] {
        let body = json!({ "phase": "credential_rotated", "id": "cred_1", value: CANARY });
        let event = Event::new(EventKind::Status, arcp_proto::Timestamp::UNIX_EPOCH, body.clone().into());
        hidden(&event.body().unwrap());
        hidden_throughout(&event);
        let status: Status = decoded(body);
        assert_eq!(status.value.as_ref().unwrap().expose(), CANARY);
        hidden(&status);
        hidden(&Body::Status(status));
    }
}

#[test]
fn whatever_is_carried_raw() {
    let json = Json::from(json!({ "deep": [CANARY] }));
    hidden(&json);
    hidden(&Body::Other(json.clone()));
    let mut extensions = Extensions::default();
    extensions.insert("x-vendor.a.b", json.clone());
    hidden(&extensions);
    let frame = json!({ "arcp": "1.1", "id": "m", "type": "x-vendor.a", "payload": { "t": CANARY },
        "extensions": { "x-vendor.a.b": CANARY }, "future": CANARY });
    let envelope = Envelope::decode(frame.to_string()).unwrap();
    hidden(&envelope);
    assert!(matches!(envelope.message().unwrap(), Message::Unknown));
    assert!(envelope.encode().contains(CANARY));
}
