use poem_openapi::Object;

/// What going through the copies of all chunks has found so far. A round by lists comes every few minutes and shows
/// what is missing; reading all copies takes its time.
#[derive(Debug, Object)]
pub struct ScrubState {
    /// Bytes that are read per second; 0 where nothing is scrubbed.
    pub bytes_per_second: u64,
    /// When the stores were last gone through by lists, RFC 3339 UTC; null if not yet.
    pub listed_at: Option<String>,
    /// Stores that could not be listed then.
    pub away: Vec<String>,
    /// When all copies had last been read, RFC 3339 UTC; null if not yet.
    pub read_at: Option<String>,
    /// Chunks whose copies were read in the round that is under way, or was the last.
    pub chunks_read: u64,
    /// Chunks of that round.
    pub chunks: u64,
    /// Copies read since the start.
    pub copies: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Faults that were repaired since the start.
    pub repaired: u64,
    /// The last faults, the newest first.
    pub faults: Vec<CopyFault>,
    /// Chunks of which no good copy is left: their readings are lost, unless a store comes back that has one.
    pub lost: Vec<LostChunk>,
}

/// Something that was wrong at a store.
#[derive(Debug, Object)]
pub struct CopyFault {
    /// `missing`, `checksum` (cut, flipped, or put there from outside), or `lacking` for what all stores are to have.
    pub kind: String,
    /// The store.
    pub store: String,
    /// Key of the object.
    pub key: String,
    /// What exactly.
    pub detail: String,
    /// When it was found, RFC 3339 UTC.
    pub at: String,
    /// Whether it was repaired. What is not is tried again.
    pub repaired: bool,
}

/// A chunk of which no good copy is left.
#[derive(Debug, Object)]
pub struct LostChunk {
    /// Key of the chunk.
    pub key: String,
    /// The home.
    pub home: String,
    /// The box that wrote it.
    pub edge: String,
    /// Shard of its devices.
    pub shard: u16,
    /// Its devices, as far as a damaged copy still names them; null where nothing can be read.
    pub devices: Option<Vec<String>>,
    /// Its earliest reading, RFC 3339 UTC.
    pub from: String,
    /// Its latest reading, RFC 3339 UTC.
    pub to: String,
    /// Readings in it.
    pub rows: u64,
}
