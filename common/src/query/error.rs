use datafusion::common::DataFusionError;

use super::lake::LakeError;

/// Why a question has no answer, by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// Mend the question: the message names the place.
    #[error("{0}")]
    BadQuery(String),
    /// Ask for less: the question ran into a limit, and its work was stopped.
    #[error("the query needs more than its limit of {limit}; ask for less")]
    TooExpensive {
        /// The limit, by name and amount.
        limit: String,
    },
    /// Ask again later: the lake or the engine cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// Report it: the engine failed.
    #[error("the query engine failed: {0}")]
    Internal(String),
}

impl QueryError {
    pub(super) fn bad(message: impl Into<String>) -> QueryError {
        QueryError::BadQuery(message.into())
    }
}

/// Sorts the engine's errors; `memory` is the limit to name when memory ran out.
pub(super) fn sort_out(error: &DataFusionError, memory: usize) -> QueryError {
    let told = || message(error);
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::TooExpensive {
            limit: memory_limit(memory),
        },
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => QueryError::BadQuery(told()),
        DataFusionError::External(e) if e.is::<LakeError>() => {
            QueryError::Unavailable(e.to_string())
        }
        _ => QueryError::Internal(told()),
    }
}

pub(super) fn memory_limit(bytes: usize) -> String {
    format!("{} MiB of memory", bytes >> 20)
}

/// Whether a file may be to blame: then the files are looked at, and the query runs once more.
pub(super) fn may_be_a_file(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::ParquetError(_)
            | DataFusionError::ArrowError(..)
            | DataFusionError::IoError(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::External(_)
    )
}

fn message(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::Collection(errors) => errors
            .first()
            .map_or_else(|| error.strip_backtrace(), DataFusionError::strip_backtrace),
        root => root.strip_backtrace(),
    };
    let place = error.diagnostic().and_then(|d| d.span.as_ref());
    match place {
        Some(span) if !text.contains("Line: ") => {
            format!(
                "{text} at line {}, column {}",
                span.start.line, span.start.column
            )
        }
        _ => text,
    }
}
