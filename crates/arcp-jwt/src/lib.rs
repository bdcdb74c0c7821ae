//! Bearer tokens (§6.1) that are JWTs: whose they are, and what the jobs may ask for that are submitted with them.
//!
//! ```no_run
//! use arcp_jwt::Jwt;
//! use arcp_runtime::Runtime;
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = Jwt::builder("https://id.example.com", "arcp").scope("arcp").discover()?;
//! let runtime = Runtime::builder().authenticator(tokens).build()?;
//! # drop(runtime);
//! # Ok(())
//! # }
//! ```
//!
//! With a key that is at hand instead, nothing is fetched:
//!
//! ```
//! use arcp_jwt::{Jwt, Key};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let jwk = r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
//! let tokens = Jwt::builder("https://id.example.com", "arcp").keys([Key::from_jwk(jwk)?])?;
//! # drop(tokens);
//! # Ok(())
//! # }
//! ```
//!
//! # Which tokens are good
//!
//! | part | what it must be |
//! | --- | --- |
//! | `alg` | that of the key, which decides alone: `RS256` (or what its JWK says: `RS*`, `PS*`), `ES256`, `ES384`, `EdDSA`, and `HS256` for secrets that were [configured as such](Key::shared_secret) |
//! | `kid` | of a key that is published; not needed with keys at hand |
//! | `typ` | `JWT`, `at+jwt` or nothing |
//! | `crit` | not there |
//! | `iss`, `aud`, `exp` | needed, and right |
//! | `nbf` | past, if it is there |
//! | `scope` or `scp` | all that [is needed](Builder::scope) |
//! | `sub`, or [another claim](Builder::principal_claim) | the name of the principal, of up to 256 bytes |
//! | `arcp_lease`, or [another claim](Builder::lease_claim) | a lease, if it is there |
//!
//! Keys that a token brings along or points to (`jwk`, `jku`, `x5c`, `x5u`) are not looked at, and a token of more than 16 KiB is
//! not read. It is checked in every handshake, and so also when a session is resumed. At `exp`, and the skew after it, a connection
//! that was let in with it is closed; its session can be resumed with another token of the same principal, and its jobs run on.
//!
//! # A token can cap what a job may ask for
//!
//! `arcp_lease` is shaped like a lease (§9.1):
//!
//! ```json
//! { "sub": "ci", "arcp_lease": { "fs.read": ["/srv/build/**"], "cost.budget": ["USD:5.00"] } }
//! ```
//!
//! The effective lease of a job is the intersection of what is asked for and this, never silently more: who asks for `/srv/**` is given
//! `/srv/build/**`. A pattern of which nothing is left, or nothing that can be written as patterns, is refused with
//! `PERMISSION_DENIED`, which names it. Of money a job is given the smaller amount of each
//! currency, also if it asks for none, and of models those of the token, if it does not say which. The acceptance tells what it
//! has been given. A token without `cost.budget` in it does not bound money, and one without `model.use` not models; the other
//! capabilities must be named. It bounds each job, not all of them together.
//!
//! A session has the cap of the token that it was last opened or resumed with.
//!
//! # How keys are fetched
//!
//! With the first token, and once they are an hour old: a key that is no longer published is good for that long. A token with a
//! key that is not known has them fetched too, but no more than once a minute, and by one for all that wait. If that fails, the last ones
//! are good for a day. It goes by HTTPS to public addresses, unless [private ones are allowed](Builder::allow_private_network);
//! redirects are not followed, proxies of the environment are not used, and an answer has five seconds and 64 KiB.

mod authenticator;
mod cache;
mod claims;
mod fetch;
mod key;
mod token;

pub use authenticator::{Builder, Jwt, SetupError};
pub use fetch::UrlError;
pub use key::{Key, KeyError};
