//! What the operator may set: the address and every limit.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use tarn_common::clock::Clock;

use crate::transport::Listen;

/// Where the broker listens, and its limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// File that sessions and retained messages are kept in; without one they end with the process.
    pub store: Option<PathBuf>,
    /// What the time is at the start.
    pub clock: Arc<dyn Clock>,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
}

/// Every bound of the broker, by name.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections; further ones are closed at once. Default 1024.
    pub connections_max: usize,
    /// Bytes of one packet with its header. Default 1 MiB; not below 256 KiB, because device
    /// lists of real gateways are that large.
    pub packet_bytes_max: usize,
    /// Bytes of a CONNECT packet, which arrives before anyone has logged in. Default 128 KiB.
    pub connect_bytes_max: usize,
    /// Bytes of received packets that are not complete, of all clients together; the first 128 KiB
    /// of each are not counted. Whoever sends more then is disconnected. Default 64 MiB.
    pub buffers_bytes_max: usize,
    /// Time from accept to a complete CONNECT. Default 10 s.
    pub handshake_timeout: Duration,
    /// Time from the first to the last byte of a packet. Default 30 s.
    pub packet_timeout: Duration,
    /// Time to tell a client why it is disconnected. Default 1 s.
    pub close_timeout: Duration,
    /// Time at shutdown for publishes already received to become durable and acked. Default 5 s.
    pub drain_timeout: Duration,
    /// Pause before a 3.1.1 client whose publish was refused is disconnected, so that it does not
    /// reconnect in a tight loop. Default 1 s.
    pub refused_pause: Duration,
    /// Age of written acks before the kernel is asked whether the peer has them. Default 1 s.
    pub confirm_delay: Duration,
    /// Bytes of a client id. Default 512.
    pub client_id_bytes_max: usize,
    /// Bytes of a topic name or filter. Default 2048.
    pub topic_bytes_max: usize,
    /// Levels of a topic name or filter. Default 64.
    pub topic_levels_max: usize,
    /// Publishes of one client that wait for the disk; told to MQTT 5 clients as the receive
    /// maximum. At the bound the socket is not read. Default 1024.
    pub unacked_max: u16,
    /// Publishes per second of one client; above it its socket is not read until it may again.
    /// Default without a bound.
    pub publish_rate_max: Option<NonZeroU32>,
    /// QoS 1 and 2 messages sent to one client and not yet acked by it. Default 128.
    pub inflight_max: u16,
    /// Messages of QoS 1 and 2 that wait for one slow or absent client. Default 100000.
    pub queue_messages_max: usize,
    /// Messages of QoS 0 that wait for one slow client, and as many that its session has not seen.
    /// Default 4096.
    pub queue_qos0_messages_max: usize,
    /// Bytes that wait for one slow or absent client. Default 32 MiB.
    pub queue_bytes_max: usize,
    /// Bytes that wait for all clients together. Default 256 MiB.
    pub queues_bytes_max: usize,
    /// Sessions, of clients that are connected and of those that may come back. Default 16384.
    pub sessions_max: usize,
    /// Longest time that a session waits for its client; what asks for more gets this. Default for
    /// ever.
    pub session_expiry_max: Option<Duration>,
    /// Time after a restart that clients have to come back before their wills are published.
    /// Default 30 s.
    pub will_grace: Duration,
    /// Topic aliases that an MQTT 5 client may use, and that are used towards it. Default 32.
    pub topic_aliases_max: u16,
    /// Subscriptions of one client. Default 1024.
    pub subscriptions_max: usize,
    /// Different topic filters of all clients together. Default 16384.
    pub filters_max: usize,
    /// Topic filters whose messages of QoS 0 go through the router, which keeps some of each; those
    /// of others go straight to the sessions. Default 32.
    pub router_filters_max: usize,
    /// Retained messages. Default 100000.
    pub retained_messages_max: usize,
    /// Bytes of topics and payloads of retained messages. Default 64 MiB.
    pub retained_bytes_max: usize,
    /// Bytes of one segment of the router's log of one filter. Default 512 KiB.
    pub router_segment_bytes: usize,
    /// Segments that the router keeps of one filter. Each takes 300 KiB beside its bytes. Default 2.
    pub router_segments: usize,
    /// Messages that wait for the router; above it publishers are not read. Default 10000.
    pub router_backlog_max: usize,
}

/// The smallest packet limit that is accepted.
const PACKET_BYTES_FLOOR: usize = 256 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 1024,
            packet_bytes_max: 1024 * 1024,
            connect_bytes_max: 128 * 1024,
            buffers_bytes_max: 64 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            packet_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            refused_pause: Duration::from_secs(1),
            confirm_delay: Duration::from_secs(1),
            client_id_bytes_max: 512,
            topic_bytes_max: 2048,
            topic_levels_max: 64,
            unacked_max: 1024,
            publish_rate_max: None,
            inflight_max: 128,
            queue_messages_max: 100_000,
            queue_qos0_messages_max: 4096,
            queue_bytes_max: 32 * 1024 * 1024,
            queues_bytes_max: 256 * 1024 * 1024,
            sessions_max: 16_384,
            session_expiry_max: None,
            will_grace: Duration::from_secs(30),
            topic_aliases_max: 32,
            subscriptions_max: 1024,
            filters_max: 16_384,
            router_filters_max: 32,
            retained_messages_max: 100_000,
            retained_bytes_max: 64 * 1024 * 1024,
            router_segment_bytes: 512 * 1024,
            router_segments: 2,
            router_backlog_max: 10_000,
        }
    }
}

impl Limits {
    /// Session expiry that a client gets when it asks for this one, seconds.
    pub(crate) fn session_expiry(&self, asked_s: u32) -> u32 {
        let max = self
            .session_expiry_max
            .map_or(u64::from(u32::MAX), |max| max.as_secs());
        asked_s.min(u32::try_from(max).unwrap_or(u32::MAX))
    }

    /// Raise what is too small to work with.
    pub(crate) fn checked(mut self) -> Limits {
        self.packet_bytes_max = self.packet_bytes_max.max(PACKET_BYTES_FLOOR);
        // The router panics below these.
        self.router_segment_bytes = self.router_segment_bytes.max(1024);
        self.router_segments = self.router_segments.max(1);
        self.unacked_max = self.unacked_max.max(1);
        self.inflight_max = self.inflight_max.max(1);
        self
    }
}
