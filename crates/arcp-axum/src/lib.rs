//! Mount an ARCP runtime in an axum Router.
