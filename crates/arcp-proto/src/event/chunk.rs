//! `result_chunk`: a piece of a streamed result (§8.4), as text or as base64 of bytes. How results are cut is not here.

use base64_simd::STANDARD as BASE64;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{Event, EventKind};
use crate::decode::integer;
use crate::id::ResultId;
use crate::json::{EncodeError, Json};
use crate::plain::{Plain, once};
use crate::text_enum::text_enum;
use crate::timestamp::Timestamp;

/// `result_chunk` (§8.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultChunk {
    /// The result that it is part of.
    pub result_id: ResultId,
    /// Its place, from 0.
    #[serde(with = "integer")]
    pub chunk_seq: u64,
    /// The text, or base64 of the bytes. Of a chunk that was received it is mostly a slice of its frame, which it keeps alive.
    pub data: ByteString,
    /// Which of the two.
    pub encoding: ChunkEncoding,
    /// Whether more follow.
    pub more: bool,
}

/// The data of a chunk that has none.
const NO_DATA: &str = r#""data":"""#;

impl ResultChunk {
    /// A chunk of text.
    pub fn text(result_id: ResultId, chunk_seq: u64, text: impl Into<ByteString>, more: bool) -> Self {
        Self { result_id, chunk_seq, data: text.into(), encoding: ChunkEncoding::Utf8, more }
    }

    /// A chunk of bytes, written as base64.
    pub fn bytes(result_id: ResultId, chunk_seq: u64, bytes: &[u8], more: bool) -> Self {
        Self { result_id, chunk_seq, data: to_base64(bytes).into(), encoding: ChunkEncoding::Base64, more }
    }

    /// A chunk whose data has no escapes in it, as base64 has none: it is long.
    pub(super) fn from_plain(body: &Json) -> Option<Self> {
        let (mut result_id, mut chunk_seq, mut data, mut encoding, mut more) = (None, None, None, None, None);
        Plain::of_json(body).object(|plain, name| match name {
            "result_id" => once(&mut result_id, plain.string()?.parse().ok()?),
            "chunk_seq" => once(&mut chunk_seq, plain.integer()?),
            "data" => once(&mut data, body.as_text().slice_ref(plain.string()?)),
            "encoding" => once(&mut encoding, ChunkEncoding::from(plain.string()?)),
            "more" => once(&mut more, plain.boolean()?),
            _ => plain.value().map(drop),
        })?;
        Some(Self {
            result_id: result_id?,
            chunk_seq: chunk_seq?,
            data: data?,
            encoding: encoding?,
            more: more?,
        })
    }

    /// The payload of the event that carries a chunk of bytes. They are coded into their place: a chunk is long, and in base64 there
    /// is nothing to escape.
    ///
    /// # Errors
    /// When `Serialize` fails.
    pub fn payload_of_bytes(
        ts: Timestamp,
        result_id: ResultId,
        chunk_seq: u64,
        bytes: &[u8],
        more: bool,
    ) -> Result<Json, EncodeError> {
        let body = Json::encode(&Self::bytes(result_id, chunk_seq, &[], more))?;
        let empty = Json::encode(&Event::new(EventKind::ResultChunk, ts, body))?;
        // No text before it looks like it: quotes within a text are escaped.
        let place = empty.as_str().find(NO_DATA).map_or(0, |place| place + NO_DATA.len() - 1);
        let (head, tail) = empty.as_str().split_at(place);
        let mut text = String::with_capacity(empty.len() + bytes.len().div_ceil(3) * 4);
        text.push_str(head);
        BASE64.encode_append(bytes, &mut text);
        text.push_str(tail);
        Ok(Json::trusted(text))
    }

    /// The bytes that the chunk adds to its result.
    ///
    /// # Errors
    /// When the data is not what the encoding says, or the encoding is not known.
    pub fn decode(&self) -> Result<Vec<u8>, InvalidChunk> {
        match self.encoding {
            ChunkEncoding::Utf8 => Ok(self.data.as_bytes().to_vec()),
            ChunkEncoding::Base64 => BASE64.decode_to_vec(self.data.as_bytes()).map_err(|_| InvalidChunk),
            ChunkEncoding::Other(_) => Err(InvalidChunk),
        }
    }
}

/// Bytes as base64 with the standard alphabet and padding (RFC 4648 §4).
pub fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode_to_string(bytes)
}

/// The data of a chunk is not what its encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("data of a result chunk is not what its encoding says")]
pub struct InvalidChunk;

text_enum! {
    /// How the data of a chunk is written (§8.4).
    pub enum ChunkEncoding {
        /// As text.
        Utf8 = "utf8",
        /// As base64 of bytes.
        Base64 = "base64",
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::Body;
    use super::*;

    proptest! {
        /// Two libraries agree on what base64 is: without padding, with line breaks or with bits that mean nothing it is none.
        #[test]
        fn base64_is_what_others_write_and_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            place in 0..300_usize,
            odd in prop::sample::select(vec!["", "=", "==", "A", "B", "-", "_", "\n", " ", "é"]),
        ) {
            let text = STANDARD.encode(&bytes);
            prop_assert_eq!(&to_base64(&bytes), &text);
            let mut changed = text;
            changed.insert_str(place.min(changed.len()), odd);
            let cut = changed.get(..place).unwrap_or(&changed);
            for data in [&changed, cut] {
                let id = "res_1".parse().unwrap();
                let mut chunk = ResultChunk::bytes(id, 0, b"", false);
                chunk.data = data.into();
                prop_assert_eq!(chunk.decode().ok(), STANDARD.decode(data).ok(), "{}", data);
            }
        }
    }

    #[test]
    fn a_chunk_is_read_as_serde_reads_it() {
        let good = r#"{"result_id":"r","chunk_seq":7,"data":"aGk=","encoding":"base64","more":true}"#;
        let other = [
            (r#""r""#, r#""""#),
            ("7", "-7"),
            ("7", "7.0"),
            ("7", "9223372036854775808"),
            (r#""aGk=""#, r#""a\nb""#),
            (r#""aGk=""#, "null"),
            (r#""base64""#, r#""rot13""#),
            ("true", "false"),
            ("true", "1"),
            (r#","more":true"#, ""),
            ("true", r#"true,"more":true"#),
            ("true", r#"true,"x":{"more":[]}"#),
        ];
        let changed = other.iter().map(|(from, to)| good.replacen(from, to, 1));
        for body in changed.chain([good.to_owned()]) {
            let json = Json::parse(body.clone()).unwrap();
            let read = match Body::decode(&EventKind::ResultChunk, &json) {
                Ok(Body::ResultChunk(chunk)) => Ok(chunk),
                Ok(_) => panic!("another kind"),
                Err(error) => Err(error),
            };
            assert_eq!(read, json.decode::<ResultChunk>(), "{body}");
        }
        assert!(ResultChunk::from_plain(&Json::parse(good).unwrap()).is_some());
    }

    #[test]
    fn bytes_that_are_coded_in_place_are_the_same_chunk() {
        for odd in ["res_1", r#""data":"","#, r#"\"data\":\"\""#] {
            for bytes in [&b""[..], b"a", b"abc", &[0xff; 1_000]] {
                let (ts, id) = (Timestamp::UNIX_EPOCH, || odd.parse::<ResultId>().unwrap());
                let body = Json::encode(&ResultChunk::bytes(id(), 7, bytes, true)).unwrap();
                let event = Event::new(EventKind::ResultChunk, ts, body);
                let in_place = ResultChunk::payload_of_bytes(ts, id(), 7, bytes, true).unwrap();
                assert_eq!(in_place, Json::encode(&event).unwrap());
            }
        }
    }
}
