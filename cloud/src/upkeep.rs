/// Going through all copies for ever.
mod scrub;

pub use scrub::ScrubSettings;
pub(crate) use scrub::Scrubbing;
