//! Streaming a result (§8.4): from what an agent writes to chunks that fit their caps.

use arcp_core::runtime::{Draft, EmitError as Refused, Flow};
use arcp_proto::ResultId;
use arcp_proto::event::{ChunkEncoding, EventKind, ResultChunk};

use bytes::BytesMut;

use crate::clock::Clock;
use crate::context::{EmitError, JobContext};

/// What the envelope of a chunk takes besides its data, at most.
const OVERHEAD: usize = 512;

/// Writes a job's result as a stream of chunks. Get one from [`JobContext::result_stream`], end it with
/// [`finish`](Self::finish), and return `()` from the agent.
///
/// What is written is gathered into chunks as large as the runtime, and the client that submitted the job, allow. Dropping a writer without finishing it makes the
/// job end in `INTERNAL_ERROR`, unless its agent ends in an error of its own.
#[must_use = "a result that is not finished ends its job in an error"]
pub struct ResultWriter {
    ctx: JobContext,
    result_id: ResultId,
    encoding: ChunkEncoding,
    next_chunk: u64,
    gathered: BytesMut,
    /// How much of that has been looked at: no byte is looked at twice.
    seen: Seen,
    caps: Caps,
}

/// The beginning of a chunk that is known to be text and to be within its caps.
#[derive(Clone, Copy, Default)]
struct Seen {
    bytes: usize,
    /// How many bytes it takes in a JSON string.
    encoded: usize,
}

/// How large one chunk may be.
#[derive(Clone, Copy)]
struct Caps {
    /// Decoded.
    decoded: usize,
    /// As it stands in the JSON text.
    encoded: usize,
}

impl JobContext {
    /// Begins to stream the job's result, as text ([`ChunkEncoding::Utf8`]) or as bytes ([`ChunkEncoding::Base64`]).
    ///
    /// A session that did not negotiate `result_chunk` is sent the result inline when the stream is finished, if it is small
    /// enough for that.
    ///
    /// # Errors
    /// When the job has ended, or streams a result already.
    pub fn result_stream(&self, encoding: ChunkEncoding) -> Result<ResultWriter, EmitError> {
        let (result_id, caps) = self.with_machine(|machine, now, job| {
            let limits = machine.chunk_limits(job);
            let caps = Caps { decoded: limits.data, encoded: limits.payload.saturating_sub(OVERHEAD) };
            machine.begin_result(now, job, encoding.clone()).map(|result_id| (result_id, caps))
        })?;
        let (gathered, seen) = (BytesMut::new(), Seen::default());
        Ok(ResultWriter { ctx: self.clone(), result_id, encoding, next_chunk: 0, gathered, seen, caps })
    }
}

impl ResultWriter {
    /// Names the result, as its chunks and `job.result` do.
    pub fn result_id(&self) -> &ResultId {
        &self.result_id
    }

    /// Adds to the result. Waits, as every emission does, while the client is too far behind.
    ///
    /// # Errors
    /// See [`EmitError`]; a result above the runtime's cap is [`EmitError::TooLarge`], and text that is not UTF-8
    /// [`EmitError::NotUtf8`]. A character may be cut in two by two calls.
    pub async fn write(&mut self, data: impl AsRef<[u8]>) -> Result<(), EmitError> {
        // An agent that writes little at a time, and is never made to wait, must still let others have its thread.
        tokio::task::coop::consume_budget().await;
        self.gathered.extend_from_slice(data.as_ref());
        // A full chunk waits for what follows it: the last one must say that nothing does.
        while let Some(cut) = self.cut(false)?.filter(|cut| *cut < self.gathered.len()) {
            self.emit(cut, None).await?;
        }
        Ok(())
    }

    /// Sends what has been gathered, so that the client has it now.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), EmitError> {
        while let Some(cut) = self.cut(true)?.filter(|cut| *cut > 0) {
            self.emit(cut, None).await?;
        }
        Ok(())
    }

    /// Sends what is left and ends the stream. The summary goes into `job.result`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn finish(mut self, summary: Option<String>) -> Result<(), EmitError> {
        loop {
            let cut = self.cut(true)?.unwrap_or(0);
            if cut == self.gathered.len() {
                return self.emit(cut, Some(summary)).await;
            }
            if cut == 0 {
                return Err(EmitError::NotUtf8); // the text ends within a character
            }
            self.emit(cut, None).await?;
        }
    }

    /// How much of what is gathered is the next chunk. `None` if it does not fill one and need not go yet.
    fn cut(&mut self, all: bool) -> Result<Option<usize>, EmitError> {
        let cut = match self.encoding {
            ChunkEncoding::Utf8 => cut_text(&self.gathered, self.caps, &mut self.seen)?,
            _ => cut_bytes(&self.gathered, self.caps),
        };
        Ok((all || cut.full).then_some(cut.at))
    }

    async fn emit(&mut self, cut: usize, last: Option<Option<String>>) -> Result<(), EmitError> {
        let data = self.gathered.split_to(cut);
        self.seen = Seen::default();
        let (result_id, more) = (self.result_id.clone(), last.is_none());
        let (ts, number) = (Clock::wall(), self.next_chunk);
        let draft = match &self.encoding {
            ChunkEncoding::Utf8 => {
                let text = std::str::from_utf8(&data).map_err(|_| EmitError::NotUtf8)?;
                let chunk = ResultChunk::text(result_id, number, text, more);
                Draft::new(EventKind::ResultChunk, ts, &chunk)
            }
            _ => Draft::of_bytes(ts, result_id, number, &data, more),
        };
        let draft = draft.map_err(EmitError::Encode)?;
        self.ctx.emit_with(|machine, now, job| machine.emit_chunk(now, job, draft, &data, last)).await?;
        self.next_chunk += 1;
        Ok(())
    }
}

struct Cut {
    at: usize,
    /// Whether nothing more would go into this chunk.
    full: bool,
}

fn cut_bytes(bytes: &[u8], caps: Caps) -> Cut {
    // Whole groups of three, so that only the last chunk is padded.
    let most = (caps.decoded.min(caps.encoded / 4 * 3) / 3 * 3).max(1);
    Cut { at: bytes.len().min(most), full: bytes.len() >= most }
}

/// Cuts before the character that would be too much, and before one that has not come whole.
fn cut_text(bytes: &[u8], caps: Caps, seen: &mut Seen) -> Result<Cut, EmitError> {
    let rest = &bytes[seen.bytes..];
    let text = match std::str::from_utf8(rest) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&rest[..error.valid_up_to()]).map_err(|_| EmitError::NotUtf8)?
        }
        Err(_) => return Err(EmitError::NotUtf8),
    };
    for character in text.chars() {
        let next =
            Seen { bytes: seen.bytes + character.len_utf8(), encoded: seen.encoded + escaped_len(character) };
        let too_much = next.bytes > caps.decoded || next.encoded > caps.encoded;
        if too_much && seen.bytes > 0 {
            return Ok(Cut { at: seen.bytes, full: true });
        }
        *seen = next;
    }
    let full = seen.bytes >= caps.decoded || seen.encoded >= caps.encoded;
    Ok(Cut { at: seen.bytes, full: full && seen.bytes > 0 })
}

/// How many bytes a character takes in a JSON string.
fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

impl std::fmt::Debug for ResultWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultWriter").field("result_id", &self.result_id).finish_non_exhaustive()
    }
}

impl From<Refused> for EmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            Refused::AlreadyStreaming => Self::AlreadyStreaming,
            _ => Self::Ended,
        }
    }
}

/// What an emission comes to in the machine.
pub(crate) type Emitted = Result<Flow, Refused>;

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { decoded: 6, encoded: 8 };

    fn text(text: &str) -> (usize, bool) {
        // The same, be it looked at whole or byte by byte.
        let mut seen = Seen::default();
        let mut cut = Cut { at: 0, full: false };
        for end in 0..=text.len() {
            cut = cut_text(&text.as_bytes()[..end], CAPS, &mut seen).unwrap();
            if cut.full && cut.at < end {
                break;
            }
        }
        let whole = cut_text(text.as_bytes(), CAPS, &mut Seen::default()).unwrap();
        assert_eq!((whole.at, whole.full), (cut.at, cut.full), "{text}");
        (cut.at, cut.full)
    }

    #[test]
    fn text_is_cut_between_characters_and_within_both_caps() {
        assert_eq!(text("abc"), (3, false));
        assert_eq!(text("abcdef"), (6, true));
        assert_eq!(text("abcdefgh"), (6, true));
        assert_eq!(text("abcdeé"), (5, true), "é would be bytes 6 and 7");
        assert_eq!(text("\n\n\n\n\n"), (4, true), "each takes two in JSON");
        assert_eq!(text("\u{1}\u{1}"), (1, true), "each takes six");
        assert_eq!(text(""), (0, false));
        let mut seen = Seen::default();
        assert!(matches!(cut_text(&[b'a', 0xff, b'b'], CAPS, &mut seen), Err(EmitError::NotUtf8)));
        assert_eq!(
            cut_text(&"aé".as_bytes()[..2], CAPS, &mut Seen::default()).unwrap().at,
            1,
            "half a character waits for the rest"
        );
        assert_eq!(
            cut_text("é".as_bytes(), Caps { decoded: 1, encoded: 1 }, &mut Seen::default()).unwrap().at,
            2,
            "one character always goes"
        );
    }

    #[test]
    fn bytes_are_cut_in_groups_of_three() {
        let cut = |len: usize| cut_bytes(&vec![0; len], Caps { decoded: 8, encoded: 100 });
        assert_eq!((cut(5).at, cut(5).full), (5, false));
        assert_eq!((cut(6).at, cut(6).full), (6, true));
        assert_eq!((cut(20).at, cut(20).full), (6, true));
        assert_eq!(
            cut_bytes(&[0; 100], Caps { decoded: 90, encoded: 40 }).at,
            30,
            "40 bytes of base64 hold 30"
        );
    }

    #[test]
    fn escapes_are_as_serde_json_writes_them() {
        for character in
            (0..0x250_u32).chain(0x2020..0x2030).chain(0x1f600..0x1f610).filter_map(char::from_u32)
        {
            let written = serde_json::to_string(&character).unwrap().len() - 2;
            assert_eq!(escaped_len(character), written, "{character:?}");
        }
    }
}
