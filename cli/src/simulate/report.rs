//! What people read of a run: progress while it lasts, and the summary.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::live::Live;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What a run has done. Its JSON form is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// `house`, `hotel`, `factory`, `plain` or `load`.
    pub(crate) profile: &'static str,
    /// How many clients published.
    pub(crate) clients: u64,
    /// How many messages each client had in flight at most.
    pub(crate) in_flight: u64,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    /// Messages sent for the first time.
    pub(crate) published: u64,
    /// Messages acknowledged as taken. At QoS 0 there are no acks.
    pub(crate) acked: u64,
    /// Messages sent again after a reconnect.
    pub(crate) redelivered: u64,
    /// Negative answers of the broker.
    pub(crate) refused: u64,
    /// Connections that had to be made again.
    pub(crate) reconnects: u64,
    /// From the start of the load, all clients being connected, to its last ack.
    pub(crate) seconds: f64,
    /// Acknowledged messages per second; at QoS 0, sent ones.
    pub(crate) rate: f64,
    /// From first publish to ack, in µs: half of the messages took no longer.
    pub(crate) ack_p50_us: u64,
    /// Nine of ten took no longer.
    pub(crate) ack_p90_us: u64,
    /// 99 of 100 took no longer.
    pub(crate) ack_p99_us: u64,
    /// The longest.
    pub(crate) ack_max_us: u64,
}

impl Summary {
    /// Messages whose ack never came.
    pub(crate) fn unacked(&self) -> u64 {
        match self.qos {
            0 => 0,
            _ => self.published.saturating_sub(self.acked),
        }
    }
}

/// Prints one line a second to stderr until `stop`.
pub(crate) async fn print_progress(live: &Live, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let (mut seconds, mut before) = (0, (0, 0));
    tick.tick().await;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        seconds += 1;
        let (published, acked) = (live.published(), live.acked());
        eprintln!(
            "{seconds:>5} s  published {published} (+{})  acked {acked} (+{})  p99 {}  \
             connected {}  reconnects {}",
            published - before.0,
            acked - before.1,
            latency(live.ack_latency_us(99.0)),
            live.connected(),
            live.reconnects(),
        );
        before = (published, acked);
    }
}

/// Prints the summary to stdout.
pub(crate) fn print_summary(summary: &Summary, json: bool) -> serde_json::Result<()> {
    if json {
        println!("{}", serde_json::to_string(summary)?);
        return Ok(());
    }
    println!(
        "published {}, acked {} in {:.2} s: {:.0} messages/s",
        summary.published, summary.acked, summary.seconds, summary.rate
    );
    println!(
        "ack latency: p50 {}, p90 {}, p99 {}, max {}",
        latency(summary.ack_p50_us),
        latency(summary.ack_p90_us),
        latency(summary.ack_p99_us),
        latency(summary.ack_max_us)
    );
    if summary.reconnects > 0 || summary.redelivered > 0 {
        println!(
            "reconnects {}, messages sent again {}",
            summary.reconnects, summary.redelivered
        );
    }
    if summary.refused > 0 {
        println!(
            "the broker refused {} times to take a message",
            summary.refused
        );
    }
    if summary.unacked() > 0 {
        println!("{} messages were never acknowledged", summary.unacked());
    }
    Ok(())
}

fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}
