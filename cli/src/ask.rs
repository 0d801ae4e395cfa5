//! Commands that ask a box or a cloud by its REST interface.

/// `tarn devices`.
pub(crate) mod devices;
/// Rows in a file, as CSV or Parquet.
mod export;
/// Numbers, moments and texts, as a terminal shows them.
mod figures;
/// Live events, over connections that come and go.
mod live;
/// Standard output, whose reader may go.
pub(crate) mod output;
/// `tarn readings`.
pub(crate) mod readings;
/// Series as lines of small bars.
mod sparkline;
/// `tarn sql`.
pub(crate) mod sql;
/// `tarn status`.
pub(crate) mod status;
/// `tarn tail`.
pub(crate) mod tail;
