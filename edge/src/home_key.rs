//! The home's key, and what proves that a box knows it.
//!
//! A token lets a box into the broker of another: `<unix ms>.<64 hex digits>`, the digits being HMAC-SHA256 under the key of
//! `tarn lan 1`, the home, the box that comes, the box that it comes to, and the same time, with a zero byte between each
//! two. It is good for a few minutes, at the box that it names, for the box that it names. So who gets it in the place of
//! another box has nothing for elsewhere. A zero byte is in no home's name.
//!
//! A seal is put before what a box says to others at one's broker, whoever that broker may be: HMAC-SHA256 of `tarn lan 1 says`,
//! the home, the box that speaks, and what it says. It may be heard again at any time, which the twins' exchange bears.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use tarn_common::ids::{EdgeId, HomeId};

/// How far the clocks of two boxes may be apart, and how long a token is good.
const TOKEN_AGE_MS_MAX: i64 = 5 * 60 * 1000;

/// Bytes of HMAC-SHA256.
pub const SEAL_BYTES: usize = 32;
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// The secret that all boxes of a home share. Never printed, and never sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HomeKey(String);

impl HomeKey {
    /// The one that was given.
    #[must_use]
    pub fn new(key: String) -> HomeKey {
        HomeKey(key)
    }

    /// What lets the box `from` into the broker of the box `to` now.
    #[must_use]
    pub fn token(&self, home: &HomeId, from: EdgeId, to: EdgeId, now_ms: i64) -> String {
        format!("{now_ms}.{}", self.proof(home, from, to, now_ms))
    }

    /// Whether the box `from` may come to the box `to` with this token now.
    #[must_use]
    pub fn is_good(
        &self,
        token: &[u8],
        home: &HomeId,
        from: EdgeId,
        to: EdgeId,
        now_ms: i64,
    ) -> bool {
        let Some((made_ms, proof)) = parse(token) else {
            return false;
        };
        let expected = self.proof(home, from, to, made_ms);
        let is_proof = bool::from(expected.as_bytes().ct_eq(proof));
        is_proof && made_ms.abs_diff(now_ms) <= TOKEN_AGE_MS_MAX.unsigned_abs()
    }

    fn proof(&self, home: &HomeId, from: EdgeId, to: EdgeId, made_ms: i64) -> String {
        let said = format!("tarn lan 1\0{home}\0{from}\0{to}\0{made_ms}");
        hex::encode(self.mac(&[said.as_bytes()]))
    }

    /// What the box `from` says, with the seal before it.
    #[must_use]
    pub fn seal(&self, home: &HomeId, from: EdgeId, said: &[u8]) -> Vec<u8> {
        [&self.seal_of(home, from, said)[..], said].concat()
    }

    /// What the box `from` has said; none if it was not a box that knows the key.
    #[must_use]
    pub fn unseal<'a>(&self, home: &HomeId, from: EdgeId, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, said) = sealed.split_at_checked(SEAL_BYTES)?;
        bool::from(self.seal_of(home, from, said).ct_eq(seal)).then_some(said)
    }

    fn seal_of(&self, home: &HomeId, from: EdgeId, said: &[u8]) -> [u8; SEAL_BYTES] {
        let by = format!("tarn lan 1 says\0{home}\0{from}\0");
        self.mac(&[by.as_bytes(), said])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; SEAL_BYTES] {
        // By the standard a longer key counts as its hash, and a shorter one as if zeros followed.
        let mut key = [0; BLOCK_BYTES];
        match self.0.len() {
            0..=BLOCK_BYTES => key[..self.0.len()].copy_from_slice(self.0.as_bytes()),
            _ => key[..SEAL_BYTES].copy_from_slice(&Sha256::digest(&self.0)),
        }
        let mut mac = Hmac::<Sha256>::new(&key.into());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for HomeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HomeKey(…)")
    }
}

fn parse(token: &[u8]) -> Option<(i64, &[u8])> {
    let dot = token.iter().position(|&byte| byte == b'.')?;
    let (text, proof) = (std::str::from_utf8(&token[..dot]).ok()?, &token[dot + 1..]);
    let made_ms: i64 = text.parse().ok()?;
    // Written in one way only.
    (made_ms.to_string() == text).then_some((made_ms, proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_750_000_000_000;
    const A: EdgeId = EdgeId(1);
    const B: EdgeId = EdgeId(2);
    const C: EdgeId = EdgeId(3);

    /// The digits are those that OpenSSL gives.
    const GOLDEN: &str =
        "1750000000000.88d30baf3b8a632634e3a34179297edbb4021d886d9a67620ce17801455e12b6";

    /// The same under a key of a hundred letters k.
    const GOLDEN_LONG: &str =
        "1750000000000.27b6bd536aab5d2ad715f347c3d75fed796d918d81bc824f5767fde0e72bbc06";

    fn home() -> HomeId {
        "lake".parse().expect("a home")
    }

    fn key() -> HomeKey {
        HomeKey::new("of the lake".to_owned())
    }

    fn is_good(token: &str, from: EdgeId, to: EdgeId, now_ms: i64) -> bool {
        key().is_good(token.as_bytes(), &home(), from, to, now_ms)
    }

    #[test]
    fn boxes_of_all_versions_understand_each_other() {
        let token = key().token(&home(), A, B, NOW);
        assert_eq!(token, GOLDEN);
    }

    #[test]
    fn good_for_one_pair_for_a_while() {
        let token = key().token(&home(), A, B, NOW);
        for late_ms in [0, 1, -1, TOKEN_AGE_MS_MAX, -TOKEN_AGE_MS_MAX] {
            assert!(is_good(&token, A, B, NOW + late_ms), "{late_ms}");
        }
        for late_ms in [TOKEN_AGE_MS_MAX + 1, -TOKEN_AGE_MS_MAX - 1, i64::MAX - NOW] {
            assert!(!is_good(&token, A, B, NOW + late_ms), "{late_ms}");
        }
        // At another box, for another box, the other way round, and in another home.
        for (from, to) in [(A, C), (C, B), (B, A), (A, A)] {
            assert!(!is_good(&token, from, to, NOW), "{from} {to}");
        }
        let hill = "hill".parse().expect("a home");
        assert!(!key().is_good(token.as_bytes(), &hill, A, B, NOW));
    }

    #[test]
    fn other_keys_are_refused() {
        for other in ["", "of the Lake", "of the lake "] {
            let token = HomeKey::new(other.to_owned()).token(&home(), A, B, NOW);
            assert!(!is_good(&token, A, B, NOW), "{other:?}");
        }
    }

    #[test]
    fn garbled_tokens_are_refused() {
        let token = key().token(&home(), A, B, NOW);
        let (time, proof) = token.split_once('.').expect("a dot");
        for garbled in [
            String::new(),
            ".".to_owned(),
            format!(".{proof}"),
            format!("{time}."),
            time.to_owned(),
            proof.to_owned(),
            format!("+{token}"),
            format!("0{token}"),
            format!("{token}0"),
            format!("{}.{proof}", NOW + 1),
            format!("-{token}"),
            format!("{time}.{}", proof.to_uppercase()),
            format!("{time}.{}", &proof[1..]),
            format!("{}.{proof}", "9".repeat(40)),
            format!("{time}\0.{proof}"),
        ] {
            assert!(!is_good(&garbled, A, B, NOW), "{garbled:?}");
        }
        assert!(!key().is_good(&[0xff, b'.', 0xff], &home(), A, B, NOW));
        // Each byte counts.
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] ^= 1;
            assert!(!key().is_good(&bytes, &home(), A, B, NOW), "byte {place}");
        }
    }

    #[test]
    fn seals() {
        let sealed = key().seal(&home(), A, b"hello");
        assert_eq!(sealed.len(), SEAL_BYTES + 5);
        assert_eq!(key().unseal(&home(), A, &sealed), Some(&b"hello"[..]));
        let hill = "hill".parse().expect("a home");
        assert_eq!(key().unseal(&home(), B, &sealed), None);
        assert_eq!(key().unseal(&hill, A, &sealed), None);
        assert_eq!(
            HomeKey::new("of the hill".into()).unseal(&home(), A, &sealed),
            None
        );
        assert_eq!(key().unseal(&home(), A, &sealed[..SEAL_BYTES - 1]), None);
        for place in 0..sealed.len() {
            let mut bytes = sealed.clone();
            bytes[place] ^= 1;
            assert_eq!(key().unseal(&home(), A, &bytes), None, "byte {place}");
        }
    }

    #[test]
    fn long_keys_count_as_their_hash() {
        let of_bytes = |n| HomeKey::new("k".repeat(n)).token(&home(), A, B, NOW);
        assert_ne!(of_bytes(BLOCK_BYTES), of_bytes(BLOCK_BYTES + 1));
        assert_eq!(of_bytes(100), GOLDEN_LONG);
    }

    #[test]
    fn the_key_is_not_printed() {
        assert!(!format!("{:?}", key()).contains("lake"));
    }
}
