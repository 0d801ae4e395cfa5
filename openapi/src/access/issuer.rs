use std::{collections::HashMap, io, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{AlgorithmParameters, Jwk},
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tarn_common::durable;

use super::{
    AccessError, Issued, TOKEN_TIME_MAX, TokenRequest, check_name,
    records::{TokenRecord, new_id},
    role::{Homes, Role},
};

/// Who issues tokens, as they say.
const ISSUER: &str = "tarn";
/// Hex digits of a key's id.
const KEY_ID_DIGITS: usize = 16;

/// What a token says (RFC 7519). It is signed with Ed25519 (`EdDSA`), and its header has the id of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    /// Name of who has it.
    pub sub: String,
    /// Its id.
    pub jti: String,
    /// When it was issued, seconds since 1970 UTC.
    pub iat: i64,
    /// When it ends, seconds since 1970 UTC.
    pub exp: i64,
    /// What its holder is to the homes.
    pub role: Role,
    /// The homes.
    pub homes: Homes,
}

/// The key that a service signs its tokens with. It never leaves the file that it lies in.
pub struct SigningKey {
    id: String,
    public: Vec<u8>,
    encoding: EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

impl SigningKey {
    /// Read the key from a file, or make one: synced, and for its owner only.
    ///
    /// # Errors
    /// The file can be neither read nor made, or holds something else.
    pub fn open(path: &Path) -> io::Result<SigningKey> {
        match std::fs::read(path) {
            Ok(bytes) => SigningKey::of(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
                let made = made.map_err(|_| io::Error::other("no randomness for a key"))?;
                durable::put_private(path, made.as_ref())?;
                SigningKey::of(made.as_ref())
            }
            Err(e) => Err(e),
        }
    }

    fn of(pkcs8: &[u8]) -> io::Result<SigningKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8);
        let pair = pair.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(SigningKey {
            id: key_id(&public),
            public,
            encoding: EncodingKey::from_ed_der(pkcs8),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key as a JWK (RFC 8037): what others check tokens with.
    #[must_use]
    pub fn public_jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(&self.public),
        })
    }

    /// Make a token. It is in no list: [`Access::issue`](super::Access::issue) makes those that are.
    ///
    /// # Errors
    /// Its holder has no name that may be, or it would last for no time or too long.
    pub fn issue(&self, request: TokenRequest, now_ms: i64) -> Result<Issued, AccessError> {
        if request.lifetime > TOKEN_TIME_MAX || request.lifetime.as_secs() == 0 {
            let days = TOKEN_TIME_MAX.as_secs() / 86_400;
            return Err(AccessError::Invalid(format!(
                "a token lasts for 1s to {days}d"
            )));
        }
        check_name(&request.name)?;
        let now_s = now_ms.div_euclid(1_000);
        let ends_s = now_s.saturating_add_unsigned(request.lifetime.as_secs());
        let record = TokenRecord {
            id: new_id(now_ms),
            name: request.name,
            role: request.role,
            homes: request.homes,
            created_ms: now_ms,
            created_by: request.by,
            expires_ms: ends_s.saturating_mul(1_000),
            session: false,
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: record.name.clone(),
            jti: record.id.clone(),
            iat: now_s,
            exp: ends_s,
            role: record.role,
            homes: record.homes.clone(),
        };
        let token = self
            .sign(&claims)
            .map_err(|e| AccessError::Key(e.to_string()))?;
        Ok(Issued { token, record })
    }

    fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        encode(&header, claims, &self.encoding)
    }
}

fn key_id(public: &[u8]) -> String {
    let mut id = hex::encode(Sha256::digest(public));
    id.truncate(KEY_ID_DIGITS);
    id
}

/// The keys of those whose tokens are good.
#[derive(Default)]
pub(super) struct PublicKeys(HashMap<String, DecodingKey>);

impl std::fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a token is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no token of ours.
    #[error("the token is none: {0}")]
    Malformed(String),
    /// It was signed with a key that is not known here.
    #[error("the token is of an issuer that is not known here")]
    UnknownKey,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
}

impl PublicKeys {
    /// Take a key in. False where it is no Ed25519 key with an id.
    pub(super) fn add(&mut self, jwk: &Jwk) -> bool {
        let AlgorithmParameters::OctetKeyPair(parameters) = &jwk.algorithm else {
            return false;
        };
        let decoding = DecodingKey::from_ed_components(&parameters.x);
        match (decoding, &jwk.common.key_id) {
            (Ok(decoding), Some(id)) => {
                self.0.insert(id.clone(), decoding);
                true
            }
            _ => false,
        }
    }

    /// Whether the key of a token is known. True for what is no token at all.
    #[must_use]
    pub(super) fn knows_issuer_of(&self, token: &str) -> bool {
        let header = decode_header(token).ok();
        let id = header.and_then(|header| header.kid);
        id.is_none_or(|id| self.0.contains_key(&id))
    }

    /// Check the signature and the times of a token.
    ///
    /// # Errors
    /// It is not good.
    pub(super) fn verify(&self, token: &str, now_ms: i64) -> Result<Claims, TokenFault> {
        let malformed = |e: jsonwebtoken::errors::Error| TokenFault::Malformed(e.to_string());
        let header = decode_header(token).map_err(malformed)?;
        let key = header.kid.as_ref().and_then(|id| self.0.get(id));
        let key = key.ok_or(TokenFault::UnknownKey)?;
        // The time is looked at below, by the clock that everything here goes by.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        let claims = decode::<Claims>(token, key, &validation).map_err(malformed)?;
        if claims.claims.exp.saturating_mul(1_000) <= now_ms {
            return Err(TokenFault::Expired);
        }
        Ok(claims.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &SigningKey) -> PublicKeys {
        let mut keys = PublicKeys::default();
        let jwk = serde_json::from_value(key.public_jwk()).expect("a JWK");
        assert!(keys.add(&jwk));
        keys
    }

    fn claims() -> Claims {
        let homes = Homes::parse(&["my-home"]).expect("homes");
        Claims {
            iss: ISSUER.into(),
            sub: "ada".into(),
            jti: "t1".into(),
            iat: 100,
            exp: 200,
            role: Role::Member,
            homes,
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_ends() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("issuer.key");
        let key = SigningKey::open(&path).expect("makes a key");
        let token = key.sign(&claims()).expect("signs");
        let again = SigningKey::open(&path).expect("reads the key");
        assert_eq!(again.id(), key.id());
        let keys = keys(&again);
        assert_eq!(keys.verify(&token, 199_999), Ok(claims()));
        assert_eq!(keys.verify(&token, 200_000), Err(TokenFault::Expired));
    }

    #[test]
    fn others_cannot_make_or_change_one() {
        let dir = tempfile::tempdir().expect("folder");
        let open = |name: &str| SigningKey::open(&dir.path().join(name)).expect("makes a key");
        let (own, other) = (open("own"), open("other"));
        let keys = keys(&own);
        let foreign = other.sign(&claims()).expect("signs");
        assert_eq!(keys.verify(&foreign, 0), Err(TokenFault::UnknownKey));
        assert!(!keys.knows_issuer_of(&foreign));
        let token = own.sign(&claims()).expect("signs");
        let mut parts = token.split('.');
        let (head, body, signature) = (
            parts.next().expect("head"),
            parts.next().expect("body"),
            parts.next().expect("signature"),
        );
        let said = URL_SAFE_NO_PAD.decode(body).expect("base64");
        let more = String::from_utf8(said)
            .expect("text")
            .replace("member", "owner");
        let forged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(more));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let unsigned = format!("{none}.{body}.");
        for token in [&*forged, &*unsigned, "", "a.b.c", "not a token"] {
            let fault = keys.verify(token, 0).expect_err(token);
            assert!(
                matches!(fault, TokenFault::Malformed(_) | TokenFault::UnknownKey),
                "{fault}"
            );
        }
    }
}
