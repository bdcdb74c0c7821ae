//! Who is calling (§6.1): from a bearer token to a principal, and to what it may ask for.

use std::future::Future;

use arcp_core::runtime::AuthenticationError;
use arcp_core::{Caller, Principal};
use arcp_proto::{BearerToken, Digest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::visitor::Visitor;

/// Tells whose bearer token this is.
///
/// The client learns only that its token is not valid, never why. An implementation must take the same time for a token
/// it does not know and one it nearly knows. Its future is dropped when the handshake timeout is over and the connection
/// with it; a panic is an [`Unavailable`](AuthenticationError::Unavailable).
pub trait Authenticator: Send + Sync + 'static {
    /// The principal that `token` stands for, which may be `principal.into()`, with a bound on what it may ask for or without.
    ///
    /// It is asked for each handshake, and so whenever a session is resumed; the bound is that of the last one. With
    /// [`Caller::until`] the answer is good until a moment, at which the connection is closed with `UNAUTHENTICATED`: the session can
    /// be resumed with another token, and its jobs run on. Without it, a token that is no longer good ends nothing that is open.
    ///
    /// # Errors
    /// [`AuthenticationError::Invalid`] refuses with `UNAUTHENTICATED`; [`AuthenticationError::Unavailable`] with
    /// `INTERNAL_ERROR`, which invites to try again.
    fn authenticate(
        &self,
        token: &BearerToken,
    ) -> impl Future<Output = Result<Caller, AuthenticationError>> + Send;

    /// The same, with who shows the token: for authenticators that look at the address, at a client certificate, or at what
    /// something in front has found out. This is what a runtime asks; if nothing is said, it is [`authenticate`](Self::authenticate).
    ///
    /// # Errors
    /// Those of [`authenticate`](Self::authenticate).
    fn authenticate_visitor(
        &self,
        token: &BearerToken,
        visitor: &Visitor,
    ) -> impl Future<Output = Result<Caller, AuthenticationError>> + Send {
        let _ = visitor;
        self.authenticate(token)
    }
}

/// A fixed list of bearer tokens. Only their digests are kept, and every one is compared each time.
#[derive(Clone, Debug, Default)]
pub struct StaticTokens(Vec<(Digest, Principal)>);

impl StaticTokens {
    /// No token: nobody gets in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `principal` in with `token`. A principal may have several tokens.
    #[must_use]
    pub fn token(mut self, token: impl Into<BearerToken>, principal: impl AsRef<str>) -> Self {
        let token: BearerToken = token.into();
        self.0.push((token.digest(), Principal::new(principal.as_ref())));
        self
    }
}

impl Authenticator for StaticTokens {
    async fn authenticate(&self, token: &BearerToken) -> Result<Caller, AuthenticationError> {
        let digest = token.digest();
        let mut found = None;
        for (known, principal) in &self.0 {
            if *known == digest {
                found = Some(principal); // no early end: the time tells nothing
            }
        }
        found.cloned().map(Caller::new).ok_or(AuthenticationError::Invalid)
    }
}

/// Lets everybody in, whatever the token, as one principal.
pub(crate) struct Anonymous;

impl Authenticator for Anonymous {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        Ok(Principal::new("anonymous").into())
    }
}

/// The boxed twin of [`Authenticator`].
pub(crate) trait ErasedAuthenticator: Send + Sync + 'static {
    fn authenticate_boxed<'a>(
        &'a self,
        token: &'a BearerToken,
        visitor: &'a Visitor,
    ) -> BoxFuture<'a, Result<Caller, AuthenticationError>>;
}

impl<A: Authenticator> ErasedAuthenticator for A {
    fn authenticate_boxed<'a>(
        &'a self,
        token: &'a BearerToken,
        visitor: &'a Visitor,
    ) -> BoxFuture<'a, Result<Caller, AuthenticationError>> {
        self.authenticate_visitor(token, visitor).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_its_principal_and_nothing_like_it_is() {
        let tokens = StaticTokens::new().token("a", "alice").token("b", "bob").token("a2", "alice");
        for (token, principal) in [("a", "alice"), ("b", "bob"), ("a2", "alice")] {
            assert_eq!(tokens.authenticate(&token.into()).await.unwrap().principal.as_str(), principal);
        }
        for token in ["", "A", "a ", "ab"] {
            assert_eq!(tokens.authenticate(&token.into()).await, Err(AuthenticationError::Invalid));
        }
        assert!(!format!("{:?}", StaticTokens::new().token("hunter2", "x")).contains("hunter2"));
    }
}
