//! The list of acknowledged messages that tests compare with what was stored.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::message::Message;

/// A file with one line, `topic<TAB>payload`, for each message after its ack came. A payload that is not
/// a line of text stands as `base64:` and its Base64.
///
/// A line may be missing if the simulator itself is killed, and is never there without its ack.
#[derive(Debug)]
pub(super) struct AckedFile {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: BufWriter<File>,
    /// The first error; later writes are not tried, so that the list has no hole in it.
    failed: Option<io::Error>,
}

impl AckedFile {
    /// Opens the file to append to it.
    pub(super) fn open(path: &Path) -> io::Result<AckedFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let state = State {
            file: BufWriter::with_capacity(256 * 1024, file),
            failed: None,
        };
        Ok(AckedFile {
            state: Mutex::new(state),
        })
    }

    /// Adds one batch. An error is kept for the next [`AckedFile::flush`].
    pub(super) fn record(&self, messages: &[Message]) {
        let mut state = self.state();
        if state.failed.is_none() {
            state.failed = write_lines(&mut state.file, messages).err();
        }
    }

    /// Hands everything to the operating system, or tells the first error since the last flush.
    pub(super) fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.failed.take() {
            Some(error) => Err(error),
            None => state.file.flush(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands before a payload that is not a line of text; no text of the model begins so.
const BINARY_MARK: &[u8] = b"base64:";

/// Whether a payload is text without control characters. No Sparkplug payload is: each begins with
/// the key of a field, which is one.
fn is_one_line(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok_and(|text| !text.contains(char::is_control))
}

fn write_lines(file: &mut BufWriter<File>, messages: &[Message]) -> io::Result<()> {
    for message in messages {
        file.write_all(message.topic.as_bytes())?;
        file.write_all(b"\t")?;
        if is_one_line(&message.payload) {
            file.write_all(&message.payload)?;
        } else {
            file.write_all(BINARY_MARK)?;
            file.write_all(BASE64.encode(&message.payload).as_bytes())?;
        }
        file.write_all(b"\n")?;
    }
    Ok(())
}
