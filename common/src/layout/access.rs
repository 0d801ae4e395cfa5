use std::{fmt, str::FromStr};

use super::ForeignKey;

/// Prefix of what says who may ask for what: keys of issuers, tokens, accounts.
pub const ACCESS: &str = "access";

/// The key of an object of access. Each is written once and never changes; a later one stands over an earlier one of the
/// same account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessKey {
    /// `access/keys/<id>.json`: the public key of an issuer of tokens.
    Issuer(String),
    /// `access/tokens/<id>.json`: a token that was issued, without the token itself.
    Token(String),
    /// `access/revoked/<id>.json`: that a token is good no more.
    Revoked(String),
    /// `access/accounts/<version>.json`: an account of a person in one of its versions.
    Account(String),
    /// `access/setups/<SHA-256 of the code>.json`: that whoever has the code may make an account.
    Setup(String),
    /// `access/used/<SHA-256 of the code>.json`: that it was done.
    Used(String),
}

impl AccessKey {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            AccessKey::Issuer(id) => ("keys", id),
            AccessKey::Token(id) => ("tokens", id),
            AccessKey::Revoked(id) => ("revoked", id),
            AccessKey::Account(version) => ("accounts", version),
            AccessKey::Setup(code) => ("setups", code),
            AccessKey::Used(code) => ("used", code),
        }
    }
}

impl fmt::Display for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, name) = self.parts();
        write!(f, "{ACCESS}/{folder}/{name}.json")
    }
}

impl FromStr for AccessKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parse = || {
            let rest = key.strip_prefix(ACCESS)?.strip_prefix('/')?;
            let (folder, name) = rest.strip_suffix(".json")?.split_once('/')?;
            let is_plain = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            if !is_plain {
                return None;
            }
            let name = name.to_owned();
            Some(match folder {
                "keys" => AccessKey::Issuer(name),
                "tokens" => AccessKey::Token(name),
                "revoked" => AccessKey::Revoked(name),
                "accounts" => AccessKey::Account(name),
                "setups" => AccessKey::Setup(name),
                "used" => AccessKey::Used(name),
                _ => return None,
            })
        };
        parse().ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for key in [
            AccessKey::Issuer("k1".into()),
            AccessKey::Token("01KAV6M3V7XJ3T1S9Q4YB2N8ZD".into()),
            AccessKey::Revoked("01KAV6M3V7XJ3T1S9Q4YB2N8ZD".into()),
            AccessKey::Account("01KAV6M3V7XJ3T1S9Q4YB2N8ZD".into()),
            AccessKey::Setup("ab".into()),
            AccessKey::Used("ab".into()),
        ] {
            let text = key.to_string();
            assert_eq!(text.parse::<AccessKey>().expect("parses"), key, "{text}");
        }
        for foreign in [
            "access/keys/.json",
            "access/other/a.json",
            "access/tokens/a/b.json",
            "stores/a.json",
        ] {
            assert!(foreign.parse::<AccessKey>().is_err(), "{foreign}");
        }
    }
}
