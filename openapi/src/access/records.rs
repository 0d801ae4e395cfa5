use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::TryStreamExt;
use jsonwebtoken::jwk::Jwk;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tarn_common::{
    layout::{ACCESS, AccessKey},
    store::{Store, StoreError},
};
use ulid::Ulid;

use super::{
    issuer::PublicKeys,
    role::{Homes, Role},
};

/// A token that was issued; the token itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id.
    pub id: String,
    /// Name of who has it.
    pub name: String,
    /// What its holder is to the homes.
    pub role: Role,
    /// The homes.
    pub homes: Homes,
    /// When it was issued, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// Who had it issued.
    pub created_by: String,
    /// When it ends, milliseconds since 1970 UTC.
    pub expires_ms: i64,
    /// Whether a person has it by logging in.
    pub session: bool,
}

/// That a token is good no more.
#[derive(Debug, Serialize)]
pub(super) struct Revocation {
    pub(super) at_ms: i64,
    pub(super) by: String,
}

/// A person who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) name: String,
    /// Hash of the password, as a PHC string of argon2id.
    pub(super) password: String,
    pub(super) role: Role,
    pub(super) homes: Homes,
    pub(super) created_ms: i64,
}

/// Whoever has the code may make an account that is this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) role: Role,
    pub(super) homes: Homes,
    pub(super) expires_ms: i64,
    /// It was offered because there was no account, and is void once there is one.
    pub(super) first: bool,
}

/// The objects of access, in memory. The store has them, and other services may add to them there.
#[derive(Debug)]
pub(super) struct Records {
    store: Store,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether the store was looked at as a whole.
    looked: bool,
    seen: HashSet<String>,
    keys: PublicKeys,
    tokens: BTreeMap<String, TokenRecord>,
    revoked: BTreeSet<String>,
    /// By name, with the version that it has.
    accounts: BTreeMap<String, (String, Account)>,
    setups: BTreeMap<String, Setup>,
    used: BTreeSet<String>,
}

impl Records {
    pub(super) fn new(store: Store, trusted: &[Jwk]) -> Records {
        let mut known = Known::default();
        for key in trusted {
            known.keys.add(key);
        }
        Records {
            store,
            known: RwLock::new(known),
        }
    }

    /// Take in what is new in the store.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        let listed = self.store.list(ACCESS, None);
        let listed: Vec<_> = listed.try_collect().await?;
        for object in listed {
            let key = object.location.to_string();
            if self.known.read().seen.contains(&key) {
                continue;
            }
            let bytes = self.store.get(&key).await?;
            self.take(&key, &bytes);
        }
        self.known.write().looked = true;
        Ok(())
    }

    fn take(&self, key: &str, bytes: &[u8]) {
        let mut known = self.known.write();
        known.seen.insert(key.to_owned());
        let taken = key
            .parse::<AccessKey>()
            .map_err(|e| e.to_string())
            .and_then(|parsed| known.apply(parsed, bytes));
        if let Err(error) = taken {
            tracing::warn!(key, %error, "an object of access cannot be read and is left out");
        }
    }

    async fn put<T: Serialize>(&self, key: AccessKey, value: &T) -> Result<(), StoreError> {
        let key = key.to_string();
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.store
            .put_among_others(&key, bytes.clone().into())
            .await?;
        self.take(&key, &bytes);
        Ok(())
    }

    /// Whether the store was seen, so that what is not known is not there.
    pub(super) fn is_known(&self) -> bool {
        self.known.read().looked
    }

    pub(super) fn with_keys<T>(&self, work: impl FnOnce(&PublicKeys) -> T) -> T {
        work(&self.known.read().keys)
    }

    pub(super) async fn add_issuer(
        &self,
        id: &str,
        jwk: &serde_json::Value,
    ) -> Result<(), StoreError> {
        self.put(AccessKey::Issuer(id.to_owned()), jwk).await
    }

    pub(super) fn has_issuer(&self, id: &str) -> bool {
        let key = AccessKey::Issuer(id.to_owned()).to_string();
        self.known.read().seen.contains(&key)
    }

    pub(super) async fn add_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        self.put(AccessKey::Token(token.id.clone()), token).await
    }

    /// Tokens, the newest first, each with whether it was revoked.
    pub(super) fn tokens(&self) -> Vec<(TokenRecord, bool)> {
        let known = self.known.read();
        let tokens = known.tokens.values().rev();
        tokens
            .map(|token| (token.clone(), known.revoked.contains(&token.id)))
            .collect()
    }

    pub(super) fn token(&self, id: &str) -> Option<TokenRecord> {
        self.known.read().tokens.get(id).cloned()
    }

    pub(super) async fn revoke(&self, id: &str, revocation: &Revocation) -> Result<(), StoreError> {
        self.put(AccessKey::Revoked(id.to_owned()), revocation)
            .await
    }

    pub(super) fn is_revoked(&self, id: &str) -> bool {
        self.known.read().revoked.contains(id)
    }

    pub(super) fn has_accounts(&self) -> bool {
        !self.known.read().accounts.is_empty()
    }

    pub(super) fn account(&self, name: &str) -> Option<Account> {
        let known = self.known.read();
        known.accounts.get(name).map(|(_, account)| account.clone())
    }

    pub(super) async fn put_account(&self, account: &Account) -> Result<(), StoreError> {
        let version = new_id(account.created_ms);
        self.put(AccessKey::Account(version), account).await
    }

    pub(super) async fn add_setup(&self, code: &str, setup: &Setup) -> Result<(), StoreError> {
        self.put(AccessKey::Setup(code.to_owned()), setup).await
    }

    /// What a code is good for, if it still is.
    pub(super) fn setup(&self, code: &str, now_ms: i64) -> Option<Setup> {
        let known = self.known.read();
        let setup = known.setups.get(code)?;
        let is_void = known.used.contains(code)
            || setup.expires_ms <= now_ms
            || (setup.first && !known.accounts.is_empty());
        (!is_void).then(|| setup.clone())
    }

    pub(super) async fn use_setup(&self, code: &str) -> Result<(), StoreError> {
        self.put(AccessKey::Used(code.to_owned()), &serde_json::json!({}))
            .await
    }
}

impl Known {
    fn apply(&mut self, key: AccessKey, bytes: &[u8]) -> Result<(), String> {
        match key {
            AccessKey::Issuer(_) => {
                let jwk = read::<Jwk>(bytes)?;
                if !self.keys.add(&jwk) {
                    return Err("it is no Ed25519 key with an id".into());
                }
            }
            AccessKey::Token(id) => {
                self.tokens.insert(id, read(bytes)?);
            }
            // Whatever it says: that it is there is enough.
            AccessKey::Revoked(id) => {
                self.revoked.insert(id);
            }
            AccessKey::Account(version) => {
                let account: Account = read(bytes)?;
                let known = self.accounts.get(&account.name);
                if known.is_none_or(|(known, _)| *known < version) {
                    self.accounts
                        .insert(account.name.clone(), (version, account));
                }
            }
            AccessKey::Setup(code) => {
                self.setups.insert(code, read(bytes)?);
            }
            AccessKey::Used(code) => {
                self.used.insert(code);
            }
        }
        Ok(())
    }
}

/// An id that sorts by the time at which it was made.
pub(super) fn new_id(now_ms: i64) -> String {
    Ulid::from_parts(now_ms.unsigned_abs(), rand::random()).to_string()
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}
