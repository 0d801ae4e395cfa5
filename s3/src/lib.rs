//! A directory of readings, served by the S3 protocol.
