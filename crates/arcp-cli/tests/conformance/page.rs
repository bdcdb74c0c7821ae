//! The page, and whether it is the one that is there.

use std::path::Path;
use std::{env, fs};

use arcp_conformance::report::markdown;
use tempfile::TempDir;

use crate::{hosts, program};

const OPENING: &str = "\
# Conformance

This page is written by `cargo xtask conformance`, and the tests fail where it says anything else than they see. Each case is a sentence of
the protocol with the section that says so, and a list of steps as data: what a peer sends, and what is due in return. The cases are in
`crates/arcp-conformance/cases`, and `arcp conformance` plays them against any runtime or client.

**MUST** and **SHOULD** are the draft's. **profile** is what the draft leaves open and this project has decided: another
implementation may do otherwise and be right. Where other sections ask for the same, they are named behind the sentence.

What cannot be seen from outside is no case, and is tested elsewhere: that credentials are revoked at the upstream whatever happens, and
are not offered where that is not certain (§9.8.2, §14); what is logged for audit; encryption; the caps of sessions; a runtime that
requires `model.use` (§9.7); spans.
";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_the_cases_show() {
    let dir = TempDir::new().unwrap();
    let at = dir.path();
    let memory = tokio::task::spawn_blocking({
        let at = at.to_owned();
        move || hosts::memory(&at)
    });
    let (websocket, axum, stdio, client) =
        tokio::join!(hosts::websocket(at), hosts::axum(at), hosts::stdio(at), program::run());
    let memory = memory.await.unwrap();
    let runs = [("WebSocket", &websocket), ("axum", &axum), ("stdio", &stdio), ("memory", &memory)];
    let client = [("`arcp`", &client)];
    let failed = runs.iter().chain(&client).flat_map(|(name, run)| {
        run.failures().map(move |(case, failure)| format!("{name}: {} {}\n{failure}", case.id, case.title))
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    if env::var_os("ARCP_CASE").is_some() {
        return;
    }
    let (runtime, client) = (markdown(&runs), markdown(&client));
    let page = format!("{OPENING}\n## The runtime\n\n{runtime}\n## The client\n\n{client}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONFORMANCE.md");
    if env::var("ARCP_CONFORMANCE").is_ok_and(|mode| mode == "write") {
        fs::write(path, page).unwrap();
        return;
    }
    let written = fs::read_to_string(path).unwrap();
    let lines = page.lines().zip(written.lines().chain(std::iter::repeat("")));
    let other: Vec<_> = lines.filter(|(due, there)| due != there).map(|(due, _)| due).collect();
    assert!(
        page == written,
        "CONFORMANCE.md says something else; `cargo xtask conformance` writes it anew. It would say:\n{}",
        other.join("\n")
    );
}
