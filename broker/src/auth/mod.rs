//! Who may connect, and what they may do.

/// What clients may do: read, write, subscribe.
pub mod acl;
/// Users and the hashes of their passwords.
pub mod password_file;
// Slows down who guesses passwords.
mod throttle;
// The standard authenticator.
mod users;

use std::{fmt, net::SocketAddr};

use futures::future::BoxFuture;

pub use self::{
    acl::Access,
    users::{Anonymous, FileError, Tokens, Users, UsersSettings},
};

/// What a client says of itself in CONNECT.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// User name, if any.
    pub user: Option<&'a str>,
    /// Password, if any.
    pub password: Option<&'a [u8]>,
    /// Client id; one that the broker has assigned if the client sent none.
    pub client_id: &'a str,
    /// Address that the connection came from.
    pub peer: SocketAddr,
    /// Common name of the certificate that the client has proved to own.
    pub certificate: Option<&'a str>,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password must not reach a log by way of a debug print.
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("client_id", &self.client_id)
            .field("peer", &self.peer)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Who a client has proved to be.
#[derive(Debug, Clone)]
pub struct Identity {
    /// User name; `None` for an anonymous client.
    pub user: Option<String>,
    /// What it may do.
    pub access: Access,
}

/// Why a client may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Unknown user or wrong password.
    #[error("bad user name or password")]
    BadCredentials,
    /// Known or anonymous, but not allowed to connect.
    #[error("not authorized")]
    NotAuthorized,
    /// Too many wrong passwords have come from its address.
    #[error("too many failed logins from this address")]
    Throttled,
}

/// Decides at CONNECT who a client is.
pub trait Authenticator: Send + Sync + 'static {
    /// Accept the client as someone, or deny it.
    fn authenticate<'a>(&'a self, login: Login<'a>) -> BoxFuture<'a, Result<Identity, Denied>>;

    /// Called about twice a second: look whether what it decides by has changed.
    fn refresh(&self) {}
}
