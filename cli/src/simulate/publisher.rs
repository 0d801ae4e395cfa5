//! One simulated client: publishes its source, keeps what is unacknowledged, and sends it again
//! after every reconnect, in order, before anything new. It hears the commands for its devices, and
//! lets their answers go first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mqtt_proto::{Pid, QoS, QosPid};
use tokio::sync::Barrier;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::SimulateError;
use super::acked::AckedFile;
use super::dial::Dialer;
use super::link::{Link, LinkError};
use super::live::Live;
use super::message::Message;
use super::source::Source;
use super::window::{Flight, Stage, Window};
use super::wire::{self, Answer, Inbound};

/// Bytes that may wait for the socket before no more messages are taken.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// The longest a client goes without looking at its timers.
const TICK: Duration = Duration::from_millis(50);
/// A connection that lasted this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(2);
/// How long a message that the broker would not take now waits before it is sent again.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// What one client is to do.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) dialer: Dialer,
    pub(super) qos: QoS,
    pub(super) in_flight: usize,
    pub(super) duration: Option<Duration>,
    pub(super) drain: Duration,
}

/// What all clients of a run share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) acked: Option<Arc<AckedFile>>,
    /// Lets the load begin only when every client is connected.
    pub(super) ready: Arc<Barrier>,
    pub(super) stop: CancellationToken,
}

/// One client of a run.
#[derive(Debug)]
pub(super) struct Publisher {
    settings: Settings,
    shared: Shared,
    source: Source,
    window: Window,
    /// Messages that the broker would not take, to be sent again as new ones from this time on.
    again: VecDeque<Message>,
    again_from: Option<Instant>,
    /// Set once nothing new is taken: until then acks are waited for.
    drain_until: Option<Instant>,
    acks: Batch,
    /// Attempts to connect since the last good connection.
    attempts: u32,
}

/// The acks of one read, counted together.
#[derive(Debug, Default)]
struct Batch {
    sent: Vec<Instant>,
    messages: Vec<Message>,
}

impl Publisher {
    /// A client that has not connected yet.
    pub(super) fn new(settings: Settings, shared: Shared, source: Source) -> Publisher {
        Publisher {
            settings,
            shared,
            source,
            window: Window::default(),
            again: VecDeque::new(),
            again_from: None,
            drain_until: None,
            acks: Batch::default(),
            attempts: 0,
        }
    }

    /// Runs until the source is exhausted, the time is over or the stop is heard, and all acks
    /// have come or the time for them has passed.
    pub(super) async fn run(mut self) -> Result<(), SimulateError> {
        let Some(mut link) = self.first_link().await? else {
            return Ok(());
        };
        loop {
            let since = Instant::now();
            self.shared.live.connected.fetch_add(1, Relaxed);
            let served = self.serve(&mut link).await;
            self.shared.live.connected.fetch_sub(1, Relaxed);
            let Err(error) = served else {
                link.close().await;
                return Ok(());
            };
            let client = &self.settings.dialer.login.client_id;
            tracing::debug!(%client, %error, "connection lost");
            drop(link);
            self.source.connection_lost();
            self.settings.dialer.login.will = self.source.will();
            if since.elapsed() > GOOD_CONNECTION {
                self.attempts = 0;
            }
            match self.next_link().await? {
                Some(next) => link = next,
                None => return Ok(()),
            }
        }
    }

    /// The first connection, when all other clients have theirs; `None` if stopped before.
    async fn first_link(&mut self) -> Result<Option<Link>, SimulateError> {
        let stop = self.shared.stop.clone();
        let ready = Arc::clone(&self.shared.ready);
        let connected = async {
            let link = self.settings.dialer.first(self.settings.qos).await?;
            ready.wait().await;
            Ok(Some(link))
        };
        tokio::select! {
            link = connected => link,
            () = stop.cancelled() => Ok(None),
        }
    }

    /// A connection after a lost one; `None` when there is nothing left to do with it.
    async fn next_link(&mut self) -> Result<Option<Link>, SimulateError> {
        let stop = self.shared.stop.clone();
        loop {
            let now = Instant::now();
            self.note_end(now);
            if self.is_finished(0, now) {
                return Ok(None);
            }
            tokio::select! {
                () = sleep(self.settings.dialer.backoff(self.attempts)) => {}
                () = stop.cancelled(), if self.drain_until.is_none() => continue,
            }
            self.attempts += 1;
            if let Some(link) = self.settings.dialer.again().await? {
                self.shared.live.reconnects.fetch_add(1, Relaxed);
                return Ok(Some(link));
            }
        }
    }

    /// Publishes over one connection until everything is done or the connection is lost.
    async fn serve(&mut self, link: &mut Link) -> Result<(), LinkError> {
        self.subscribe(link)?;
        self.resend(link)?;
        let timer = sleep(TICK);
        tokio::pin!(timer);
        loop {
            let now = Instant::now();
            self.fill(link, now)?;
            self.note_end(now);
            link.write()?;
            if self.is_finished(link.unsent_bytes(), now) {
                return Ok(());
            }
            self.set_timer(timer.as_mut(), now);
            let moved = tokio::select! {
                biased;
                moved = link.exchange() => moved,
                () = &mut timer => link.check_alive(Instant::now()),
            };
            // First what has come, even if the connection then failed: an ack is an ack.
            self.take_acks(link)?;
            moved?;
        }
    }

    /// Asks for the commands of all devices; every connection does, whatever its session remembers.
    fn subscribe(&mut self, link: &mut Link) -> Result<(), LinkError> {
        let (version, pid) = (self.settings.dialer.login.version, self.window.spare_pid());
        let topics = self.source.hears();
        if !topics.is_empty() {
            wire::subscribe(&mut link.out, version, pid, &topics)?;
        }
        Ok(())
    }

    /// Sends everything in flight again, with the DUP flag and under its old packet id.
    fn resend(&mut self, link: &mut Link) -> Result<(), LinkError> {
        let mut count = 0;
        for flight in self.window.flights() {
            match flight.stage {
                Stage::Published => {
                    let qos_pid = self.qos_pid(flight.pid);
                    let version = self.settings.dialer.login.version;
                    wire::publish(&mut link.out, version, &flight.message, qos_pid, true)?;
                    count += 1;
                }
                Stage::Received => wire::pubrel(&mut link.out, flight.pid),
            }
        }
        self.shared.live.redelivered.fetch_add(count, Relaxed);
        Ok(())
    }

    /// Takes what is due, as far as the window and the socket have room.
    fn fill(&mut self, link: &mut Link, now: Instant) -> Result<(), LinkError> {
        let version = self.settings.dialer.login.version;
        let bound = link.receive_max.map_or(usize::MAX, usize::from);
        let limit = self.settings.in_flight.min(bound).max(1);
        let mut count = 0;
        while link.unsent_bytes() < UNSENT_BYTES_MAX && self.window.has_room(limit) {
            let Some((message, is_new)) = self.next_message(now) else {
                break;
            };
            count += u64::from(is_new);
            if self.settings.qos == QoS::Level0 {
                wire::publish(&mut link.out, version, &message, QosPid::Level0, false)?;
                continue;
            }
            let pid = self.window.admit(message.clone(), now);
            wire::publish(&mut link.out, version, &message, self.qos_pid(pid), false)?;
        }
        if count > 0 {
            self.shared.live.published.fetch_add(count, Relaxed);
            if self.settings.qos == QoS::Level0 {
                self.shared.live.note_activity(now);
            }
        }
        Ok(())
    }

    /// The next message to send at `now`, and whether it is sent for the first time.
    fn next_message(&mut self, now: Instant) -> Option<(Message, bool)> {
        if self.again_from.is_some_and(|from| now >= from) {
            if let Some(message) = self.again.pop_front() {
                return Some((message, false));
            }
            self.again_from = None;
        }
        if self.drain_until.is_some() {
            return None;
        }
        if let Some(answer) = self.source.answer() {
            return Some((answer, true));
        }
        if self.source.is_exhausted() {
            return None;
        }
        let (start, span) = (self.shared.live.start(), self.settings.duration);
        let span = span.unwrap_or(Duration::MAX);
        let is_due = match self.source.due() {
            // The last message of a run is told by its place in the run, not by a late timer.
            Some(due) => due < span && start + due <= now,
            None => now.saturating_duration_since(start) < span,
        };
        is_due.then(|| (self.source.take(), true))
    }

    fn qos_pid(&self, pid: Pid) -> QosPid {
        match self.settings.qos {
            QoS::Level2 => QosPid::Level2(pid),
            _ => QosPid::Level1(pid),
        }
    }

    /// Reads every ack that has come and counts them together.
    fn take_acks(&mut self, link: &mut Link) -> Result<(), LinkError> {
        let taken = loop {
            match link.take() {
                Ok(Some(inbound)) => {
                    if let Err(error) = self.hear(link, inbound) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Also when the connection then failed: what was acknowledged before stays so.
        self.count_acks();
        taken
    }

    fn hear(&mut self, link: &mut Link, inbound: Inbound) -> Result<(), LinkError> {
        match inbound {
            Inbound::Acked { pid, answer } if self.settings.qos == QoS::Level1 => {
                if let Some(flight) = self.window.settle(pid, Stage::Published) {
                    self.conclude(flight, answer);
                }
            }
            Inbound::Received { pid, answer } if self.settings.qos == QoS::Level2 => {
                if answer == Answer::Taken {
                    // An id that is not in flight is released, too, or the broker would hold it.
                    self.window.receive(pid);
                    wire::pubrel(&mut link.out, pid);
                } else if let Some(flight) = self.window.settle(pid, Stage::Published) {
                    self.conclude(flight, answer);
                }
            }
            Inbound::Completed { pid } => {
                if let Some(flight) = self.window.settle(pid, Stage::Received) {
                    self.conclude(flight, Answer::Taken);
                }
            }
            Inbound::Command {
                topic,
                payload,
                ack,
            } => {
                if let Some(pid) = ack {
                    wire::puback(&mut link.out, pid);
                }
                self.source.hear(&topic, &payload);
            }
            Inbound::Subscribed { refused } if refused > 0 => {
                let client = &self.settings.dialer.login.client_id;
                tracing::warn!(%client, refused, "the broker will not let devices hear commands");
            }
            Inbound::Goodbye { reason } => {
                return Err(LinkError::Lost(format!(
                    "the broker said goodbye: {reason}"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn conclude(&mut self, flight: Flight, answer: Answer) {
        match answer {
            Answer::Taken => {
                self.acks.sent.push(flight.sent);
                if self.shared.acked.is_some() {
                    self.acks.messages.push(flight.message);
                }
            }
            Answer::Later => {
                self.shared.live.refused.fetch_add(1, Relaxed);
                self.again.push_back(flight.message);
                self.again_from = Some(Instant::now() + REFUSED_PAUSE);
            }
            Answer::Never => {
                self.shared.live.refused.fetch_add(1, Relaxed);
                tracing::warn!(topic = %flight.message.topic, "the broker will not take this message");
            }
        }
    }

    fn count_acks(&mut self) {
        if self.acks.sent.is_empty() {
            return;
        }
        self.shared.live.note_acks(&self.acks.sent, Instant::now());
        if let Some(acked) = &self.shared.acked {
            acked.record(&self.acks.messages);
        }
        self.acks.sent.clear();
        self.acks.messages.clear();
    }

    /// Notes when nothing new is to be taken any more, and how long acks are waited for from then.
    fn note_end(&mut self, now: Instant) {
        if self.drain_until.is_some() {
            return;
        }
        let start = self.shared.live.start();
        let is_over = self
            .settings
            .duration
            .is_some_and(|span| now >= start + span);
        if is_over || self.source.is_exhausted() || self.shared.stop.is_cancelled() {
            self.drain_until = Some(now + self.settings.drain);
        }
    }

    fn is_finished(&self, unsent_bytes: usize, now: Instant) -> bool {
        self.drain_until.is_some_and(|until| {
            let is_done = self.window.is_empty() && self.again.is_empty() && unsent_bytes == 0;
            is_done || now >= until
        })
    }

    /// Wakes for the next message that is due, or soon. The timer is moved only when it must be,
    /// because a client that is kept busy by acks would move it many thousand times a second.
    fn set_timer(&self, timer: std::pin::Pin<&mut Sleep>, now: Instant) {
        let due = match self.drain_until {
            None => self.source.due(),
            Some(_) => None,
        };
        let due = due.map(|due| self.shared.live.start() + due);
        let wake = due
            .filter(|due| *due > now)
            .map_or(now + TICK, |due| due.min(now + TICK));
        if timer.is_elapsed() || wake < timer.deadline() {
            timer.reset(wake);
        }
    }
}
