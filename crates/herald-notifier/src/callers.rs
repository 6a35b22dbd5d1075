//! Who calls, and what they may.
//!
//! A caller shows an API key as `authorization: Bearer <key>`, over gRPC and HTTP alike. Keys have
//! names and scopes, and stand in a file that is read again when it changes. Or its connection has a
//! certificate, which the file may give a name and scopes too.

mod file;
mod scope;
mod watch;

use std::sync::Arc;

use herald_core::{EventName, UserId};
use herald_service::TlsOptions;
use tonic::Code;

pub use file::{ApiKeys, KeyRequest, NewKey, new_key};

use crate::{
    accept::Peer,
    call::{Protocol, Rpc},
    error::Error,
    metrics::{ByCode, Metrics},
};
use scope::Scope;
use watch::Watched;

/// Longest API key that is looked at.
const MAX_KEY_BYTES: usize = 256;

/// Knows callers.
#[derive(Debug, Clone)]
pub(crate) struct Callers {
    keys: Option<Watched>,
    /// Clients' certificates are verified where they are shown.
    certificates: bool,
    /// The calls of those that no file names.
    certified_calls: Arc<ByCode>,
    metrics: Metrics,
}

/// Whoever calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    /// By a name of which there is not any number: one of the file's, or `certificate`. `None`
    /// where callers are not told apart.
    calls: Option<Arc<ByCode>>,
    scope: Scope,
}

impl Callers {
    /// Knows those of a file and of certificates; if there is neither, anyone.
    pub(crate) fn new(keys: Option<&ApiKeys>, tls: Option<&TlsOptions>, metrics: Metrics) -> Self {
        let certificates = tls.is_some_and(TlsOptions::knows_clients);
        let certified_calls = Arc::new(ByCode::of_caller("certificate"));
        Self { keys: keys.map(Watched::new), certificates, certified_calls, metrics }
    }

    /// Who shows this `authorization`, or else is at the other end.
    pub(crate) fn identify(
        &self,
        protocol: Protocol,
        authorization: Option<&[u8]>,
        peer: Option<&Peer>,
    ) -> Result<Caller, Error> {
        let names = peer.map(|peer| &*peer.names).unwrap_or_default();
        let identified = match (&self.keys, authorization, names) {
            (None, _, _) if !self.certificates => Ok(Caller::anyone()),
            (Some(watched), None, [_, ..]) => {
                let caller = watched.keys().certified(names);
                caller.ok_or("the certificate is for no name that is known")
            }
            (Some(watched), ..) => key_of(authorization)
                .and_then(|key| watched.keys().find(key).ok_or("the API key is not known")),
            (None, _, [name, ..]) => Ok(self.certified(name)),
            (None, _, []) => Err("a client certificate is needed, for a DNS name"),
        };
        identified.map_err(|reason| {
            self.metrics.unauthenticated(protocol);
            tracing::debug!(protocol = protocol.name(), reason, "caller refused");
            Error::Unauthenticated(reason)
        })
    }

    /// Who shows a certificate for this name, where no file says what it may: everything.
    fn certified(&self, name: &str) -> Caller {
        let calls = Some(Arc::clone(&self.certified_calls));
        Caller(Arc::new(Named { name: name.to_owned(), calls, scope: Scope::all() }))
    }

    /// Reads the keys again whenever their file changes, for ever.
    pub(crate) async fn keep_fresh(self) {
        if let Some(watched) = self.keys {
            watched.keep_fresh().await;
        }
    }
}

fn key_of(authorization: Option<&[u8]>) -> Result<&[u8], &'static str> {
    let value = authorization.ok_or("an API key is needed: `authorization: Bearer <key>`")?;
    let (scheme, key) = value.split_at_checked(7).unwrap_or((value, b""));
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err("the authorization is not of the form `Bearer <key>`");
    }
    Ok(key.trim_ascii())
}

impl Caller {
    /// Somebody who was not asked.
    pub(crate) fn anyone() -> Self {
        Self(Arc::new(Named { name: String::new(), calls: None, scope: Scope::all() }))
    }

    /// Somebody who may nothing.
    pub(crate) fn nobody() -> Self {
        let scope = Scope { rpcs: Some(Vec::new()), ..Scope::all() };
        Self(Arc::new(Named { name: String::new(), calls: None, scope }))
    }

    /// One of the file's.
    fn named(name: String, scope: Scope) -> Self {
        let calls = Some(Arc::new(ByCode::of_caller(&name)));
        Self(Arc::new(Named { name, calls, scope }))
    }

    /// Counts a call of it.
    pub(crate) fn count(&self, code: Code) {
        if let Some(calls) = &self.0.calls {
            calls.increment(code);
        }
    }

    /// The name; empty where callers are not told apart.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it may call this at all.
    pub(crate) fn may_call(&self, rpc: Rpc) -> Result<(), Error> {
        self.check(self.0.scope.has_rpc(rpc), || format!("rpc {}", rpc.name()))
    }

    /// Whether it may do with this user what it may do.
    pub(crate) fn may_reach(&self, user: &UserId) -> Result<(), Error> {
        self.check(self.0.scope.has_user(user), || format!("user {:?}", user.as_str()))
    }

    /// Whether it may reach all of them.
    pub(crate) fn may_reach_everybody(&self) -> Result<(), Error> {
        self.check(self.0.scope.has_all_users(), || "all users".to_owned())
    }

    /// Whether it may send this event.
    pub(crate) fn may_send(&self, event: &EventName) -> Result<(), Error> {
        self.check(self.0.scope.has_event(event), || format!("event {:?}", event.as_str()))
    }

    fn check(&self, allowed: bool, scope: impl FnOnce() -> String) -> Result<(), Error> {
        if allowed {
            return Ok(());
        }
        Err(Error::Forbidden { caller: self.name().to_owned(), scope: scope() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_is_a_bearers_key() {
        assert_eq!(key_of(Some(b"Bearer abc")), Ok(&b"abc"[..]));
        assert_eq!(key_of(Some(b"bearer abc ")), Ok(&b"abc"[..]));
        for bad in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Basic abc",
            b"abc",
            "Bearer ü".repeat(200).as_bytes(),
        ] {
            assert!(key_of(Some(bad)).unwrap_err().contains("not of the form"), "{bad:?}");
        }
        assert!(key_of(None).unwrap_err().contains("is needed"));
    }
}
