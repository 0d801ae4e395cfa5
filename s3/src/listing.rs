use std::{io, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::{
    key::ObjectKey,
    tree::{ObjectMeta, Tree, TreeError},
    walk::{After, Walk},
};

/// Keys of one page at most, as S3 has it.
pub(crate) const PAGE_KEYS_MAX: usize = 1000;

/// What stays as it is in a key that is asked for encoded.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// What a page is to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageRequest {
    /// What its keys begin with.
    pub(crate) prefix: String,
    /// What ends the part of a key behind the prefix that many keys may share; empty for none.
    pub(crate) delimiter: String,
    /// From where.
    pub(crate) after: After,
    /// How many keys and common prefixes.
    pub(crate) keys_max: usize,
}

/// A page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) objects: Vec<(ObjectKey, ObjectMeta)>,
    pub(crate) prefixes: Vec<String>,
    /// What the page ended with, if there is more.
    pub(crate) next: Option<After>,
}

/// Read a page.
pub(crate) fn page(tree: &Tree, request: &PageRequest) -> io::Result<Page> {
    let mut page = Page::default();
    if request.keys_max == 0 {
        return Ok(page);
    }
    let mut after = request.after.clone();
    let mut walk = Walk::start(tree.root(), &request.prefix)?;
    while let Some(key) = walk.next(&after)? {
        let shared = shared_part(&key, request);
        let meta = match tree.head(&key) {
            Ok(meta) => meta,
            // It was deleted meanwhile.
            Err(TreeError::NotFound) => continue,
            Err(TreeError::Disk(e)) => return Err(e),
            Err(e) => return Err(io::Error::other(e)),
        };
        if page.objects.len() + page.prefixes.len() == request.keys_max {
            page.next = Some(after);
            break;
        }
        match shared {
            Some(prefix) => {
                after = After {
                    key: prefix.clone(),
                    and_below: true,
                };
                page.prefixes.push(prefix);
            }
            None => {
                after = After {
                    key: key.as_str().to_owned(),
                    and_below: false,
                };
                page.objects.push((key, meta));
            }
        }
    }
    Ok(page)
}

/// The beginning of a key up to the first delimiter behind the prefix.
fn shared_part(key: &ObjectKey, request: &PageRequest) -> Option<String> {
    if request.delimiter.is_empty() {
        return None;
    }
    let rest = &key.as_str()[request.prefix.len()..];
    let end = rest.find(&request.delimiter)? + request.delimiter.len();
    Some(key.as_str()[..request.prefix.len() + end].to_owned())
}

/// A place in a listing, for the client to hand back: text that every client sends back as it is.
pub(crate) fn token(after: &After) -> String {
    let kind = if after.and_below { 'p' } else { 'k' };
    format!("{kind}{}", hex::encode(&after.key))
}

/// The place that a token stands for; none if it is not one of ours.
pub(crate) fn from_token(token: &str) -> Option<After> {
    let and_below = match token.as_bytes().first()? {
        b'p' => true,
        b'k' => false,
        _ => return None,
    };
    let key = String::from_utf8(hex::decode(&token[1..]).ok()?).ok()?;
    Some(After { key, and_below })
}

/// A key as a client gets it that asked for keys encoded as in URLs.
pub(crate) fn encoded(key: &str) -> String {
    percent_encode(key.as_bytes(), KEPT).to_string()
}

/// When the directory of a bucket was made, as far as the file system knows.
pub(crate) fn made_at(root: &Path) -> io::Result<std::time::SystemTime> {
    let metadata = root.metadata()?;
    metadata.created().or_else(|_| metadata.modified())
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use tarn_common::durable::RealDisk;

    use super::*;

    const KEYS: [&str; 9] = [
        "a-1", "a/1", "a/2", "a/b/1", "a/b/2", "a/c/1", "b", "c-d-1", "c-d-2",
    ];

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().expect("dir");
        for key in KEYS {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().expect("parent")).expect("dirs");
            fs::write(path, key).expect("write");
        }
        let tree = Tree::read_only(dir.path(), Arc::new(RealDisk)).expect("opens");
        (dir, tree)
    }

    fn names(page: &Page) -> Vec<String> {
        let objects = page.objects.iter().map(|(key, _)| key.as_str().to_owned());
        let mut names: Vec<String> = objects.chain(page.prefixes.iter().cloned()).collect();
        names.sort_unstable();
        names
    }

    /// All pages, each of `keys_max`.
    fn all(tree: &Tree, prefix: &str, delimiter: &str, keys_max: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut request = PageRequest {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            after: After::default(),
            keys_max,
        };
        loop {
            let page = page(tree, &request).expect("lists");
            let names = names(&page);
            assert!(names.len() <= keys_max);
            found.extend(names);
            let Some(next) = page.next else { return found };
            request.after = from_token(&token(&next)).expect("ours");
        }
    }

    #[test]
    fn pages_of_any_size_hold_the_same() {
        let (_dir, tree) = tree();
        for (prefix, delimiter, wanted) in [
            ("", "", KEYS.to_vec()),
            ("", "/", vec!["a-1", "a/", "b", "c-d-1", "c-d-2"]),
            ("a/", "/", vec!["a/1", "a/2", "a/b/", "a/c/"]),
            ("a", "/", vec!["a-1", "a/"]),
            (
                "",
                "-",
                vec!["a-", "a/1", "a/2", "a/b/1", "a/b/2", "a/c/1", "b", "c-"],
            ),
            ("c-", "-", vec!["c-d-"]),
            (
                "",
                "b/",
                vec!["a-1", "a/1", "a/2", "a/b/", "a/c/1", "b", "c-d-1", "c-d-2"],
            ),
            ("x", "/", vec![]),
        ] {
            for keys_max in [1, 2, 3, PAGE_KEYS_MAX] {
                let found = all(&tree, prefix, delimiter, keys_max);
                assert_eq!(found, wanted, "{prefix:?} {delimiter:?} {keys_max}");
            }
        }
    }

    #[test]
    fn a_page_of_nothing_has_no_more() {
        let (_dir, tree) = tree();
        assert_eq!(
            page(&tree, &PageRequest::default()).expect("lists"),
            Page::default()
        );
    }

    #[test]
    fn tokens_that_are_not_ours() {
        for token in ["", "x", "kzz", "k0", "kff", "pé", "é"] {
            assert_eq!(from_token(token), None, "{token}");
        }
    }

    #[test]
    fn keys_are_encoded_so_that_every_client_reads_them() {
        assert_eq!(encoded("home=a b/ü+%.x"), "home%3Da%20b/%C3%BC%2B%25.x");
    }
}
