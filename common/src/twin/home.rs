use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{
    document::{DocumentId, DocumentKey},
    edit::{Edit, EditError},
    replica::{Bundle, BundleKind, Fault, Replica, Staged},
    store::{TwinStore, TwinStoreError},
    sync::{self, Message},
};
use crate::{clock::Clock, ids::HomeId};

/// Changes that somebody who listens may be behind.
const CHANGES_MAX: usize = 1_024;

/// A home's twins on one node: its replica, and the store that keeps it.
///
/// Whatever changes is stored first, then it counts, then it is told.
#[derive(Debug)]
pub struct HomeTwins {
    home: HomeId,
    store: Arc<dyn TwinStore>,
    clock: Arc<dyn Clock>,
    replica: Mutex<Replica>,
    /// Held from the moment something is staged until it counts.
    turn: tokio::sync::Mutex<Vec<DocumentKey>>,
    changes: Changes,
    generation: AtomicU64,
}

/// Where changes of homes are told: one channel for all homes of a node.
pub type Changes = broadcast::Sender<Arc<Change>>;

/// A channel for changes.
#[must_use]
pub fn changes() -> Changes {
    broadcast::channel(CHANGES_MAX).0
}

/// A change of documents that is stored.
#[derive(Debug, Clone)]
pub struct Change {
    /// The home.
    pub home: HomeId,
    /// The documents, each with its attributes that have changed where that is known.
    pub documents: Vec<(DocumentId, Vec<String>)>,
    /// The peer that it came from; none for one that was made here.
    pub from: Option<String>,
    /// What tells it to peers.
    pub bodies: Vec<Vec<u8>>,
}

/// What came of a peer's message.
#[derive(Debug, Default)]
pub struct Received {
    /// The answer to that peer.
    pub replies: Vec<Vec<u8>>,
    /// What was not taken of it.
    pub faults: Vec<Fault>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// It is wrong.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It could not be stored. It may have been all the same.
    #[error("not stored")]
    Store(#[from] TwinStoreError),
}

impl HomeTwins {
    /// Twins as the store has them. `me` names this node, `is_box` says that it gives documents their next epoch.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(
        home: HomeId,
        me: &str,
        is_box: bool,
        store: Arc<dyn TwinStore>,
        clock: Arc<dyn Clock>,
        changes: Changes,
    ) -> Result<HomeTwins, TwinStoreError> {
        let twins = HomeTwins {
            home,
            store,
            clock,
            replica: Mutex::new(Replica::new(me, is_box, rand::random())),
            turn: tokio::sync::Mutex::default(),
            changes,
            generation: AtomicU64::new(0),
        };
        twins.refresh().await?;
        Ok(twins)
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &HomeId {
        &self.home
    }

    /// Look at the documents.
    pub fn read<T>(&self, look: impl FnOnce(&Replica) -> T) -> T {
        look(&self.replica.lock())
    }

    /// Grows with every change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes from now on, of all homes that are told on the same channel.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    /// The greeting to a peer.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        let digest = self.replica.lock().digest();
        sync::encode(&[digest]).concat()
    }

    /// Take in what others have stored meanwhile.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn refresh(&self) -> Result<(), TwinStoreError> {
        let _turn = self.turn.lock().await;
        let bundles = self.store.load().await?;
        if bundles.is_empty() {
            return Ok(());
        }
        let faults = self.replica.lock().restore(&bundles, self.clock.now_ms());
        for Fault { document, error } in faults {
            let document = document.map(|key| key.to_string());
            tracing::error!(home = %self.home, document, error = &error as &dyn std::error::Error,
                "a part of a stored document cannot be used");
        }
        let mut documents: Vec<(DocumentId, Vec<String>)> = bundles
            .into_iter()
            .map(|bundle| (bundle.key.id, Vec::new()))
            .collect();
        documents.sort_unstable();
        documents.dedup();
        self.tell(documents, None, &[]);
        Ok(())
    }

    /// Make changes. On return they are stored; gives the ids of the writes, in the order of `edits`.
    ///
    /// # Errors
    /// They are wrong, or cannot be stored.
    pub async fn edit(&self, edits: &[Edit], by: &str) -> Result<Vec<String>, TwinError> {
        self.edit_if(|_| Ok(edits.to_vec()), by).await
    }

    /// Make changes that follow from what the documents say, with nothing in between.
    ///
    /// # Errors
    /// What `decide` gives, or as [`HomeTwins::edit`].
    pub async fn edit_if<E: From<TwinError>>(
        &self,
        decide: impl FnOnce(&Replica) -> Result<Vec<Edit>, E>,
        by: &str,
    ) -> Result<Vec<String>, E> {
        let mut turn = self.turn.lock().await;
        let mut staged = {
            let mut replica = self.replica.lock();
            let edits = decide(&replica)?;
            replica
                .edit(&edits, by, self.clock.now_ms())
                .map_err(TwinError::from)?
        };
        let ids = std::mem::take(&mut staged.ids);
        self.store(staged, None, &mut turn)
            .await
            .map_err(TwinError::from)?;
        Ok(ids)
    }

    /// Take in what a peer says. What is answered stands on what is stored.
    ///
    /// # Errors
    /// It cannot be stored; the peer may say it again.
    pub async fn receive(&self, from: &str, body: &[u8]) -> Result<Received, TwinStoreError> {
        let messages = match sync::decode(body) {
            Ok(messages) => messages,
            Err(reason) => {
                let error = super::replica::FaultError::Message(reason);
                let fault = Fault {
                    document: None,
                    error,
                };
                self.tell_faults(from, std::slice::from_ref(&fault));
                return Ok(Received {
                    faults: vec![fault],
                    ..Received::default()
                });
            }
        };
        let mut turn = self.turn.lock().await;
        let exchanged = self.replica.lock().exchange(messages);
        self.store(exchanged.staged, Some(from), &mut turn).await?;
        self.tell_faults(from, &exchanged.faults);
        Ok(Received {
            replies: sync::encode(&exchanged.replies),
            faults: exchanged.faults,
        })
    }

    /// Take in what a peer says that uses the same store, where it has put it already.
    ///
    /// # Errors
    /// The store cannot be read for what lies between.
    pub async fn learn(&self, from: &str, body: &[u8]) -> Result<(), TwinStoreError> {
        let Ok(messages) = sync::decode(body) else {
            tracing::warn!(home = %self.home, from, "a message of another replica cannot be read");
            return Ok(());
        };
        let is_behind = {
            let _turn = self.turn.lock().await;
            let mut replica = self.replica.lock();
            let exchanged = replica.exchange(messages);
            let documents = replica.differences(&exchanged.staged);
            replica.commit(exchanged.staged, self.clock.now_ms());
            drop(replica);
            if !documents.is_empty() {
                self.tell(documents, Some(from), &[]);
            }
            !exchanged.replies.is_empty() || !exchanged.faults.is_empty()
        };
        if is_behind {
            self.refresh().await
        } else {
            Ok(())
        }
    }

    /// Begin new epochs where documents have grown, and make snapshots where much is stored beside them.
    ///
    /// # Errors
    /// The store fails; it is tried again the next time.
    pub async fn tidy(&self) -> Result<(), TwinStoreError> {
        let mut gone = self.turn.lock().await;
        let now_ms = self.clock.now_ms();
        let grown = self.replica.lock().grown(now_ms);
        for id in grown {
            let rolled = self.replica.lock().roll(&id);
            match rolled {
                Ok(staged) => self.store(staged, None, &mut gone).await?,
                Err(error) => {
                    tracing::error!(home = %self.home, document = %id, error = &error as &dyn std::error::Error,
                    "a document cannot go on in a new epoch");
                }
            }
        }
        let mut worn = self.store.worn();
        // A document that goes on in another history keeps its name: its snapshot takes the place of what is stored of it.
        let goes_on = |key: &DocumentKey| {
            self.read(|replica| {
                replica
                    .document(&key.id)
                    .is_some_and(|now| now.key() == key)
            })
        };
        worn.extend(gone.iter().filter(|key| goes_on(key)).cloned());
        gone.retain(|key| !goes_on(key));
        worn.sort_unstable();
        worn.dedup();
        if worn.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let snapshots: Vec<Bundle> = self.read(|replica| {
            let documents = worn.iter().filter_map(|key| replica.document(&key.id));
            let snapshot = |document: &super::document::Document| Bundle {
                key: document.key().clone(),
                kind: BundleKind::Snapshot,
                bytes: document.save().into(),
            };
            documents.map(snapshot).collect()
        });
        // An older epoch that is stored still goes, once there is a newer one. What could not be read stays.
        let is_over = |key: &DocumentKey| {
            self.read(|replica| {
                let now = replica.document(&key.id);
                now.is_some_and(|now| now.key().epoch > key.epoch)
            })
        };
        gone.extend(worn.into_iter().filter(is_over));
        self.store.compact(&snapshots, &gone).await?;
        gone.clear();
        Ok(())
    }

    async fn store(
        &self,
        staged: Staged,
        from: Option<&str>,
        gone: &mut Vec<DocumentKey>,
    ) -> Result<(), TwinStoreError> {
        if staged.is_empty() {
            return Ok(());
        }
        let mut storing = Storing {
            replica: &self.replica,
            staged: Some(staged),
        };
        self.store.append(storing.bundles()).await?;
        let Some(staged) = storing.staged.take() else {
            return Ok(());
        };
        let news = staged.news.clone();
        gone.extend(staged.replaced.iter().cloned());
        let documents = {
            let mut replica = self.replica.lock();
            let documents = replica.differences(&staged);
            replica.commit(staged, self.clock.now_ms());
            documents
        };
        self.tell(documents, from, &news);
        Ok(())
    }

    fn tell_faults(&self, from: &str, faults: &[Fault]) {
        for fault in faults {
            let document = fault.document.as_ref().map(ToString::to_string);
            tracing::warn!(home = %self.home, peer = from, document, error = &fault.error as &dyn std::error::Error,
                "a peer sent what cannot be taken");
        }
    }

    fn tell(
        &self,
        documents: Vec<(DocumentId, Vec<String>)>,
        from: Option<&str>,
        news: &[Message],
    ) {
        let change = Change {
            home: self.home.clone(),
            documents,
            from: from.map(str::to_owned),
            bodies: sync::encode(news),
        };
        self.generation.fetch_add(1, Ordering::Release);
        // Nobody may be listening.
        let _ = self.changes.send(Arc::new(change));
    }
}

/// What is being stored. Whoever asked for it may go away meanwhile, or the store may fail: then nobody knows whether it is
/// stored, and what wrote it writes nothing more.
struct Storing<'a> {
    replica: &'a Mutex<Replica>,
    staged: Option<Staged>,
}

impl Storing<'_> {
    fn bundles(&self) -> &[Bundle] {
        self.staged.as_ref().map_or(&[], |staged| &staged.bundles)
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.replica.lock().abandon(&staged);
        }
    }
}
