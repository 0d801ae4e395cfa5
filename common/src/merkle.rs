use sha2::{Digest, Sha256};

use crate::layout::ChunkKey;

/// What a leaf's hash begins with, so that no leaf passes for a node.
const LEAF: [u8; 1] = [0];
/// What a node's hash begins with.
const NODE: [u8; 1] = [1];

/// Root of the Merkle tree of RFC 6962 over chunks in the order of their keys. A leaf is the key as text, a zero byte
/// and the SHA-256 of the chunk.
#[must_use]
pub fn root<'a>(chunks: impl Iterator<Item = (&'a ChunkKey, &'a [u8; 32])>) -> [u8; 32] {
    // Roots of whole subtrees, each of a power of two of leaves and larger than the one behind it.
    let mut whole: Vec<(u32, [u8; 32])> = Vec::new();
    for (key, sha256) in chunks {
        let mut hash = leaf(key, sha256);
        let mut level = 0;
        while let Some((_, left)) = whole.pop_if(|(of, _)| *of == level) {
            hash = node(&left, &hash);
            level += 1;
        }
        whole.push((level, hash));
    }
    let mut roots = whole.into_iter().rev().map(|(_, root)| root);
    let Some(last) = roots.next() else {
        return Sha256::digest([]).into();
    };
    roots.fold(last, |right, left| node(&left, &right))
}

fn leaf(key: &ChunkKey, sha256: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(LEAF).chain_update(key.to_string());
    hash.chain_update([0])
        .chain_update(sha256)
        .finalize()
        .into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(NODE);
    hash.chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EdgeId, Seq, Shard};

    fn key(first: u64) -> ChunkKey {
        ChunkKey {
            home: "lakeside".parse().expect("home"),
            day: 20_779,
            edge: EdgeId(0xab),
            shard: Shard(0),
            first: Seq(first),
            last: Seq(first),
            content: crate::layout::Content::Readings,
        }
    }

    /// As the RFC says it: split at the largest power of two below the number of leaves.
    fn by_the_book(leaves: &[(ChunkKey, [u8; 32])]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [(key, sha256)] => leaf(key, sha256),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&by_the_book(left), &by_the_book(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_rfc() {
        let leaves: Vec<_> = (1..=70u64).map(|n| (key(n), [n as u8; 32])).collect();
        for count in 0..=leaves.len() {
            let some = &leaves[..count];
            let root = root(some.iter().map(|(key, sha256)| (key, sha256)));
            assert_eq!(root, by_the_book(some), "{count} leaves");
        }
    }
}
