use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::*;
use crate::{
    durable::RealDisk,
    twin::{
        document::{DocumentId, Section},
        edit::Edit,
        replica::Replica,
    },
};

/// What a power cut leaves of a file's bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// All of them.
    Kept,
    /// None.
    Lost,
    /// This many of those that a write added, from the first one on.
    Torn(usize),
    /// The length, with zeros in it.
    Zeros,
}

/// A real disk that loses power after a number of operations, and then has what was synced.
#[derive(Debug)]
struct FailingDisk {
    left: Mutex<usize>,
    /// Files whose content was changed since their last sync, as they were then.
    unsynced: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    /// Renames that the directory does not have yet: the new name, and what it named before.
    renamed: Mutex<Vec<(PathBuf, Option<Vec<u8>>)>>,
}

impl FailingDisk {
    fn after(operations: usize) -> Arc<FailingDisk> {
        Arc::new(FailingDisk {
            left: Mutex::new(operations),
            unsynced: Mutex::default(),
            renamed: Mutex::default(),
        })
    }

    fn operate(&self, operation: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut left = self.left.lock();
        *left = left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("power cut"))?;
        operation()
    }

    fn change(&self, path: &Path, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.operate(|| {
            let before = fs::read(path).unwrap_or_default();
            self.unsynced
                .lock()
                .entry(path.to_owned())
                .or_insert(before);
            change()
        })
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.operate(|| {
            self.unsynced.lock().remove(path);
            Ok(())
        })
    }

    /// What is found when the power is back.
    fn power_is_back(&self, fate: Fate) {
        for (path, before) in std::mem::take(&mut *self.unsynced.lock()) {
            let now = fs::read(&path).expect("reads");
            let after = match fate {
                Fate::Kept => now,
                Fate::Lost => before,
                Fate::Torn(bytes) => now[..now.len().min(before.len() + bytes)].to_vec(),
                Fate::Zeros => {
                    let mut zeros = before[..before.len().min(now.len())].to_vec();
                    zeros.resize(now.len(), 0);
                    zeros
                }
            };
            fs::write(&path, after).expect("writes");
        }
        for (path, before) in std::mem::take(&mut *self.renamed.lock()).into_iter().rev() {
            if let Some(before) = before.filter(|_| fate == Fate::Lost) {
                fs::write(&path, before).expect("takes back");
            }
        }
    }
}

impl Disk for FailingDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.change(path, || RealDisk.write(path, bytes))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.sync(path)
    }

    fn sync_data(&self, path: &Path) -> io::Result<()> {
        self.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|| {
            assert!(
                !self.unsynced.lock().contains_key(from),
                "a file is synced before it gets its name"
            );
            let before = fs::read(to).ok();
            self.renamed.lock().push((to.to_owned(), before));
            RealDisk.rename(from, to)
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operate(|| {
            self.renamed.lock().clear();
            Ok(())
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(|| RealDisk.create_dir(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|| RealDisk.remove(path))
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(path, || RealDisk.write_at(path, offset, bytes))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        self.change(path, || RealDisk.truncate(path, length))
    }
}

fn bundle(name: &str, kind: BundleKind, content: &str) -> Bundle {
    Bundle {
        key: DocumentKey {
            id: DocumentId::device(name),
            epoch: 0,
        },
        kind,
        bytes: content.to_owned().into(),
    }
}

fn changes(name: &str, content: &str) -> Bundle {
    bundle(name, BundleKind::Changes, content)
}

/// A whole document, as only such a one is taken for a snapshot.
fn snapshot(name: &str) -> Bundle {
    let mut replica = Replica::new("a", true, [1; 32]);
    let id = DocumentId::device(name);
    let edit = Edit::new(id.clone(), Section::Reported, "state", true);
    let staged = replica.edit(&[edit], "a", 0).expect("edit");
    replica.commit(staged, 0);
    let document = replica.document(&id).expect("document");
    Bundle {
        key: document.key().clone(),
        kind: BundleKind::Snapshot,
        bytes: document.save().into(),
    }
}

fn contents(log: &mut Log) -> BTreeSet<Vec<u8>> {
    let bundles = std::mem::take(&mut log.unread);
    bundles.iter().map(|bundle| bundle.bytes.to_vec()).collect()
}

/// Open it on a disk that does not fail, nor wait for the real one.
fn reopened(path: &Path) -> Log {
    Log::open(FailingDisk::after(usize::MAX), path).expect("opens")
}

/// Append and compact until the power fails. Gives what was told as stored, and whether it failed.
fn live(disk: Arc<dyn Disk>, path: &Path) -> (BTreeSet<Vec<u8>>, bool) {
    let mut acked = BTreeSet::new();
    let mut run = || -> Result<(), TwinStoreError> {
        let mut log = Log::open(disk.clone(), path)?;
        for (name, content) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
            log.append(&[changes(name, content)])?;
            acked.insert(content.into());
        }
        let whole = snapshot("a");
        // Until it is done either is there.
        let (a1, a2) = (acked.take(&b"a1"[..]), acked.take(&b"a2"[..]));
        if let Err(error) = log.compact(std::slice::from_ref(&whole), &[]) {
            let after = contents(&mut reopened(path));
            let is_old = [a1, a2]
                .into_iter()
                .flatten()
                .all(|old| after.contains(&old));
            assert!(is_old || after.contains(&whole.bytes[..]));
            return Err(error);
        }
        acked.insert(whole.bytes.to_vec());
        log.append(&[changes("a", "a3"), changes("b", "b2")])?;
        acked.extend([b"a3".to_vec(), b"b2".to_vec()]);
        Ok(())
    };
    let is_whole = run().is_ok();
    (acked, !is_whole)
}

#[tokio::test]
async fn it_is_a_store_of_twins() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins").join("twins.log");
    let open = || -> Arc<dyn TwinStore> {
        Arc::new(FileStore::open(Arc::new(RealDisk), &path).expect("opens"))
    };
    super::super::conformance::check(open).await;
}

#[test]
fn what_was_told_as_stored_is_there_after_a_power_cut_between_any_two_operations() {
    let torn = (1..52).map(Fate::Torn);
    for fate in [Fate::Kept, Fate::Lost, Fate::Zeros]
        .into_iter()
        .chain(torn)
    {
        for operations in 0.. {
            let dir = tempfile::tempdir().expect("dir");
            let path = dir.path().join("twins.log");
            let disk = FailingDisk::after(operations);
            let (acked, has_failed) = live(disk.clone(), &path);
            disk.power_is_back(fate);
            // Twice: what is put behind a torn end must be readable, too.
            for again in ["again", "and again"] {
                let mut log = reopened(&path);
                let after = contents(&mut log);
                let lost: Vec<_> = acked.difference(&after).collect();
                assert!(lost.is_empty(), "{fate:?} after {operations}: {lost:?}");
                assert!(again == "again" || after.contains(&b"again"[..]));
                log.append(&[changes("c", again)]).expect("appends");
            }
            let after = contents(&mut reopened(&path));
            assert!(after.contains(&b"again"[..]) && after.contains(&b"and again"[..]));
            if !has_failed {
                assert!(operations > 15, "there are many operations");
                break;
            }
        }
    }
}

#[test]
fn an_end_torn_at_any_byte_is_cut_off() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins.log");
    reopened(&path)
        .append(&[changes("a", "first")])
        .expect("appends");
    let first = fs::metadata(&path).expect("is there").len() as usize;
    reopened(&path)
        .append(&[changes("a", "second, and longer")])
        .expect("appends");
    let whole = fs::read(&path).expect("reads");
    for length in first..whole.len() {
        fs::write(&path, &whole[..length]).expect("tears");
        let mut log = reopened(&path);
        assert_eq!(contents(&mut log), [b"first".to_vec()].into());
        log.append(&[changes("a", "x")]).expect("appends");
        assert_eq!(
            contents(&mut reopened(&path)),
            [b"first".to_vec(), b"x".to_vec()].into()
        );
        assert!(
            frame::scan(&fs::read(&path).expect("reads").into())
                .expect("scans")
                .damaged
                .is_empty()
        );
    }
}

#[test]
fn a_damaged_byte_anywhere_costs_only_its_own_frame() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins.log");
    let all = ["first", "second", "third"];
    reopened(&path)
        .append(&all.map(|content| changes("a", content)))
        .expect("appends");
    let whole = fs::read(&path).expect("reads");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).expect("writes");
        let mut log = reopened(&path);
        let left = contents(&mut log).len();
        assert_eq!(
            left,
            if at < frame::HEAD.len() { 3 } else { 2 },
            "byte {at}"
        );
        log.append(&[changes("a", "x")]).expect("appends");
        assert_eq!(contents(&mut reopened(&path)).len(), left + 1, "byte {at}");
    }
}

#[test]
fn after_a_sync_that_failed_the_file_is_written_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins.log");
    let disk = FailingDisk::after(usize::MAX);
    let mut log = Log::open(disk.clone(), &path).expect("opens");
    log.append(&[changes("a", "first")]).expect("appends");
    *disk.left.lock() = 1;
    log.append(&[changes("a", "unsure")])
        .expect_err("the sync fails");
    *disk.left.lock() = usize::MAX;
    log.append(&[changes("a", "second")]).expect("appends");
    disk.power_is_back(Fate::Lost);
    let stored = contents(&mut reopened(&path));
    assert_eq!(stored, [b"first".to_vec(), b"second".to_vec()].into());
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins.log");
    fs::write(&path, b"TARNTWN2 and so on").expect("writes");
    Log::open(Arc::new(RealDisk), &path).expect_err("not this version");
}

/// Written by the first version; cargo runs tests in the folder of their package.
const GOLDEN: &str = "fixtures/twins-v1.log";

#[test]
fn the_first_version_can_be_read_for_ever() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins.log");
    let mut other = changes("lamp", "beside it");
    other.key.epoch = 7;
    let bundles = [snapshot("lamp"), other];
    let golden: Bytes = fs::read(GOLDEN).expect("reads").into();
    let scan = frame::scan(&golden).expect("scans");
    let found: Vec<Bundle> = scan.frames.into_iter().map(|(bundle, _)| bundle).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].kind, &found[1]),
        (BundleKind::Snapshot, &bundles[1])
    );
    super::super::check(&found[0].key, &found[0].bytes).expect("a document");
    reopened(&path).append(&found).expect("appends");
    assert_eq!(fs::read(&path).expect("reads"), golden);
}

#[test]
#[ignore = "writes the golden file, once for each version"]
fn write_the_golden_file() {
    let _ = fs::remove_file(GOLDEN);
    let mut other = changes("lamp", "beside it");
    other.key.epoch = 7;
    reopened(Path::new(GOLDEN))
        .append(&[snapshot("lamp"), other])
        .expect("appends");
}
