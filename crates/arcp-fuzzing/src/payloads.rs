//! Payloads by their type and bodies by their kind: what is read is written and read as the same again.

use arcp_proto::event::{Body, EventKind};
use arcp_proto::{Json, Message, MessageType, Payload};
use serde_json::Value;

use crate::{assert_discreet, with_canaries};

/// Stands where tokens and values of credentials stand.
const SECRET: &str = "Secret!9Z";

/// The type of a message or the kind of an event, a line feed, and a payload or body; each `$` in it is a secret.
pub fn payloads(data: &[u8]) {
    let Some(text) = with_canaries(data) else { return };
    let Some((name, text)) = text.split_once('\n') else { return };
    let json = match Json::parse(text.to_owned()) {
        Ok(json) => json,
        Err(error) => return assert_discreet(&error),
    };
    let kind = EventKind::from(name);
    if kind.is_known() {
        body(&kind, &json);
    } else {
        payload(&MessageType::from(name), &json);
    }
}

fn payload(message_type: &MessageType, json: &Json) {
    let message = match Message::decode(message_type, json) {
        Ok(message) => message,
        Err(error) => return assert_discreet(&error),
    };
    hides_secrets(message_type, json);
    match message {
        Message::JobEvent(payload) => {
            if let Err(error) = payload.body() {
                assert_discreet(&error);
            }
            round_trip(&payload);
        }
        Message::SessionHello(payload) => round_trip(&payload),
        Message::SessionWelcome(payload) => round_trip(&payload),
        Message::SessionResume(payload) => round_trip(&payload),
        Message::JobAccepted(payload) => round_trip(&payload),
        Message::JobSubscribed(payload) => round_trip(&payload),
        Message::SessionError(payload) => round_trip(&payload),
        Message::SessionPing(payload) => round_trip(&payload),
        Message::SessionPong(payload) => round_trip(&payload),
        Message::SessionAck(payload) => round_trip(&payload),
        Message::SessionListJobs(payload) => round_trip(&payload),
        Message::SessionJobs(payload) => round_trip(&payload),
        Message::SessionClose(payload) => round_trip(&payload),
        Message::SessionClosed(payload) => round_trip(&payload),
        Message::SessionBye(payload) => round_trip(&payload),
        Message::JobSubmit(payload) => round_trip(&payload),
        Message::JobResult(payload) => round_trip(&payload),
        Message::JobError(payload) => round_trip(&payload),
        Message::JobCancel(payload) => round_trip(&payload),
        Message::JobCancelled(payload) => round_trip(&payload),
        Message::JobSubscribe(payload) => round_trip(&payload),
        Message::JobUnsubscribe(payload) => round_trip(&payload),
        Message::Unknown => assert!(!message_type.is_known()),
        other => panic!("{other:?} is unknown to this target"),
    }
}

/// Nothing that is printed of a payload shows what stands where tokens and values of credentials stand.
fn hides_secrets(message_type: &MessageType, json: &Json) {
    if json.as_str().contains(SECRET) {
        return;
    }
    let Ok(mut value) = json.decode::<Value>() else { return };
    let mut places = Vec::new();
    let Value::Object(members) = &mut value else { return };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("resume_token", token) => places.push(token),
            ("auth", auth) => places.extend(auth.get_mut("token")),
            ("resume", resume) => places.extend(resume.get_mut("resume_token")),
            ("credentials", Value::Array(credentials)) => {
                places.extend(credentials.iter_mut().filter_map(|credential| credential.get_mut("value")));
            }
            _ => {}
        }
    }
    for place in places.into_iter().filter(|place| place.is_string()) {
        *place = Value::from(SECRET);
    }
    let printed = match Message::decode(message_type, &Json::from(value)) {
        Ok(message) => format!("{message:?} {message:#?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!printed.contains(SECRET), "a secret is printed: {printed}");
}

fn round_trip<P: Payload>(payload: &P) {
    let written = payload.to_json();
    assert!(written.is_object(), "a payload is an object: {}", written.as_str());
    let message = Message::decode(&P::TYPE, &written);
    message.unwrap_or_else(|error| panic!("{} is not read: {error}", written.as_str()));
    let read: P = written.decode().expect("it was decoded before");
    assert_eq!(read.to_json(), written, "what was written once is written so again");
}

fn body(kind: &EventKind, json: &Json) {
    let body = match Body::decode(kind, json) {
        Ok(body) => body,
        Err(error) => return assert_discreet(&error),
    };
    let _ = format!("{body:?}");
    let write = |body: &Body| match body {
        Body::Log(body) => Json::encode(body),
        Body::Thought(body) => Json::encode(body),
        Body::ToolCall(body) => Json::encode(body),
        Body::ToolResult(body) => Json::encode(body),
        Body::Status(body) => Json::encode(body),
        Body::Metric(body) => Json::encode(body),
        Body::ArtifactRef(body) => Json::encode(body),
        Body::Delegate(body) => Json::encode(body),
        Body::Progress(body) => Json::encode(body),
        Body::ResultChunk(body) => Json::encode(body),
        other => panic!("{other:?} is unknown to this target"),
    };
    let written = write(&body).expect("names are strings");
    let again = Body::decode(kind, &written);
    let again = again.unwrap_or_else(|error| panic!("{} is not read: {error}", written.as_str()));
    assert_eq!(write(&again).expect("names are strings"), written);
    // What a number was is what it is: the digits are kept.
    if let (Body::Metric(metric), Ok(value)) = (&body, json.decode::<Value>())
        && let Some(number) = value["value"].as_u64()
    {
        assert_eq!(metric.value.as_u64(), Some(number));
    }
    if let Body::ResultChunk(chunk) = &body {
        let _ = chunk.decode();
    }
}
