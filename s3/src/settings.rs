use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a directory is good for, or what a key is good for. Both must allow what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Reading and listing.
    Read,
    /// Putting and deleting as well.
    ReadWrite,
}

/// A directory that is served under a name.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name, by the rules for buckets: 3 to 63 of a-z 0-9 . -
    pub name: String,
    /// Where its objects lie: each at its key. Made if absent.
    pub directory: PathBuf,
    /// What may be done with it at most. A directory that is only read is never written to, not even for a lock.
    pub rights: Rights,
}

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// What the client names.
    pub access: String,
    /// What it signs with.
    pub secret: String,
    /// What it may do at most.
    pub rights: Rights,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("access", &self.access)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens, in plain HTTP; port 0 lets the system choose. Nobody gets anything without a key, so it need
    /// not be this machine only.
    pub listen: SocketAddr,
    /// What it serves.
    pub buckets: Vec<Bucket>,
    /// Who may come in.
    pub keys: Vec<KeyPair>,
    /// Bytes of the largest object that is taken.
    pub object_bytes_max: u64,
    /// Connections at a time; more of them wait.
    pub connections_max: usize,
}

impl Settings {
    /// Bytes of the largest object unless set.
    pub const OBJECT_BYTES_MAX: u64 = 256 << 20;
    /// Connections unless set.
    pub const CONNECTIONS_MAX: usize = 256;

    /// Settings with the usual bounds.
    #[must_use]
    pub fn new(listen: SocketAddr, buckets: Vec<Bucket>, keys: Vec<KeyPair>) -> Settings {
        Settings {
            listen,
            buckets,
            keys,
            object_bytes_max: Settings::OBJECT_BYTES_MAX,
            connections_max: Settings::CONNECTIONS_MAX,
        }
    }
}
