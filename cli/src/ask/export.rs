//! Rows in a file, as CSV or Parquet. A file is there whole or not at all.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use clap::Args;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use tempfile::NamedTempFile;

use super::output::unwritten;
use crate::exit::Failure;

/// CSV with a header line.
pub(crate) const CSV: &str = "text/csv";
/// An Arrow IPC stream.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Where rows go, other than to the terminal.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write all rows as CSV into this file; - is the standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["parquet", "json"])]
    csv: Option<PathBuf>,
    /// Write all rows as Parquet into this file; - is the standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    parquet: Option<PathBuf>,
}

impl ExportArgs {
    /// The file that is asked for.
    pub(crate) fn open(&self) -> Result<Option<Export>, Failure> {
        let (path, is_csv) = match (&self.csv, &self.parquet) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => return Ok(None),
        };
        let target = Target::open(path);
        let target = target.map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
        Ok(Some(match is_csv {
            true => Export::Csv {
                target,
                has_header: false,
            },
            false => Export::Parquet(ParquetExport::Empty(target)),
        }))
    }
}

/// A file that is being written, page by page.
pub(crate) enum Export {
    Csv { target: Target, has_header: bool },
    Parquet(ParquetExport),
}

/// The columns are known with the first page.
pub(crate) enum ParquetExport {
    Empty(Target),
    Begun(Box<ArrowWriter<Target>>),
}

impl Export {
    /// The media type that pages are wanted in.
    pub(crate) fn accept(&self) -> &'static str {
        match self {
            Export::Csv { .. } => CSV,
            Export::Parquet(_) => ARROW,
        }
    }

    /// Take a page in; says how many rows it has.
    pub(crate) fn add(&mut self, page: Bytes) -> Result<u64, Failure> {
        match self {
            Export::Csv { target, has_header } => {
                let page = std::str::from_utf8(&page).map_err(Failure::broken)?;
                let (rows, count) = csv_rows(page);
                let written = if *has_header { rows } else { page };
                *has_header = true;
                target.write_all(written.as_bytes()).map_err(unwritten)?;
                Ok(count)
            }
            Export::Parquet(export) => export.add(page),
        }
    }

    /// All pages are in: put the file in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let target = match self {
            Export::Csv { target, .. } | Export::Parquet(ParquetExport::Empty(target)) => target,
            Export::Parquet(ParquetExport::Begun(writer)) => {
                writer.into_inner().map_err(Failure::broken)?
            }
        };
        target.finish().map_err(unwritten)
    }
}

impl ParquetExport {
    fn add(&mut self, page: Bytes) -> Result<u64, Failure> {
        let reader = StreamReader::try_new(page.as_ref(), None).map_err(Failure::broken)?;
        if let ParquetExport::Empty(target) = self {
            let level = ZstdLevel::try_new(1).map_err(Failure::broken)?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(level))
                .build();
            // Readers find plain Parquet types, whatever they know of Arrow.
            let options = ArrowWriterOptions::new()
                .with_properties(properties)
                .with_skip_arrow_metadata(true);
            let target = std::mem::replace(target, Target::Taken);
            let writer = ArrowWriter::try_new_with_options(target, reader.schema(), options);
            *self = ParquetExport::Begun(Box::new(writer.map_err(Failure::broken)?));
        }
        let mut rows = 0;
        if let ParquetExport::Begun(writer) = self {
            for batch in reader {
                let batch = batch.map_err(Failure::broken)?;
                rows += batch.num_rows() as u64;
                writer.write(&batch).map_err(Failure::broken)?;
            }
        }
        Ok(rows)
    }
}

/// What comes after the header line, and how many rows it is. A row may go over several lines, where a text does.
fn csv_rows(page: &str) -> (&str, u64) {
    let (mut header_end, mut rows, mut quoted) = (None, 0, false);
    for (at, byte) in page.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted && header_end.is_none() => header_end = Some(at + 1),
            b'\n' if !quoted => rows += 1,
            _ => {}
        }
    }
    (&page[header_end.unwrap_or(page.len())..], rows)
}

/// What is written to.
pub(crate) enum Target {
    /// Standard output.
    Standard(io::Stdout),
    /// Something that is there and no file of its own: a pipe, a device.
    Open(File),
    /// A file beside the one that it becomes.
    Aside(NamedTempFile, PathBuf),
    /// Its writer has it.
    Taken,
}

impl Target {
    fn open(path: &Path) -> io::Result<Target> {
        if path.as_os_str() == "-" {
            return Ok(Target::Standard(io::stdout()));
        }
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Ok(Target::Open(OpenOptions::new().write(true).open(path)?));
        }
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        // As any new file: what the user's mask leaves of it.
        let aside = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent.unwrap_or(Path::new(".")))?;
        Ok(Target::Aside(aside, path.to_owned()))
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Target::Aside(file, path) => {
                file.persist(path)?;
                Ok(())
            }
            Target::Standard(_) | Target::Open(_) | Target::Taken => Ok(()),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Standard(out) => out.write(bytes),
            Target::Open(file) => file.write(bytes),
            Target::Aside(file, _) => file.write(bytes),
            Target::Taken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Standard(out) => out.flush(),
            Target::Open(file) => file.flush(),
            Target::Aside(file, _) => file.flush(),
            Target::Taken => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, RecordBatch},
        ipc::writer::StreamWriter,
    };
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    fn export(csv: Option<&Path>, parquet: Option<&Path>) -> Export {
        let [csv, parquet] = [csv, parquet].map(|path| path.map(Path::to_owned));
        let args = ExportArgs { csv, parquet };
        args.open().expect("can be written").expect("is asked for")
    }

    #[test]
    fn pages_of_csv_have_one_header() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.csv");
        let mut file = export(Some(&path), None);
        let page = |page: &'static str| Bytes::from_static(page.as_bytes());
        assert_eq!(file.add(page("a,b\n1,\"x\ny\"\n")).expect("is CSV"), 1);
        assert_eq!(file.add(page("a,b\n2,\n3,z\n")).expect("is CSV"), 2);
        assert_eq!(file.add(page("a,b\n")).expect("is CSV"), 0);
        assert!(!path.exists(), "it is there when it is whole");
        file.finish().expect("is written");
        let text = std::fs::read_to_string(&path).expect("is there");
        assert_eq!(text, "a,b\n1,\"x\ny\"\n2,\n3,z\n");
    }

    #[test]
    fn pages_of_arrow_become_one_parquet_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        let mut file = export(None, Some(&path));
        for page in [vec![1, 2], vec![], vec![3]] {
            let count = page.len() as u64;
            let column: ArrayRef = Arc::new(Int64Array::from(page));
            let batch = RecordBatch::try_from_iter([("n", column)]).expect("a batch");
            let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("begins");
            writer.write(&batch).expect("writes");
            let bytes = writer.into_inner().expect("ends");
            assert_eq!(file.add(bytes.into()).expect("is Arrow"), count);
        }
        file.finish().expect("is written");
        let read = ParquetRecordBatchReader::try_new(File::open(&path).expect("is there"), 10);
        let rows: usize = read
            .expect("is Parquet")
            .map(|batch| batch.expect("a batch").num_rows())
            .sum();
        assert_eq!(rows, 3);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = ExportArgs {
            csv: Some(folder.path().join("none/rows.csv")),
            parquet: None,
        };
        assert!(args.open().is_err());
    }
}
