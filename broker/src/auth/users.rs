//! The standard authenticator: users with passwords, certificates or tokens, and an ACL.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tarn_common::{password, watched::Watched};
use tokio::sync::Semaphore;

use super::{
    Access, Authenticator, Denied, Identity, Login,
    acl::{Acl, AclError, AclInForce},
    password_file::{PasswordFile, PasswordFileError},
    throttle::{Throttle, Verdict},
};

/// Passwords that are verified at one time: each takes a core and 19 MiB.
const VERIFICATIONS_MAX: usize = 2;
/// Logins that are remembered, so that a home's devices all reconnecting do not each cost a
/// verification.
const VERIFIED_MAX: usize = 4096;

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

/// Passwords that are tokens of another service.
pub trait Tokens: Send + Sync + 'static {
    /// The user that a token stands for, if it is good. Must not block.
    fn verify(&self, user: Option<&str>, token: &[u8]) -> Option<String>;
}

/// Who may connect.
#[derive(Clone)]
pub struct UsersSettings {
    /// Passwords by user name.
    pub fixed: HashMap<String, String>,
    /// File of more users; see [`password_file`].
    pub password_file: Option<PathBuf>,
    /// File of what they may do; see [`acl`](super::acl). Without one everybody may do everything.
    pub acl_file: Option<PathBuf>,
    /// What to do with clients that send no user name.
    pub anonymous: Anonymous,
    /// Whether a client with a certificate is the user of its common name.
    pub certificate_names: bool,
    /// What else passwords may be.
    pub tokens: Option<Arc<dyn Tokens>>,
}

impl fmt::Debug for UsersSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsersSettings")
            .field("fixed", &self.fixed.keys())
            .field("password_file", &self.password_file)
            .field("acl_file", &self.acl_file)
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

/// A file of users or rules that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The password file.
    #[error("password file {path}: {source}")]
    Passwords {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: PasswordFileError,
    },
    /// The ACL file.
    #[error("ACL file {path}: {source}")]
    Acl {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: AclError,
    },
}

/// See the module.
pub struct Users {
    settings: UsersSettings,
    passwords: Option<Watched<PasswordFile>>,
    /// The file that they are from, if they are from one, and the rules in force.
    acl: Option<(Option<Watched<Acl>>, Arc<AclInForce>)>,
    throttle: Mutex<Throttle>,
    verifications: Arc<Semaphore>,
    verified: Mutex<HashSet<[u8; 32]>>,
    /// Makes what is remembered worth nothing to who reads it.
    key: [u8; 32],
    /// Hash that the passwords of unknown users are verified against, so that time does not tell
    /// who exists.
    dummy: String,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Users {
    /// Read the files.
    ///
    /// # Errors
    /// One cannot be read, or has a wrong line.
    pub fn open(settings: UsersSettings) -> Result<Users, FileError> {
        let passwords = settings.password_file.as_ref().map(|path| {
            Watched::open(path, PasswordFile::parse).map_err(|source| FileError::Passwords {
                path: path.clone(),
                source,
            })
        });
        let acl = settings.acl_file.as_ref().map(|path| {
            Watched::open(path, Acl::parse).map_err(|source| FileError::Acl {
                path: path.clone(),
                source,
            })
        });
        let acl = acl.transpose()?;
        Ok(Users {
            passwords: passwords.transpose()?,
            acl: acl.map(|file| {
                let in_force = Arc::new(AclInForce::new(file.get()));
                (Some(file), in_force)
            }),
            throttle: Mutex::default(),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            verified: Mutex::default(),
            key: rand::random(),
            dummy: match settings.password_file {
                Some(_) => password::hash(b"").unwrap_or_default(),
                None => String::new(),
            },
            settings,
        })
    }

    /// The same users under these rules, unless a file has others.
    #[must_use]
    pub fn with_rules(mut self, rules: Acl) -> Users {
        self.acl
            .get_or_insert_with(|| (None, Arc::new(AclInForce::new(Arc::new(rules)))));
        self
    }

    fn identity(&self, user: Option<&str>, client_id: &str) -> Identity {
        Identity {
            user: user.map(str::to_owned),
            access: match &self.acl {
                None => Access::everything(),
                Some((_, in_force)) => Access::of(in_force, user, client_id),
            },
        }
    }

    async fn decide(&self, login: Login<'_>) -> Result<Identity, Denied> {
        if let Some(name) = login.certificate
            && self.settings.certificate_names
        {
            return Ok(self.identity(Some(name), login.client_id));
        }
        let token = login.password.unwrap_or_default();
        if let Some(tokens) = &self.settings.tokens
            && let Some(user) = tokens.verify(login.user, token)
        {
            return Ok(self.identity(Some(&user), login.client_id));
        }
        match login.user {
            Some(user) => self.decide_by_password(user, login).await,
            None if self.welcomes_anonymous(login) => Ok(self.identity(None, login.client_id)),
            None => Err(Denied::NotAuthorized),
        }
    }

    fn welcomes_anonymous(&self, login: Login<'_>) -> bool {
        match self.settings.anonymous {
            Anonymous::Never => false,
            Anonymous::Loopback => login.peer.ip().to_canonical().is_loopback(),
            Anonymous::Always => true,
        }
    }

    async fn decide_by_password(&self, user: &str, login: Login<'_>) -> Result<Identity, Denied> {
        let address = login.peer.ip();
        let password = login.password.unwrap_or_default();
        let known = self.is_fixed(user, password);
        let file = self.passwords.as_ref().map(Watched::get);
        let hash = file.as_ref().and_then(|file| file.hash(user));
        let remembered = self.fingerprint(user, password, hash.unwrap_or_default());
        if known || (hash.is_some() && self.verified.lock().contains(&remembered)) {
            return Ok(self.identity(Some(user), login.client_id));
        }
        if let Verdict::Held { tell } = self.throttle.lock().check(address, Instant::now()) {
            if tell {
                tracing::warn!(%address, "logins are held back: too many have failed");
            }
            return Err(Denied::Throttled);
        }
        let verified = match &self.passwords {
            None => false,
            Some(_) => self.verify(password, hash).await && hash.is_some(),
        };
        if !verified {
            self.throttle.lock().failed(address, Instant::now());
            return Err(Denied::BadCredentials);
        }
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(remembered);
        drop(verified);
        Ok(self.identity(Some(user), login.client_id))
    }

    fn is_fixed(&self, user: &str, password: &[u8]) -> bool {
        let fixed = self.settings.fixed.get(user);
        // An unknown user costs a comparison too.
        let expected = fixed.map_or("an unknown user has no password", String::as_str);
        bool::from(expected.as_bytes().ct_eq(password)) && fixed.is_some()
    }

    async fn verify(&self, password: &[u8], hash: Option<&str>) -> bool {
        // Never closed.
        let permit = self.verifications.clone().acquire_owned().await;
        let (password, hash) = (password.to_owned(), hash.unwrap_or(&self.dummy).to_owned());
        let verifying = tokio::task::spawn_blocking(move || {
            let verified = password::verify(&password, &hash);
            drop(permit);
            verified
        });
        verifying.await.unwrap_or(false)
    }

    fn fingerprint(&self, user: &str, password: &[u8], hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for part in [user.as_bytes(), password, hash.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

impl Authenticator for Users {
    fn authenticate<'a>(&'a self, login: Login<'a>) -> BoxFuture<'a, Result<Identity, Denied>> {
        self.decide(login).boxed()
    }

    fn refresh(&self) {
        if let Some(passwords) = &self.passwords
            && passwords.refresh(PasswordFile::parse)
        {
            self.verified.lock().clear();
        }
        if let Some((Some(file), in_force)) = &self.acl
            && file.refresh(Acl::parse)
        {
            in_force.set(file.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password_file;

    fn settings(anonymous: Anonymous) -> UsersSettings {
        UsersSettings {
            fixed: HashMap::from([("ann".to_owned(), "secret".to_owned())]),
            password_file: None,
            acl_file: None,
            anonymous,
            certificate_names: true,
            tokens: None,
        }
    }

    fn login<'a>(user: Option<&'a str>, password: &'a str, from: &str) -> Login<'a> {
        Login {
            user,
            password: Some(password.as_bytes()),
            client_id: "c",
            peer: (from.parse::<std::net::IpAddr>().expect("an address"), 1).into(),
            certificate: None,
        }
    }

    async fn who(users: &Users, login: Login<'_>) -> Result<Option<String>, Denied> {
        users
            .authenticate(login)
            .await
            .map(|identity| identity.user)
    }

    #[tokio::test]
    async fn names_and_addresses() {
        let ann = Ok(Some("ann".to_owned()));
        for (anonymous, user, password, from, expected) in [
            (Anonymous::Never, Some("ann"), "secret", "10.0.0.1", ann),
            (
                Anonymous::Always,
                Some("ann"),
                "Secret",
                "::1",
                Err(Denied::BadCredentials),
            ),
            (
                Anonymous::Always,
                Some("bob"),
                "secret",
                "::1",
                Err(Denied::BadCredentials),
            ),
            (
                Anonymous::Never,
                None,
                "",
                "127.0.0.1",
                Err(Denied::NotAuthorized),
            ),
            (Anonymous::Loopback, None, "", "::ffff:127.0.0.1", Ok(None)),
            (
                Anonymous::Loopback,
                None,
                "",
                "10.0.0.1",
                Err(Denied::NotAuthorized),
            ),
            (Anonymous::Always, None, "", "10.0.0.1", Ok(None)),
        ] {
            let users = Users::open(settings(anonymous)).expect("opens");
            let got = who(&users, login(user, password, from)).await;
            assert_eq!(got, expected, "{user:?} from {from}");
        }
    }

    #[tokio::test]
    async fn certificates_and_tokens_stand_for_users() {
        struct Named;
        impl Tokens for Named {
            fn verify(&self, _: Option<&str>, token: &[u8]) -> Option<String> {
                (token == b"token").then(|| "from the token".to_owned())
            }
        }
        let users = Users::open(UsersSettings {
            tokens: Some(Arc::new(Named)),
            ..settings(Anonymous::Never)
        })
        .expect("opens");
        let mut device = login(None, "", "10.0.0.1");
        device.certificate = Some("lamp");
        assert_eq!(who(&users, device).await, Ok(Some("lamp".to_owned())));
        let with_token = login(None, "token", "10.0.0.1");
        assert_eq!(
            who(&users, with_token).await,
            Ok(Some("from the token".to_owned()))
        );
    }

    #[tokio::test]
    async fn the_file_is_read_again_and_damage_leaves_the_last_good_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        password_file::add(&path, "bob", b"one").expect("adds");
        let users = Users::open(UsersSettings {
            password_file: Some(path.clone()),
            ..settings(Anonymous::Never)
        })
        .expect("opens");
        let bob = Ok(Some("bob".to_owned()));
        for _ in 0..2 {
            assert_eq!(
                who(&users, login(Some("bob"), "one", "10.0.0.1")).await,
                bob
            );
        }
        password_file::add(&path, "bob", b"two").expect("changes");
        users.refresh();
        let old = who(&users, login(Some("bob"), "one", "10.0.0.1")).await;
        assert_eq!(old, Err(Denied::BadCredentials));
        std::fs::write(&path, "damaged").expect("writes");
        users.refresh();
        assert_eq!(
            who(&users, login(Some("bob"), "two", "10.0.0.1")).await,
            bob
        );
        let missing = UsersSettings {
            password_file: Some(dir.path().join("missing")),
            ..settings(Anonymous::Never)
        };
        assert!(Users::open(missing).is_err());
    }

    #[tokio::test]
    async fn guesses_are_held_back_and_known_logins_are_not() {
        let users = Users::open(settings(Anonymous::Never)).expect("opens");
        for _ in 0..5 {
            let got = who(&users, login(Some("ann"), "guess", "10.0.0.1")).await;
            assert_eq!(got, Err(Denied::BadCredentials));
        }
        let guess = login(Some("bob"), "guess", "10.0.0.1");
        assert_eq!(who(&users, guess).await, Err(Denied::Throttled));
        let other = login(Some("bob"), "guess", "10.0.0.2");
        assert_eq!(who(&users, other).await, Err(Denied::BadCredentials));
        let good = login(Some("ann"), "secret", "10.0.0.1");
        assert_eq!(who(&users, good).await, Ok(Some("ann".to_owned())));
    }
}
