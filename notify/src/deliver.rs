use std::sync::Arc;

use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    channel::Sender,
    channels::Channel,
    delivery::Delivery,
    notifier::Core,
    state::{Attempt, Next},
};

/// A channel looks again after so long at the latest: its clock may have been set.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long it waits when the disk does not take what it has to write.
const DISK_EVERY: Duration = Duration::from_secs(5);

/// Deliver what waits for one channel until `stop`. What is being sent then is sent again after the next start.
pub(crate) async fn run(
    core: Arc<Core>,
    channel: Channel,
    sender: Sender,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            // Registered before looking, so that what comes meanwhile is not missed.
            let woken = wake.notified();
            match core.next(&channel).await {
                Ok(Next::Send(delivery)) => attempt(&core, &channel, &sender, &delivery).await,
                Ok(Next::Idle) => woken.await,
                Ok(Next::At(at_ms)) => {
                    let wait_ms = at_ms.saturating_sub(core.now_ms());
                    let wait = u64::try_from(wait_ms).map_or(Duration::ZERO, Duration::from_millis);
                    tokio::select! {
                        () = woken => {}
                        () = sleep(wait.min(LOOK_EVERY)) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(
                        channel = channel.name,
                        error = &error as &dyn std::error::Error,
                        "what waits cannot be read"
                    );
                    sleep(DISK_EVERY).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn attempt(core: &Arc<Core>, channel: &Channel, sender: &Sender, delivery: &Delivery) {
    let result = sender.send(&delivery.message, core.now_ms()).await;
    let attempt = Arc::new(Attempt {
        id: delivery.id,
        result,
        now_ms: core.now_ms(),
        chance: rand::random(),
    });
    // It was sent, and is not sent again because a disk is full.
    while let Err(error) = core.record(channel, &attempt).await {
        tracing::error!(
            channel = channel.name,
            error = &error as &dyn std::error::Error,
            "what became of a delivery cannot be written"
        );
        sleep(DISK_EVERY).await;
    }
}
