//! Automerge's bytes, looked at before Automerge does: where each chunk ends, and how much it would become in memory.
//! Source: <https://automerge.org/automerge-binary-format-spec/>.

use sha2::{Digest, Sha256};

use super::DocumentError;

/// First bytes of every chunk.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// Rows that the columns of one chunk may have: a few bytes can tell of billions of equal ones.
pub(super) const ROWS_MAX: u64 = 200_000;
/// Columns of one chunk.
const COLUMNS_MAX: u64 = 64;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkKind {
    /// A whole document.
    Document,
    /// One change.
    Change,
    /// One change whose content is deflated.
    Deflated,
}

/// One chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// What it holds.
    pub kind: ChunkKind,
    /// All of it.
    pub bytes: &'a [u8],
    content: &'a [u8],
}

/// Part bytes into chunks. All of them have to be whole: Automerge itself takes those before a torn one, and says nothing.
pub(super) fn chunks(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, DocumentError> {
    let mut chunks = Vec::new();
    let mut rest = Bytes(bytes);
    while !rest.0.is_empty() {
        let start = rest.0;
        let magic = rest.take(4)?;
        let checksum = rest.take(4)?;
        let typed = rest.0;
        let kind = match rest.byte()? {
            0 => ChunkKind::Document,
            1 => ChunkKind::Change,
            2 => ChunkKind::Deflated,
            _ => return Err(DocumentError::Bytes("a chunk is of an unknown kind")),
        };
        let length = rest.unsigned()?;
        let content = rest.take(length)?;
        if magic != MAGIC {
            return Err(DocumentError::Bytes("a chunk does not begin as one"));
        }
        // The checksum of a deflated change is that of what was deflated: Automerge looks at it.
        let covered = &typed[..typed.len() - rest.0.len()];
        if kind != ChunkKind::Deflated && Sha256::digest(covered)[..4] != *checksum {
            return Err(DocumentError::Bytes("the checksum of a chunk is wrong"));
        }
        chunks.push(Chunk {
            kind,
            bytes: &start[..start.len() - rest.0.len()],
            content,
        });
    }
    Ok(chunks)
}

impl Chunk<'_> {
    /// See that a chunk from elsewhere is of the expected kind, not deflated anywhere, and does not tell of more than
    /// [`ROWS_MAX`] rows: what it becomes in memory is then bounded by its length.
    pub(super) fn bounded(&self, kind: ChunkKind) -> Result<(), DocumentError> {
        if self.kind != kind {
            return Err(DocumentError::Bytes("a chunk is of another kind"));
        }
        let mut rest = Bytes(self.content);
        match kind {
            ChunkKind::Document => {
                rest.each(|rest| {
                    let length = rest.unsigned()?;
                    rest.take(length)
                })?;
                rest.each(|rest| rest.take(32))?;
                let changes = rest.columns()?;
                let operations = rest.columns()?;
                for column in changes.into_iter().chain(operations) {
                    rest.column(column)?;
                }
            }
            _ => {
                rest.each(|rest| rest.take(32))?;
                let actor = rest.unsigned()?;
                rest.take(actor)?;
                rest.unsigned()?;
                rest.unsigned()?;
                rest.signed()?;
                let message = rest.unsigned()?;
                rest.take(message)?;
                rest.each(|rest| {
                    let length = rest.unsigned()?;
                    rest.take(length)
                })?;
                for column in rest.columns()? {
                    rest.column(column)?;
                }
            }
        }
        Ok(())
    }
}

/// A column: its specification and its bytes.
type Column = (u64, u64);

const SHORT: DocumentError = DocumentError::Bytes("a chunk ends within a value");

/// Bytes that are read from their front.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], DocumentError> {
        let count = usize::try_from(count).map_err(|_| SHORT)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DocumentError> {
        let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(byte)
    }

    /// LEB128.
    fn unsigned(&mut self) -> Result<u64, DocumentError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DocumentError::Bytes("a number is too long"))
    }

    /// LEB128 of a number with a sign.
    fn signed(&mut self) -> Result<i64, DocumentError> {
        let mut value = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let unused = 64 - (shift + 7).min(64);
                return Ok(value << unused >> unused);
            }
        }
        Err(DocumentError::Bytes("a number is too long"))
    }

    /// A count, and so many of something.
    fn each<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, DocumentError>,
    ) -> Result<(), DocumentError> {
        for _ in 0..self.unsigned()? {
            one(self)?;
        }
        Ok(())
    }

    fn columns(&mut self) -> Result<Vec<Column>, DocumentError> {
        let count = self.unsigned()?;
        if count > COLUMNS_MAX {
            return Err(DocumentError::Bytes("a chunk has too many columns"));
        }
        (0..count)
            .map(|_| Ok((self.unsigned()?, self.unsigned()?)))
            .collect()
    }

    fn column(&mut self, (specification, length): Column) -> Result<(), DocumentError> {
        const DEFLATED: u64 = 0b1000;
        let mut column = Bytes(self.take(length)?);
        if specification & DEFLATED != 0 {
            return Err(DocumentError::Bytes("a column is deflated"));
        }
        let rows = match specification & 0b111 {
            0 => column.rows(|rest| rest.unsigned())?,
            1 | 2 | 6 => column.rows(|rest| rest.unsigned().map(|_| 1))?,
            3 => column.rows(|rest| rest.signed().map(|_| 1))?,
            4 => column.truths()?,
            5 => column.rows(|rest| {
                let length = rest.unsigned()?;
                rest.take(length).map(|_| 1)
            })?,
            _ => 0,
        };
        match rows > ROWS_MAX {
            true => Err(DocumentError::Bytes("a chunk has too many rows")),
            false => Ok(()),
        }
    }

    /// Rows of a run-length column: `weight` reads a value and says for how many rows it counts.
    fn rows(
        &mut self,
        mut weight: impl FnMut(&mut Self) -> Result<u64, DocumentError>,
    ) -> Result<u64, DocumentError> {
        let mut rows = 0u64;
        while !self.0.is_empty() {
            let run = self.signed()?;
            let more = match run {
                0 => self.unsigned()?,
                1.. => run.unsigned_abs().saturating_mul(weight(self)?.max(1)),
                _ => {
                    let mut sum = 0u64;
                    for _ in 0..run.unsigned_abs() {
                        sum = sum.saturating_add(weight(self)?.max(1));
                    }
                    sum
                }
            };
            rows = rows.saturating_add(more);
        }
        Ok(rows)
    }

    /// Rows of a column of truth values.
    fn truths(&mut self) -> Result<u64, DocumentError> {
        let mut rows = 0u64;
        while !self.0.is_empty() {
            rows = rows.saturating_add(self.unsigned()?);
        }
        Ok(rows)
    }
}
