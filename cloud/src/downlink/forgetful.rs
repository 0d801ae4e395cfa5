use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use tarn_broker::log::{Appended, Entry, Publish, PublishLog, Refused};
use tarn_common::ids::Seq;
use tokio::sync::watch;

/// A log that keeps nothing: it numbers what comes, and calls all of it durable at once.
///
/// So an ack of this broker means that a message was taken, and no more. That is enough here, because nothing that passes
/// relies on delivery: nodes compare what they have whenever they meet and every few minutes, boxes tell again that they are
/// there when they come back, and who asks waits for the answer and not for the ack. With it a message of QoS 2 that is sent
/// again after its connection broke may be delivered again.
#[derive(Debug)]
pub(super) struct ForgetfulLog {
    last: AtomicU64,
    durable: watch::Sender<Seq>,
}

impl Default for ForgetfulLog {
    fn default() -> Self {
        ForgetfulLog {
            last: AtomicU64::new(0),
            // Whatever is appended is below.
            durable: watch::Sender::new(Seq(u64::MAX)),
        }
    }
}

impl ForgetfulLog {
    fn next(&self) -> Seq {
        Seq(self.last.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl PublishLog for ForgetfulLog {
    fn append(&self, _: Publish<'_>) -> Result<Appended, Refused> {
        Ok(Appended::Stored(self.next()))
    }

    fn release(&self, _: &str, _: u16) -> Result<Seq, Refused> {
        Ok(self.last())
    }

    fn confirm(&self, _: &str, _: Seq) {}

    fn note(&self, _: &str, _: &[u8]) -> Result<Seq, Refused> {
        Ok(self.next())
    }

    fn last(&self) -> Seq {
        Seq(self.last.load(Ordering::Acquire))
    }

    fn replay(&self, _: Seq, _: &mut dyn FnMut(Entry<'_>)) -> io::Result<()> {
        Ok(())
    }

    fn commit(&self) {}

    fn durable(&self) -> watch::Receiver<Seq> {
        self.durable.subscribe()
    }
}
