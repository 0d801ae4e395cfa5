//! Passwords of people and devices, as hashes.

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};

/// The hash function failed.
#[derive(Debug, thiserror::Error)]
#[error("hash the password: {0}")]
pub struct HashError(String);

/// Hash a password by Argon2id with a salt of its own and the parameters that the library recommends (19 MiB, two
/// passes). The result is a PHC string. Takes tens of milliseconds.
///
/// # Errors
/// The hash function failed.
pub fn hash(password: &[u8]) -> Result<String, HashError> {
    let hash = Argon2::default().hash_password(password);
    hash.map(|hash: PasswordHash| hash.to_string())
        .map_err(|e| HashError(e.to_string()))
}

/// Whether a password is the one of a hash. Takes tens of milliseconds.
#[must_use]
pub fn verify(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Whether a text is a hash of Argon2id.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| hash.algorithm.as_str() == "argon2id")
}
