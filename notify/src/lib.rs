//! Alarms and messages brought to people: by push (ntfy), by webhook, by mail. From a box without a cloud, and from
//! the cloud service alike.
//!
//! What is to be told waits in one file until it has been told, so that it outlives a power cut, a line that is cut
//! and a receiver that is away. Of our crates it needs the files of `common` only; the time, the time zone and whoever wants to hear
//! what became of it are passed in. In the order that a message passes through them:

/// What may be told: alarms, and plain messages.
pub mod alarm;
/// Whom to tell, and when: the file of channels.
pub mod channels;
/// Texts that nobody should read in a log.
pub mod secret;

/// Hours in which only what is urgent is told.
pub mod quiet;

/// What a channel is told of an alarm: what is new, what is held back, what comes and goes.
mod told;

/// What is delivered, and its words for people.
pub mod message;

/// One message on its way to one channel.
pub mod delivery;

/// When a failed delivery is tried again, and when never.
mod retry;

/// What waits, what was told and what is dead, in memory.
mod state;

/// The same, on disk.
mod outbox;

/// The ways out: ntfy, webhook, mail.
mod channel;

/// One task per channel that delivers.
mod deliver;

/// All of it behind one handle.
pub mod notifier;

pub use alarm::{Alarm, AlarmState, Class, Notice, Severity};
pub use channels::{Channels, ChannelsError};
pub use delivery::{Delivery, DeliveryId, Outcome};
pub use message::Message;
pub use notifier::{Clock, Notifier, NotifyError, Observer, Surroundings};
