use std::io;

use s3s::{S3Error, s3_error};

use crate::{key::BadKey, tree::TreeError};

/// What is said when something breaks here that the client cannot help; the reason is in the log.
pub(crate) fn broken(action: &'static str, error: &io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            tracing::warn!(action, %error, "a store has no space");
            s3_error!(ServiceUnavailable, "the disk of this store is full")
        }
        _ => {
            tracing::error!(action, %error, "a store failed");
            s3_error!(
                InternalError,
                "the disk of this store failed; its log says how"
            )
        }
    }
}

/// A task that was to do it is gone.
pub(crate) fn gone(action: &'static str) -> S3Error {
    broken(action, &io::Error::other("the task ended"))
}

/// The same for a whole operation.
pub(crate) fn of_tree(action: &'static str, error: TreeError) -> S3Error {
    match error {
        TreeError::NotFound => s3_error!(NoSuchKey, "{error}"),
        TreeError::Condition => s3_error!(PreconditionFailed, "{error}"),
        TreeError::IsDirectory | TreeError::UnderObject(_) => s3_error!(InvalidArgument, "{error}"),
        TreeError::Disk(error) => broken(action, &error),
    }
}

/// A key that no object can have, where one is asked for.
pub(crate) fn no_such(bad: BadKey) -> S3Error {
    s3_error!(NoSuchKey, "there can be no such object: {bad}")
}

/// The same where one is to be changed.
pub(crate) fn refused(bad: BadKey) -> S3Error {
    s3_error!(InvalidArgument, "{bad}")
}
