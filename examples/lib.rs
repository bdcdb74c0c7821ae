//! Examples that run: `cargo run --release --example quickstart -- README.md`.
//!
//! | example | what it shows |
//! | --- | --- |
//! | `quickstart` | a runtime and a client, over a connection that is cut |
//! | `axum_mount` | a runtime beside other routes, nested, and behind a handler that chooses |
//! | `tower_layers` | a runtime behind layers that sign people in, limit addresses, log and time out |
//! | `graceful_shutdown` | what happens to jobs and clients when a runtime stops |
//! | `browser_origin` | which pages may reach a runtime |
//! | `mutual_tls` | clients that are known by their certificates |
