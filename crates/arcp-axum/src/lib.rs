//! Mount an ARCP runtime in an [axum] [`Router`](axum::Router).
//!
//! ```
//! use arcp_runtime::{Runtime, StaticTokens};
//! use axum::Router;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().authenticator(StaticTokens::new().token("s3cret", "alice")).build()?;
//! let app: Router = Router::new().route("/arcp", arcp_axum::serve(runtime));
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! The route is a route like any other: it can be nested, stand beside others, and be wrapped in any `tower` layer, which
//! sees the HTTP request that asks for the upgrade. What follows the upgrade is ARCP, with its own authentication.
//!
//! Browsers send an `Origin`; a request that has one is refused with 403 unless [`Mount::allow_origin`] names it, so that no
//! web page can reach a runtime through its visitor's browser. Programs send none and are let through to `session.hello`.
//!
//! Who asks can be looked at before anybody is let in. A handler of one's own extracts an [`Upgrade`], after whatever else it extracts,
//! and has a runtime serve it. An [`Authenticator`](arcp_runtime::Authenticator) sees the request as
//! [`visitor.request::<http::request::Parts>()`](arcp_runtime::Visitor::request): its headers, and in its extensions what layers in
//! front have put there.
//!
//! Credentials (§9.8) are sent to clients on this machine and to those that come over TLS. Who asks is known where requests have a
//! [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo) and a [`TlsPeer`], as they have from [`Server`]; whether something in
//! front speaks TLS is not: say so with [`RuntimeBuilder::behind_tls`](arcp_runtime::RuntimeBuilder::behind_tls). To anybody else
//! `provisioned_credentials` is not offered.
//!
//! [`Server`] serves a router over TCP, or TLS, with the limits that a runtime wants before a peer is known; `axum::serve` works
//! as well.

mod mount;
mod server;
mod tls;
mod upgrade;

pub use mount::{Mount, serve};
pub use server::Server;
pub use tls::{TlsPeer, TlsSettings};
pub use upgrade::{NoUpgrade, Upgrade};
