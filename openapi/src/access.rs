//! Who may ask for what: tokens and logins, and one table of what each role may.
//!
//! A token is a JWT that its service signed with a key of its own, whose private half stays in a file of that service.
//! The public half lies in the store, so that every service on the store takes the tokens of every other, and whoever
//! only reads the store can make none. Accounts, tokens and revocations are small objects in the store, too, see
//! [`tarn_common::layout::AccessKey`].

/// Requests a second, of one caller, and guesses of passwords.
mod bounds;
/// Every route behind the policy.
mod gate;
/// Signing tokens, and checking them.
mod issuer;
/// The link by which the first account is made.
mod link;
/// What a role may do.
pub mod policy;
/// The objects in the store.
mod records;
/// Roles, homes, callers.
mod role;

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
pub use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tarn_common::{
    clock::Clock,
    password,
    store::{Store, StoreError},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::gate::{By, COOKIE, Gate, address, cookie};
use self::{
    bounds::Bounds,
    records::{Account, Records, Revocation, Setup},
};
pub use self::{
    bounds::{Allowance, RateSettings},
    issuer::{SigningKey, TokenFault},
    link::{setup_link, tell_setup_link},
    records::TokenRecord,
    role::{Caller, Homes, Role},
};

/// Name of the file, in the directory of a box or in that of a cloud's cache, of the key that it signs tokens with.
pub const KEY_FILE: &str = "issuer.key";
/// How often it is looked for what other services on the store have added: so long a token is good there after it was
/// revoked here.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// For a token of an issuer that is not known here yet, the store is looked at no more often than this.
const LOOK_FOR_ISSUER_EVERY_MS: i64 = 1_000;
/// How long a login lasts.
pub const SESSION_TIME: Duration = Duration::from_secs(30 * 86_400);
/// How long a token may last at most.
pub const TOKEN_TIME_MAX: Duration = Duration::from_secs(366 * 86_400);
/// How long a setup link is good.
pub const SETUP_TIME: Duration = Duration::from_secs(86_400);
/// Tokens that are remembered as checked.
const CHECKED_MAX: usize = 10_000;
/// Characters of a password at least.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Bytes of a password at most.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Passwords that are checked at one time: each takes a core and 19 MiB.
const PASSWORDS_AT_ONCE: usize = 2;
/// Random bytes of a setup code.
const CODE_BYTES: usize = 20;

/// Settings of [`Access`].
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Where tokens, accounts and revocations lie.
    pub store: Store,
    /// File of the key that tokens are signed with; made when the first is.
    pub key_file: PathBuf,
    /// Public keys of further issuers whose tokens are good here.
    pub trusted: Vec<Jwk>,
    /// How much one caller may ask.
    pub rate: RateSettings,
}

/// Why access was not given, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Name or password is wrong.
    #[error("there is no account with this name and password")]
    WrongPassword,
    /// The code is wrong, was used, or is too old.
    #[error(
        "this setup link is not good, or not any more: have a new one made by `tarn token setup-link`"
    )]
    WrongCode,
    /// Too many guesses.
    #[error("too many guesses; try again in {} s", .0.as_secs().max(1))]
    TooMany(Duration),
    /// The request cannot be met as it is.
    #[error("{0}")]
    Invalid(String),
    /// There is no such token.
    #[error("there is no token {0}")]
    NoToken(String),
    /// The store failed.
    #[error("who may do what is not known now: {0}")]
    Store(#[from] StoreError),
    /// The key of this service cannot be used.
    #[error("the key that tokens are signed with: {0}")]
    Key(String),
}

/// A token that was just made.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The token itself, which nobody can have again.
    pub token: String,
    /// What is kept of it.
    pub record: TokenRecord,
}

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Who has it.
    pub name: String,
    /// What its holder is to the homes.
    pub role: Role,
    /// The homes.
    pub homes: Homes,
    /// How long it is good.
    pub lifetime: Duration,
    /// Who has it issued.
    pub by: String,
}

/// See the module.
#[derive(Debug)]
pub struct Access {
    records: Records,
    key_file: PathBuf,
    key: OnceLock<SigningKey>,
    clock: Arc<dyn Clock>,
    /// By the SHA-256 of the token.
    checked: Mutex<HashMap<[u8; 32], Arc<Caller>>>,
    looked_for_issuer_ms: Mutex<Option<i64>>,
    bounds: Bounds,
    passwords: tokio::sync::Semaphore,
    /// A code is used by one at a time.
    setting_up: tokio::sync::Mutex<()>,
}

impl Access {
    /// Nothing is known until [`Access::look`].
    #[must_use]
    pub fn new(settings: AccessSettings, clock: Arc<dyn Clock>) -> Access {
        Access {
            records: Records::new(settings.store, &settings.trusted),
            key_file: settings.key_file,
            key: OnceLock::new(),
            clock,
            checked: Mutex::default(),
            looked_for_issuer_ms: Mutex::default(),
            bounds: Bounds::new(settings.rate),
            passwords: tokio::sync::Semaphore::new(PASSWORDS_AT_ONCE),
            setting_up: tokio::sync::Mutex::default(),
        }
    }

    /// Take in what others have put into the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.records.look().await
    }

    /// Look again and again. With no account there yet, offer a setup link once: `offer` is told its code.
    pub async fn run(self: Arc<Self>, offer: impl Fn(&str), stop: CancellationToken) {
        let (mut offered, mut failing) = (false, false);
        loop {
            let looked = self.look_and_offer(&mut offered, &offer).await;
            match looked {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, "who may do what cannot be read from the store; what is known already stands");
                }
                Err(_) => {}
            }
            let pause = tokio::time::sleep(LOOK_EVERY);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn look_and_offer(
        &self,
        offered: &mut bool,
        offer: &impl Fn(&str),
    ) -> Result<(), AccessError> {
        self.look().await?;
        if !*offered && !self.records.has_accounts() {
            let code = self.offer(Role::Owner, Homes::All, true).await?;
            offer(&code);
        }
        *offered = true;
        Ok(())
    }

    /// Make a code with which somebody can make an account. `first` is for the very first: it is void once there is an
    /// account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn offer(
        &self,
        role: Role,
        homes: Homes,
        first: bool,
    ) -> Result<String, AccessError> {
        let code = hex::encode(rand::random::<[u8; CODE_BYTES]>());
        let setup = Setup {
            role,
            homes,
            expires_ms: self.clock.now_ms() + SETUP_TIME.as_millis() as i64,
            first,
        };
        self.records.add_setup(&hashed(&code), &setup).await?;
        Ok(code)
    }

    /// Who a token stands for.
    ///
    /// # Errors
    /// It is not good.
    pub async fn caller(&self, token: &str) -> Result<Arc<Caller>, TokenFault> {
        let now_ms = self.clock.now_ms();
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.checked.lock().get(&digest).cloned();
        let caller = match known {
            Some(caller) if caller.expires_ms <= now_ms => return Err(TokenFault::Expired),
            Some(caller) => caller,
            None => {
                self.look_for_issuer(token, now_ms).await;
                let claims = self.records.with_keys(|keys| keys.verify(token, now_ms))?;
                let caller = Arc::new(Caller {
                    name: claims.sub,
                    role: claims.role,
                    homes: claims.homes,
                    token: claims.jti,
                    expires_ms: claims.exp.saturating_mul(1_000),
                });
                let mut checked = self.checked.lock();
                if checked.len() >= CHECKED_MAX {
                    checked.clear();
                }
                checked.insert(digest, caller.clone());
                caller
            }
        };
        if self.records.is_revoked(&caller.token) {
            return Err(TokenFault::Revoked);
        }
        Ok(caller)
    }

    async fn look_for_issuer(&self, token: &str, now_ms: i64) {
        if self.records.with_keys(|keys| keys.knows_issuer_of(token)) {
            return;
        }
        {
            let mut looked = self.looked_for_issuer_ms.lock();
            if looked.is_some_and(|at| (0..LOOK_FOR_ISSUER_EVERY_MS).contains(&(now_ms - at))) {
                return;
            }
            *looked = Some(now_ms);
        }
        if let Err(error) = self.look().await {
            tracing::debug!(%error, "looking for the issuer of a token");
        }
    }

    /// What must come beside a session's cookie with each change: whoever has only the cookie sent along, as other sites
    /// have, does not know it.
    #[must_use]
    pub fn csrf(token: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"csrf");
        hash.update(token);
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// Make a token, and list it.
    ///
    /// # Errors
    /// It would last too long, or the store or the key failed.
    pub async fn issue(&self, request: TokenRequest) -> Result<Issued, AccessError> {
        self.issue_listed(request, false).await
    }

    async fn issue_listed(
        &self,
        request: TokenRequest,
        session: bool,
    ) -> Result<Issued, AccessError> {
        let mut issued = self.own_key().await?.issue(request, self.clock.now_ms())?;
        issued.record.session = session;
        // It is listed before anybody has it.
        self.records.add_token(&issued.record).await?;
        Ok(issued)
    }

    async fn own_key(&self) -> Result<&SigningKey, AccessError> {
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let opened = SigningKey::open(&self.key_file);
                let opened = opened
                    .map_err(|e| AccessError::Key(format!("{}: {e}", self.key_file.display())))?;
                self.key.get_or_init(|| opened)
            }
        };
        if !self.records.has_issuer(key.id()) {
            self.records.add_issuer(key.id(), &key.public_jwk()).await?;
        }
        Ok(key)
    }

    /// Tokens and sessions, the newest first, each with whether it was revoked.
    #[must_use]
    pub fn tokens(&self) -> Vec<(TokenRecord, bool)> {
        self.records.tokens()
    }

    /// One of them.
    #[must_use]
    pub fn token(&self, id: &str) -> Option<TokenRecord> {
        self.records.token(id)
    }

    /// Let a token be good no more: here at once, at other services on the store within [`LOOK_EVERY`].
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn revoke(&self, id: &str, by: &str) -> Result<(), AccessError> {
        if self.records.token(id).is_none() {
            return Err(AccessError::NoToken(id.to_owned()));
        }
        let revocation = Revocation {
            at_ms: self.clock.now_ms(),
            by: by.to_owned(),
        };
        Ok(self.records.revoke(id, &revocation).await?)
    }

    /// Log a person in.
    ///
    /// # Errors
    /// Name or password is wrong, or there were too many guesses.
    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Issued, AccessError> {
        self.bounds.guess(from).map_err(AccessError::TooMany)?;
        let account = self.records.account(name);
        // Without an account it takes as long, so that nobody learns which names there are.
        let hash = account.as_ref().map_or_else(nobody, |a| a.password.clone());
        let is_right = self.is_password(password, hash).await;
        let account = account.filter(|_| is_right);
        let account = account.ok_or(AccessError::WrongPassword)?;
        self.session(account).await
    }

    /// Make an account with a code, and log it in.
    ///
    /// # Errors
    /// The code is not good, or name or password cannot be taken.
    pub async fn set_up(
        &self,
        code: &str,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Issued, AccessError> {
        self.bounds.guess(from).map_err(AccessError::TooMany)?;
        let _alone = self.setting_up.lock().await;
        // Another service on the store may have given the code, or used it.
        self.look().await?;
        let (code, now_ms) = (hashed(code), self.clock.now_ms());
        let setup = self.records.setup(&code, now_ms);
        let setup = setup.ok_or(AccessError::WrongCode)?;
        check_name(name)?;
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(AccessError::Invalid(format!(
                "password: use {PASSWORD_CHARS_MIN} characters or more, and at most {PASSWORD_BYTES_MAX} bytes"
            )));
        }
        let password = self.hashed_password(password).await?;
        let account = Account {
            name: name.to_owned(),
            password,
            role: setup.role,
            homes: setup.homes,
            created_ms: now_ms,
        };
        self.records.use_setup(&code).await?;
        self.records.put_account(&account).await?;
        self.session(account).await
    }

    async fn session(&self, account: Account) -> Result<Issued, AccessError> {
        let request = TokenRequest {
            by: account.name.clone(),
            name: account.name,
            role: account.role,
            homes: account.homes,
            lifetime: SESSION_TIME,
        };
        self.issue_listed(request, true).await
    }

    async fn is_password(&self, password: &str, hash: String) -> bool {
        let password = password.as_bytes().to_vec();
        let _place = self.passwords.acquire().await;
        let checked = tokio::task::spawn_blocking(move || password::verify(&password, &hash));
        checked.await.unwrap_or(false)
    }

    async fn hashed_password(&self, password: &str) -> Result<String, AccessError> {
        let password = password.as_bytes().to_vec();
        let _place = self.passwords.acquire().await;
        let hashed = tokio::task::spawn_blocking(move || password::hash(&password));
        let hashed = hashed
            .await
            .map_err(|e| AccessError::Invalid(e.to_string()))?;
        hashed.map_err(|e| AccessError::Invalid(e.to_string()))
    }
}

/// A hash that no password has.
fn nobody() -> String {
    static NOBODY: OnceLock<String> = OnceLock::new();
    let made = NOBODY.get_or_init(|| {
        let nobody: [u8; 32] = rand::random();
        password::hash(&nobody).unwrap_or_default()
    });
    made.clone()
}

fn hashed(code: &str) -> String {
    hex::encode(Sha256::digest(code))
}

fn check_name(name: &str) -> Result<(), AccessError> {
    match crate::devices::author(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(AccessError::Invalid(format!(
            "name: {name:?} is none: use 1 to 64 printable ASCII characters, and not \"device\""
        ))),
    }
}
