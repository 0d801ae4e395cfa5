#[cfg(test)]
mod tests;

use std::sync::Arc;

use tarn_broker::log::PublishLog;
use tarn_common::ids::Seq;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{journal::Journal, shelf::Shelf, ship::Shipper};

/// Has everything that is durable cut into chunks, and brought to the store, at once.
#[derive(Debug, Clone)]
pub struct Fresher {
    /// Demands of the cut, each told when it is done.
    pub demands: mpsc::Sender<oneshot::Sender<()>>,
    /// Where records come from.
    pub journal: Arc<Journal>,
    /// Where chunks are.
    pub shelf: Arc<Shelf>,
    /// What brings them to the store; none where there is no store.
    pub shipper: Option<Arc<Shipper>>,
}

/// How far cutting and shipping came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutAndShipped {
    /// Every record up to this one is in a chunk.
    pub cut_upto: Seq,
    /// Whether everything that was durable when it was asked for is in the store.
    pub shipped: bool,
    /// What was not waited for, in words; empty when it is shipped.
    pub missing: Vec<String>,
}

impl Fresher {
    /// Cut everything durable into chunks now.
    pub async fn cut(&self) {
        let (done, cut) = oneshot::channel();
        if self.demands.send(done).await.is_ok() {
            // A stopping stage drops the sender after its last cut.
            let _ = cut.await;
        }
    }

    /// Cut everything durable into chunks now and wait until the store has them, at most until the deadline. The work
    /// goes on after that.
    pub async fn cut_and_ship(&self, deadline: Instant) -> CutAndShipped {
        let wanted = *self.journal.durable().borrow();
        let mut missing = Vec::new();
        let in_time = timeout_at(deadline, self.cut()).await.is_ok();
        let (_, cut_upto) = self.shelf.view();
        if cut_upto < wanted {
            missing.push(if in_time {
                "a cut failed; it is tried again".to_owned()
            } else {
                "the cut was not done in time".to_owned()
            });
        }
        match &self.shipper {
            None => missing.push("the box has no store".to_owned()),
            Some(shipper) => {
                if let Some(upto) = self.shelf.entries_after(None).last().copied() {
                    let shipped = timeout_at(deadline, shipper.drained_upto(upto)).await;
                    let waiting = shipper.waiting_upto(upto);
                    if shipped.is_err() && waiting > 0 {
                        missing.push(format!(
                            "cuts that were not in the store in time: {waiting}"
                        ));
                    }
                }
            }
        }
        CutAndShipped {
            cut_upto,
            shipped: missing.is_empty(),
            missing,
        }
    }
}
