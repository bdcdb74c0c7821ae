//! Examples that run: `cargo run --release --example quickstart -- README.md`.
