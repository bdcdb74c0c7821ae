//! The route: a runtime where requests for it arrive.

use std::sync::Arc;

use arcp_runtime::Runtime;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any};

use crate::Upgrade;
use crate::upgrade::Options;

/// A route that serves ARCP over WebSocket (§4), with the defaults of [`Mount`].
pub fn serve<S: Clone + Send + Sync + 'static>(runtime: Runtime) -> MethodRouter<S> {
    Mount::new(runtime).into_route()
}

/// A runtime about to be mounted in a router.
#[derive(Clone)]
pub struct Mount {
    runtime: Runtime,
    options: Options,
}

impl Mount {
    /// A runtime that no browser may reach, with frames of up to 1 MiB.
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime, options: Options::new() }
    }

    /// Lets pages of this origin in, such as `https://console.example.com`. Compared as a whole, without regard to case.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origins.allow(origin.into());
        self
    }

    /// The largest frame that is read, in bytes; a larger one is answered with `INVALID_REQUEST` and close 1009.
    #[must_use]
    pub fn max_frame_bytes(mut self, limit: usize) -> Self {
        self.options.config.max_frame_bytes = limit;
        self
    }

    /// The route.
    pub fn into_route<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        let mount = Arc::new(self);
        any(move |request: Request| {
            let mount = Arc::clone(&mount);
            async move {
                if let Some(refusal) = mount.options.refusal(request.headers(), &mount.runtime) {
                    return refusal;
                }
                match Upgrade::of(request) {
                    Ok(upgrade) => upgrade.with_options(mount.options.clone()).serve(&mount.runtime),
                    Err(no_upgrade) => no_upgrade.into_response(),
                }
            }
        })
    }
}
