//! Who may connect.

use std::{collections::HashMap, fmt, net::SocketAddr};

use subtle::ConstantTimeEq;

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
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password must not reach a log by way of a debug print.
        let Login {
            user,
            client_id,
            peer,
            ..
        } = self;
        write!(
            f,
            "Login {{ user: {user:?}, client_id: {client_id:?}, peer: {peer} }}"
        )
    }
}

/// What a client may do.
#[derive(Debug, Clone, Default)]
pub struct Access;

impl Access {
    /// Whether it may publish to a topic.
    pub fn may_write(&self, _topic: &str) -> bool {
        true
    }

    /// Whether it may get messages of a topic.
    pub fn may_read(&self, _topic: &str) -> bool {
        true
    }

    /// Whether it may subscribe to a filter.
    pub fn may_subscribe(&self, _filter: &str) -> bool {
        true
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
}

/// Decides at CONNECT who a client is. It is called on a session's task, so it must not block.
pub trait Authenticator: Send + Sync + 'static {
    /// Accept the client as someone, or deny it.
    fn authenticate(&self, login: Login<'_>) -> Result<Identity, Denied>;
}

/// Where clients without a user name may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Nowhere.
    Never,
    /// The same machine.
    Loopback,
    /// Anywhere.
    Always,
}

/// A fixed list of users and their passwords.
#[derive(Clone)]
pub struct Passwords {
    /// Password by user name.
    pub users: HashMap<String, String>,
    /// What to do with clients that send no user name.
    pub anonymous: Anonymous,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Passwords {{ users: {}, anonymous: {:?} }}",
            self.users.len(),
            self.anonymous
        )
    }
}

impl Authenticator for Passwords {
    fn authenticate(&self, login: Login<'_>) -> Result<Identity, Denied> {
        let Some(user) = login.user else {
            let welcome = match self.anonymous {
                Anonymous::Never => false,
                Anonymous::Loopback => login.peer.ip().to_canonical().is_loopback(),
                Anonymous::Always => true,
            };
            return if welcome {
                Ok(Identity {
                    user: None,
                    access: Access,
                })
            } else {
                Err(Denied::NotAuthorized)
            };
        };
        let known = self.users.get(user);
        // An unknown user costs a comparison too, so that time does not tell who exists.
        let expected = known.map_or("an unknown user has no password", String::as_str);
        let given = login.password.unwrap_or_default();
        let equal = bool::from(expected.as_bytes().ct_eq(given));
        if equal && known.is_some() {
            Ok(Identity {
                user: Some(user.to_owned()),
                access: Access,
            })
        } else {
            Err(Denied::BadCredentials)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let users = HashMap::from([("ann".to_owned(), "secret".to_owned())]);
        let check = |anonymous, user, password: &str, peer: &str| {
            let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
            let login = Login {
                user,
                password: Some(password.as_bytes()),
                client_id: "c",
                peer,
            };
            Passwords {
                users: users.clone(),
                anonymous,
            }
            .authenticate(login)
            .map(|i| i.user)
        };
        let ann = Ok(Some("ann".to_owned()));
        assert_eq!(
            check(Anonymous::Never, Some("ann"), "secret", "10.0.0.1"),
            ann
        );
        assert_eq!(
            check(Anonymous::Always, Some("ann"), "Secret", "::1"),
            Err(Denied::BadCredentials)
        );
        assert_eq!(
            check(Anonymous::Always, Some("bob"), "secret", "::1"),
            Err(Denied::BadCredentials)
        );
        assert_eq!(
            check(Anonymous::Never, None, "", "127.0.0.1"),
            Err(Denied::NotAuthorized)
        );
        assert_eq!(
            check(Anonymous::Loopback, None, "", "::ffff:127.0.0.1"),
            Ok(None)
        );
        assert_eq!(
            check(Anonymous::Loopback, None, "", "10.0.0.1"),
            Err(Denied::NotAuthorized)
        );
        assert_eq!(check(Anonymous::Always, None, "", "10.0.0.1"), Ok(None));
    }
}
