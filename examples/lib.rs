//! Examples that run: `cargo run --release --example quickstart -- README.md`, and all others without anything after their names.
//!
//! | to see | run |
//! | --- | --- |
//! | an agent, hosted | `host_agent`, `stdio_child`, `typed_agent`, `agent_versions` |
//! | connections and processes that fail | `quickstart`, `resume_after_cut`, `resume_after_restart`, `idempotent_retry` |
//! | looking at jobs, and ending them | `subscribe`, `list_jobs`, `cancel` |
//! | what a job may do | `lease_violation`, `lease_expiry`, `cost_budget`, `delegation`, `provisioned_credentials`, `jwt` |
//! | what an agent says | `streamed_result`, `vendor_events` |
//! | spans and metrics | `opentelemetry` |
//! | agents as they are in life | `mcp_tools`, `llm_agent` |
//! | a server of one's own | `axum_mount`, `tower_layers`, `graceful_shutdown`, `browser_origin`, `mutual_tls` |
//! | the protocol without async | `drive_core_by_hand` |
