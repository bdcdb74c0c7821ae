//! Fixture agents and helpers that this workspace's tests share.
