//! The fixture that streams its result: `stream`.

use arcp_runtime::proto::ErrorCode;
use arcp_runtime::proto::event::ChunkEncoding;
use arcp_runtime::{AgentError, JobContext};
use serde::Deserialize;

/// Bytes that are written at a time.
const PIECE: usize = 64 << 10;

#[derive(Deserialize)]
pub(crate) struct Stream {
    chunks: u64,
    chunk_bytes: usize,
    #[serde(default)]
    encoding: Encoding,
    fail_at: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Utf8,
    Base64,
}

pub(crate) async fn stream(ctx: JobContext, input: Stream) -> Result<(), AgentError> {
    let Stream { chunks, chunk_bytes, encoding, fail_at } = input;
    let encoding = match encoding {
        Encoding::Utf8 => ChunkEncoding::Utf8,
        Encoding::Base64 => ChunkEncoding::Base64,
    };
    let mut result = ctx.result_stream(encoding)?;
    for (index, letter) in (0..chunks).zip((b'a'..=b'z').cycle()) {
        if fail_at == Some(index) {
            return Err(AgentError::new(ErrorCode::InternalError, format!("failed before chunk {index}")));
        }
        if index > 0 {
            result.flush().await?;
        }
        // Piece by piece: how large a result may be is the runtime's to say, before it is in memory.
        let mut left = chunk_bytes;
        while left > 0 {
            let piece = left.min(PIECE);
            result.write(vec![letter; piece]).await?;
            left -= piece;
        }
    }
    result.finish(Some(format!("streamed {chunks} chunks"))).await?;
    Ok(())
}
