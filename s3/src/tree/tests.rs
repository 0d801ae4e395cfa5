use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tarn_common::durable::RealDisk;

use super::*;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect(text)
}

fn open(root: &Path) -> Tree {
    let tree = Tree::writable(root, Arc::new(RealDisk)).expect("opens");
    tree.expect("nobody else has it")
}

fn staged(tree: &Tree, content: &str) -> Staged {
    let staged = tree.stage();
    fs::write(staged.path(), content).expect("write");
    staged
}

fn put(tree: &Tree, at: &str, content: &str) -> Result<ObjectMeta, TreeError> {
    tree.put(&staged(tree, content), &key(at), None)
}

fn read(tree: &Tree, at: &str) -> Option<String> {
    let (file, meta) = match tree.open(&key(at)) {
        Ok(opened) => opened,
        Err(TreeError::NotFound) => return None,
        Err(e) => panic!("{at}: {e}"),
    };
    let text = io::read_to_string(file).expect("reads");
    assert_eq!(text.len() as u64, meta.size);
    Some(text)
}

#[test]
fn an_object_is_what_was_put_last() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    let first = put(&tree, "a/b", "one").expect("puts");
    assert_eq!(tree.head(&key("a/b")).expect("there"), first);
    assert_eq!(
        tree.head(&key("a/b")).expect("there"),
        first,
        "its tag is not stable"
    );
    let second = put(&tree, "a/b", "two").expect("puts");
    assert_ne!(first.tag, second.tag);
    assert_eq!(read(&tree, "a/b").as_deref(), Some("two"));
    for absent in ["a", "a/b/c", "x", "x/y"] {
        assert_eq!(read(&tree, absent), None, "{absent}");
        tree.delete(&key(absent)).expect("is away already");
    }
    assert_eq!(read(&tree, "a/b").as_deref(), Some("two"));
    tree.delete(&key("a/b")).expect("deletes");
    assert_eq!(read(&tree, "a/b"), None);
}

#[test]
fn who_reads_goes_on_reading_the_same() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    put(&tree, "a", "old").expect("puts");
    let (file, _) = tree.open(&key("a")).expect("opens");
    put(&tree, "a", "newer").expect("puts");
    assert_eq!(io::read_to_string(file).expect("reads"), "old");
}

#[test]
fn a_key_is_an_object_or_the_beginning_of_others() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    put(&tree, "a/b", "x").expect("puts");
    assert!(matches!(put(&tree, "a", "y"), Err(TreeError::IsDirectory)));
    assert!(matches!(put(&tree, "a/b/c/d", "y"), Err(TreeError::UnderObject(at)) if at == "a/b"));
    assert_eq!(read(&tree, "a/b").as_deref(), Some("x"));
    // Once they are gone the name is free, and so it is where a crash left a directory for nothing.
    tree.delete(&key("a/b")).expect("deletes");
    put(&tree, "a", "y").expect("puts");
    fs::create_dir_all(dir.path().join("e/f/g")).expect("dirs");
    put(&tree, "e", "y").expect("puts");
    assert_eq!(read(&tree, "e").as_deref(), Some("y"));
}

#[test]
fn conditions_are_kept_under_a_race() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    let winners: usize = thread::scope(|scope| {
        let racers: Vec<_> = (0..16)
            .map(|n| {
                let (tree, content) = (&tree, format!("{n}"));
                scope.spawn(move || {
                    let put = tree.put(
                        &staged(tree, &content),
                        &key("new/one"),
                        Some(&PutCondition::Absent),
                    );
                    match put {
                        Ok(_) => 1,
                        Err(TreeError::Condition) => 0,
                        Err(e) => panic!("{e}"),
                    }
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().expect("ends"))
            .sum()
    });
    assert_eq!(winners, 1);
    let is = PutCondition::Is(tree.head(&key("new/one")).expect("there").tag);
    tree.put(&staged(&tree, "next"), &key("new/one"), Some(&is))
        .expect("it is this one");
    let again = tree.put(&staged(&tree, "next"), &key("new/one"), Some(&is));
    assert!(matches!(again, Err(TreeError::Condition)));
}

/// Directories come and go under those who put: no put fails for it, and none is lost.
#[test]
fn puts_and_deletes_side_by_side() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    thread::scope(|scope| {
        for n in 0..6 {
            let tree = &tree;
            scope.spawn(move || {
                let at = format!("shared/deep/{n}");
                for round in 0..60 {
                    let content = format!("{n} {round}");
                    put(tree, &at, &content).expect("puts");
                    assert_eq!(read(tree, &at), Some(content));
                    tree.delete(&key(&at)).expect("deletes");
                }
            });
        }
    });
    assert!(
        !dir.path().join("shared").exists(),
        "empty directories stay"
    );
}

#[test]
fn links_lead_nowhere() {
    let (dir, other) = (
        tempfile::tempdir().expect("dir"),
        tempfile::tempdir().expect("dir"),
    );
    fs::write(other.path().join("secret"), "s").expect("write");
    let tree = open(dir.path());
    symlink(other.path(), dir.path().join("dir")).expect("link");
    symlink(other.path().join("secret"), dir.path().join("file")).expect("link");
    for at in ["dir/secret", "file"] {
        assert_eq!(read(&tree, at), None, "{at}");
        assert!(
            matches!(put(&tree, at, "x"), Err(TreeError::UnderObject(_))),
            "{at}"
        );
        tree.delete(&key(at)).expect("is away already");
    }
    assert_eq!(
        fs::read_to_string(other.path().join("secret")).expect("there"),
        "s"
    );
}

#[test]
fn one_server_writes_to_a_directory_and_begins_clean() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = open(dir.path());
    let left = dir.path().join(UPLOADS).join("left");
    fs::write(&left, "half").expect("write");
    assert!(
        Tree::writable(dir.path(), Arc::new(RealDisk))
            .expect("tries")
            .is_none()
    );
    assert!(left.exists(), "the other's uploads are its own");
    drop(tree);
    open(dir.path());
    assert!(!left.exists());
}

#[test]
fn a_directory_that_is_read_is_not_touched() {
    let dir = tempfile::tempdir().expect("dir");
    Tree::read_only(dir.path(), Arc::new(RealDisk)).expect("opens");
    assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 0);
}

/// A disk that may refuse to sync.
#[derive(Debug, Default)]
struct Stubborn {
    files: AtomicBool,
    dirs: AtomicBool,
}

impl Disk for Stubborn {
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        match self.files.load(Ordering::Relaxed) {
            true => Err(io::Error::other("no sync of a file")),
            false => RealDisk.sync_file(path),
        }
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.dirs.load(Ordering::Relaxed) {
            true => Err(io::Error::other("no sync of a directory")),
            false => RealDisk.sync_dir(dir),
        }
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write_at(path, offset, bytes)
    }
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        RealDisk.truncate(path, length)
    }
    fn sync_data(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_data(path)
    }
}

#[test]
fn what_is_not_durable_is_not_answered() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = Arc::new(Stubborn::default());
    let tree = Tree::writable(dir.path(), disk.clone())
        .expect("opens")
        .expect("free");
    put(&tree, "a/b", "old").expect("puts");
    disk.files.store(true, Ordering::Relaxed);
    assert!(matches!(put(&tree, "a/b", "new"), Err(TreeError::Disk(_))));
    assert_eq!(read(&tree, "a/b").as_deref(), Some("old"));
    disk.files.store(false, Ordering::Relaxed);
    disk.dirs.store(true, Ordering::Relaxed);
    assert!(matches!(put(&tree, "a/c", "new"), Err(TreeError::Disk(_))));
    assert!(matches!(put(&tree, "d/e", "new"), Err(TreeError::Disk(_))));
    assert!(matches!(tree.delete(&key("a/b")), Err(TreeError::Disk(_))));
    let uploads = fs::read_dir(dir.path().join(UPLOADS)).expect("reads");
    assert_eq!(uploads.count(), 0, "files that nobody wants stay");
}
