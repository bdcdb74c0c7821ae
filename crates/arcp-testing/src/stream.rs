//! The fixture that streams its result: `stream`.

use arcp_runtime::proto::ErrorCode;
use arcp_runtime::proto::event::ChunkEncoding;
use arcp_runtime::{AgentError, JobContext};
use serde::Deserialize;

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
        result.write(vec![letter; chunk_bytes]).await?;
    }
    result.finish(Some(format!("streamed {chunks} chunks"))).await?;
    Ok(())
}
