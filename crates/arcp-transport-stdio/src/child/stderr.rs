//! What a child writes to its stderr, as log lines.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::ChildStderr,
};

/// A longer line comes in pieces.
const LINE: u64 = 8 * 1024;

/// Logs line by line until nobody holds the pipe open any more.
pub(super) async fn forward(stderr: ChildStderr, pid: u32) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                tracing::info!(target: "arcp::child", pid, "{}", text.trim_end_matches(['\n', '\r']));
            }
            Err(error) => {
                tracing::debug!(target: "arcp::child", pid, %error, "stderr of the child cannot be read");
                return;
            }
        }
    }
}
