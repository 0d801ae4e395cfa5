use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use s3s::{S3Result, dto::CompletedPart, s3_error};
use tokio::time::Instant;

use crate::{key::ObjectKey, receive::Received, tree::Tree};

/// Uploads that may be open at a time.
const UPLOADS_MAX: usize = 256;
/// Parts of an upload, as S3 has it.
const PARTS_MAX: i32 = 10_000;
/// How long an upload may lie untouched before another may take its place.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Uploads in parts that are under way. They end with the server: whoever goes on with one later is told that there is no such upload.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: Mutex<HashMap<String, Upload>>,
}

#[derive(Debug)]
struct Upload {
    key: ObjectKey,
    parts: BTreeMap<i32, Arc<Received>>,
    touched: Instant,
}

/// The parts of an upload in their order.
#[derive(Debug)]
pub(crate) struct Parts(Vec<Arc<Received>>);

impl Uploads {
    /// Begin one.
    pub(crate) fn begin(&self, key: ObjectKey) -> S3Result<String> {
        let mut open = self.open.lock();
        open.retain(|_, upload| upload.touched.elapsed() < IDLE_MAX);
        if open.len() >= UPLOADS_MAX {
            return Err(s3_error!(
                SlowDown,
                "{UPLOADS_MAX} uploads are under way; complete or abort some of them"
            ));
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let upload = Upload {
            key,
            parts: BTreeMap::new(),
            touched: Instant::now(),
        };
        open.insert(id.clone(), upload);
        Ok(id)
    }

    /// Whether a part may come: before it is taken, so that what nobody wants is not written.
    pub(crate) fn check(&self, id: &str, key: &ObjectKey, number: i32) -> S3Result<()> {
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(s3_error!(
                InvalidArgument,
                "parts are numbered from 1 to {PARTS_MAX}"
            ));
        }
        find(&mut self.open.lock(), id, key).map(|_| ())
    }

    /// Keep a part; it takes the place of one with its number.
    pub(crate) fn add(
        &self,
        id: &str,
        key: &ObjectKey,
        number: i32,
        part: Received,
        bytes_max: u64,
    ) -> S3Result<String> {
        let mut open = self.open.lock();
        let upload = find(&mut open, id, key)?;
        let others = upload.parts.iter().filter(|(at, _)| **at != number);
        let bytes: u64 = others.map(|(_, part)| part.bytes).sum();
        if bytes + part.bytes > bytes_max {
            return Err(s3_error!(
                EntityTooLarge,
                "this store takes objects of at most {bytes_max} bytes"
            ));
        }
        let tag = hex::encode(part.md5);
        upload.parts.insert(number, Arc::new(part));
        upload.touched = Instant::now();
        Ok(tag)
    }

    /// The parts that are to become an object.
    pub(crate) fn parts(
        &self,
        id: &str,
        key: &ObjectKey,
        wanted: &[CompletedPart],
    ) -> S3Result<Parts> {
        let mut open = self.open.lock();
        let upload = find(&mut open, id, key)?;
        let numbers = || {
            wanted
                .iter()
                .map(|part| part.part_number.unwrap_or_default())
        };
        if wanted.is_empty() {
            return Err(s3_error!(MalformedXML, "an upload has at least one part"));
        }
        if !numbers().is_sorted_by(|a, b| a < b) {
            return Err(s3_error!(InvalidPartOrder));
        }
        let part = |wanted: &CompletedPart| {
            let number = wanted.part_number.unwrap_or_default();
            let tag = wanted.e_tag.as_ref().map(|tag| tag.value());
            let part = upload.parts.get(&number);
            let part = part.filter(|part| tag == Some(hex::encode(part.md5).as_str()));
            part.cloned()
                .ok_or_else(|| s3_error!(InvalidPart, "part {number} did not come, or came anew"))
        };
        wanted.iter().map(part).collect::<S3Result<_>>().map(Parts)
    }

    /// End one: it is an object now, or is not to become one.
    pub(crate) fn end(&self, id: &str, key: &ObjectKey) -> S3Result<()> {
        let mut open = self.open.lock();
        find(&mut open, id, key)?;
        open.remove(id);
        Ok(())
    }
}

fn find<'a>(
    open: &'a mut HashMap<String, Upload>,
    id: &str,
    key: &ObjectKey,
) -> S3Result<&'a mut Upload> {
    let upload = open.get_mut(id).filter(|upload| upload.key == *key);
    upload.ok_or_else(|| s3_error!(NoSuchUpload))
}

impl Parts {
    /// Bytes of all.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|part| part.bytes).sum()
    }

    /// Write them one behind the other into a file without a name.
    pub(crate) fn join(&self, tree: &Tree) -> io::Result<crate::tree::Staged> {
        let staged = tree.stage();
        let mut whole = File::create_new(staged.path())?;
        for part in &self.0 {
            let copied = io::copy(&mut File::open(part.staged.path())?, &mut whole)?;
            if copied != part.bytes {
                return Err(io::Error::other(
                    "a part of an upload has another length than it had",
                ));
            }
        }
        Ok(staged)
    }
}
