//! `session.hello`, `session.resume` and `session.welcome` (§6.1–§6.3).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::decode::{integer_or_zero, null_default, object_or_default, optional_integer, optional_object};
use crate::feature::Features;
use crate::id::{SessionId, empty_is_absent};
use crate::json::Json;
use crate::secret::{BearerToken, ResumeToken};
use crate::timestamp::Timestamp;

/// `session.hello` (§6.2).
///
/// Every part may be missing here, so that what a missing part means is decided in one place, by the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who is calling.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub client: Option<Peer>,
    /// The bearer token (§6.1).
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What the client can do.
    #[serde(default, deserialize_with = "object_or_default")]
    pub capabilities: ClientCapabilities,
    /// Which session to resume, if any (§6.3).
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// The resume token where some peers put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_token: Option<ResumeToken>,
    /// The last number seen, where some peers put it.
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub last_event_seq: Option<u64>,
}

/// `session.resume`: the same as a `session.hello` that resumes, with the resume block as there or at the top of the payload (§6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// Who is calling.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub client: Option<Peer>,
    /// The bearer token (§6.1).
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What the client can do.
    #[serde(default, deserialize_with = "object_or_default")]
    pub capabilities: ClientCapabilities,
    /// Which session to resume; what is beside it counts only if this is missing.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Which session to resume; the envelope's, if missing here.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_token: Option<ResumeToken>,
    /// The last number that the client has seen; 0 for none.
    #[serde(default, with = "integer_or_zero")]
    pub last_event_seq: u64,
}

/// The name and version of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its version; empty if it does not say.
    #[serde(default, deserialize_with = "null_default")]
    pub version: String,
}

/// How the client authenticates (§6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// `bearer`, the only scheme the draft defines.
    pub scheme: String,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<BearerToken>,
}

impl Auth {
    /// Authentication by bearer token.
    pub fn bearer(token: BearerToken) -> Self {
        Self { scheme: "bearer".to_owned(), token: Some(token) }
    }
}

/// What a client can do (§6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCapabilities {
    /// Encodings; the draft defines `json` only.
    #[serde(default, deserialize_with = "null_default")]
    pub encodings: Vec<String>,
    /// Features.
    #[serde(default, deserialize_with = "null_default")]
    pub features: Features,
    /// Not in the draft; one published peer is told by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Json>,
}

/// Which session to resume (§6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session_id: SessionId,
    /// Its most recent token.
    pub resume_token: ResumeToken,
    /// The last number that the client has seen; 0 for none.
    #[serde(default, with = "integer_or_zero")]
    pub last_event_seq: u64,
}

/// `session.welcome` (§6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The session, again; some runtimes write it on the envelope only.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// When the session was opened or resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// Who answers.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Peer>,
    /// Resumes this session; new with every welcome. Absent on a runtime that cannot resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_token: Option<ResumeToken>,
    /// How long, in seconds from a disconnect, the session can be resumed.
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub resume_window_sec: Option<u64>,
    /// The heartbeat interval in seconds, where heartbeats were negotiated (§6.4).
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_sec: Option<u64>,
    /// What the runtime can do in this session.
    #[serde(default, deserialize_with = "object_or_default")]
    pub capabilities: RuntimeCapabilities,
}

/// What a runtime can do (§6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeCapabilities {
    /// Encodings; the draft defines `json` only.
    #[serde(default, deserialize_with = "null_default")]
    pub encodings: Vec<String>,
    /// Features.
    #[serde(default, deserialize_with = "null_default")]
    pub features: Features,
    /// The agents that can be submitted to.
    #[serde(default, deserialize_with = "null_default")]
    pub agents: Vec<AgentInfo>,
}

/// One agent of a runtime's inventory. Read from `"name"` as well, the form of version 1.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// Its versions; none if the runtime does not say.
    pub versions: Vec<String>,
    /// The version that a bare name means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The JSON Schema of what that version is given, if the runtime says. Not in the draft.
    #[serde(rename = "x-vendor.arcp.input_schema", skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Json>,
    /// The same of other versions, by version. Not in the draft.
    #[serde(rename = "x-vendor.arcp.input_schemas", skip_serializing_if = "BTreeMap::is_empty")]
    pub input_schemas: BTreeMap<String, Json>,
}

impl AgentInfo {
    /// The JSON Schema of what a version is given, or of what the bare name means; nothing if the runtime does not say. It is
    /// the runtime's own word: a `$ref` in it that leads elsewhere is not to be followed.
    pub fn schema_of(&self, version: Option<&str>) -> Option<&Json> {
        match version {
            Some(version) if self.default.as_deref() != Some(version) => self.input_schemas.get(version),
            _ => self.input_schema.as_ref(),
        }
    }
}

impl<'de> Deserialize<'de> for AgentInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AgentInfoVisitor)
    }
}

struct AgentInfoVisitor;

impl<'de> Visitor<'de> for AgentInfoVisitor {
    type Value = AgentInfo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an agent: a name, or an object with one")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<AgentInfo, E> {
        Ok(AgentInfo {
            name: name.to_owned(),
            versions: Vec::new(),
            default: None,
            input_schema: None,
            input_schemas: BTreeMap::new(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AgentInfo, A::Error> {
        #[derive(Deserialize)]
        struct Rich {
            name: String,
            #[serde(default, deserialize_with = "null_default")]
            versions: Vec<String>,
            default: Option<String>,
            #[serde(default, rename = "x-vendor.arcp.input_schema")]
            input_schema: Option<Json>,
            #[serde(default, rename = "x-vendor.arcp.input_schemas")]
            input_schemas: Option<Json>,
        }
        let Rich { name, versions, default, input_schema, input_schemas } =
            Rich::deserialize(MapAccessDeserializer::new(map))?;
        // Nobody is bound to mean by a vendor's fields what is meant here: what does not fit is not there.
        let input_schemas = input_schemas.and_then(|schemas| schemas.decode().ok()).unwrap_or_default();
        Ok(AgentInfo { name, versions, default, input_schema, input_schemas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_may_be_as_terse_as_it_likes() {
        let hello: Hello =
            serde_json::from_str(r#"{"resume":null,"capabilities":null,"auth":{"scheme":"bearer"}}"#)
                .unwrap();
        assert!(hello.client.is_none() && hello.resume.is_none() && hello.auth.unwrap().token.is_none());
    }

    #[test]
    fn nothing_optional_is_written_as_null() {
        let hello = Hello { auth: Some(Auth::bearer("t".into())), ..Hello::default() };
        let text = serde_json::to_string(&hello).unwrap();
        assert_eq!(
            text,
            r#"{"auth":{"scheme":"bearer","token":"t"},"capabilities":{"encodings":[],"features":[]}}"#
        );
        assert!(!format!("{hello:?}").contains("\"t\""));
    }

    #[test]
    fn an_inventory_may_be_flat_or_rich() {
        let agents: Vec<AgentInfo> =
            serde_json::from_str(r#"["a",{"name":"b","versions":["1"],"default":null}]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&agents).unwrap(),
            r#"[{"name":"a","versions":[]},{"name":"b","versions":["1"]}]"#
        );
    }

    #[test]
    fn schemas_of_inputs_come_along_and_spoil_nothing() {
        let text = r#"{"name":"b","versions":["2","1"],"default":"2","x-vendor.arcp.input_schema":{"type":"null"},"x-vendor.arcp.input_schemas":{"1":true}}"#;
        let info: AgentInfo = serde_json::from_str(text).unwrap();
        let schema = |version| info.schema_of(version).map(Json::as_str);
        assert_eq!(
            (schema(None), schema(Some("2"))),
            (Some(r#"{"type":"null"}"#), Some(r#"{"type":"null"}"#))
        );
        assert_eq!((schema(Some("1")), schema(Some("3"))), (Some("true"), None));
        assert_eq!(serde_json::to_string(&info).unwrap(), text);
        for odd in [r#""x-vendor.arcp.input_schema":null"#, r#""x-vendor.arcp.input_schemas":7"#] {
            let info: AgentInfo = serde_json::from_str(&format!(r#"{{"name":"b",{odd}}}"#)).unwrap();
            assert!(info.schema_of(None).is_none() && info.input_schemas.is_empty());
        }
    }
}
