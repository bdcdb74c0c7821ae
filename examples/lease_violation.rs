//! A job may do what its lease grants, and nothing else, however its agent tries: what is denied does not happen, and its client is told.
//!
//! ```sh
//! cargo run --example lease_violation
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use std::path::PathBuf;

use arcp::client::JobError;
use arcp::proto::Lease;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // It reads where it is told to. Its lease decides, not the agent.
    let read = agent_fn(async |ctx: JobContext, path: PathBuf| Ok(ctx.fs().read_to_string(path).await?));
    let directory = tempfile::tempdir()?;
    let root = directory.path().canonicalize()?;
    std::fs::create_dir(root.join("public"))?;
    std::fs::write(root.join("public/notes.txt"), "for everybody")?;
    std::fs::write(root.join("private.txt"), "for nobody")?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("private.txt"), root.join("public/link.txt"))?;
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("read@1.0.0", read)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let lease = Lease::empty().grant("fs.read", format!("{}/public/**", root.display()));
    for name in ["public/notes.txt", "private.txt", "public/../private.txt", "public/link.txt"] {
        let mut job = client.submit("read").input(&root.join(name)).lease(lease.clone()).await?;
        match job.result::<String>().await {
            Ok(text) => println!("{name}: {text}"),
            Err(JobError::Failed(error)) => println!("{name}: {}", error.code),
            Err(error) => return Err(error.into()),
        }
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
