//! Exit codes: 0 done, 1 a check failed or the work broke, 2 wrong use, 3 not reachable.

use std::process::ExitCode;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A check failed; what it found was printed already.
    pub(crate) fn check() -> Self {
        Failure {
            code: 1,
            message: String::new(),
        }
    }

    /// Nobody reads what is written any more, so there is nothing left to do.
    pub(crate) fn unread() -> Self {
        Failure {
            code: 0,
            message: String::new(),
        }
    }

    /// The work broke.
    pub(crate) fn broken(error: impl Into<anyhow::Error>) -> Self {
        Failure {
            code: 1,
            message: format!("{:#}", error.into()),
        }
    }

    /// The command was used wrongly.
    pub(crate) fn usage(message: String) -> Self {
        Failure { code: 2, message }
    }

    /// Something that must answer does not.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Failure {
            code: 3,
            message: format!("{:#}", error.into()),
        }
    }

    /// Say it and give the code.
    pub(crate) fn exit(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("tarn: {}", self.message.trim_end());
        }
        ExitCode::from(self.code)
    }
}
