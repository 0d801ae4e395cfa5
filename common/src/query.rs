/// What an answer holds.
pub mod answer;
/// Audit rows: who changed what, or was refused.
pub mod audit;
/// Devices of a home, from summaries of its chunks.
pub mod devices;
/// The engine: sessions, limits, cancellation.
pub mod engine;
/// Why a question has no answer, by what the caller does next.
pub mod error;
/// Events: the gaps of a home, and the table of all.
pub mod events;
/// Homes, by what the catalog says of them.
pub mod homes;
/// What a host gives the engine: chunks, their files, and what is not cut yet.
pub mod lake;
/// Readings of a device, page by page or in buckets.
pub mod readings;
/// Times, windows and widths as people write them.
pub mod when;

mod cursor;
mod days;
mod guard;
mod pool;
mod prune;
mod scan;
mod stop;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Limits};
pub use audit::{Audit, AuditPlace, AuditQuery};
pub use engine::{Engine, EngineSettings};
pub use error::QueryError;
pub use events::{Gaps, GapsQuery};
pub use lake::{ChunkFile, Lake, LakeError, Missing, Stamp, Tail, View};
pub use readings::{Aggregate, Page, ReadingsQuery};
