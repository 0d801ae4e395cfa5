use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};

use crate::wait;

/// How long the broker may take to grant or acknowledge.
const LIMIT: Duration = Duration::from_secs(30);
/// Larger than any payload of a scenario.
const PACKET_BYTES_MAX: usize = 32 << 20;
/// Requests that wait for the connection.
const REQUESTS: usize = 10_000;

/// A message that a device heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether it is the retained one of the topic.
    pub retained: bool,
}

/// What a device publishes when it hears something: topics and payloads.
pub type Answers = Vec<(String, Vec<u8>)>;

/// A device, or a bridge of many, as a client of its own (rumqttc, MQTT 3.1.1). It is gone when dropped.
pub struct Device {
    client: Client,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    published: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    granted: AtomicUsize,
    acked: AtomicUsize,
    /// Publishes of the device's own that its answers added.
    answered: AtomicUsize,
}

impl Device {
    /// Connects to the broker at this port of the loopback and listens to these filters at QoS 1; returns once
    /// they are granted. `answer` is called with the topic and payload of each message that comes.
    #[must_use]
    pub fn connect(
        port: u16,
        id: &str,
        filters: &[&str],
        answer: impl Fn(&str, &[u8]) -> Answers + Send + 'static,
    ) -> Device {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        let (client, connection) = Client::new(options, REQUESTS);
        let shared = Arc::new(Shared::default());
        let thread = {
            let (client, shared) = (client.clone(), shared.clone());
            std::thread::spawn(move || live(connection, &client, &shared, answer))
        };
        for filter in filters {
            client
                .subscribe(*filter, QoS::AtLeastOnce)
                .expect("it is connected");
        }
        let device = Device {
            client,
            shared,
            thread: Some(thread),
            published: AtomicUsize::new(0),
        };
        wait::until_true(LIMIT, format!("{filters:?} should be granted"), || {
            device.shared.granted.load(Ordering::Acquire) == filters.len()
        });
        device
    }

    /// A client that only publishes.
    #[must_use]
    pub fn silent(port: u16, id: &str) -> Device {
        Device::connect(port, id, &[], |_, _| Vec::new())
    }

    /// Publishes at QoS 1; [`Device::wait_acked`] says when it has arrived.
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send(topic, payload.into(), false);
    }

    /// Publishes a retained message at QoS 1.
    pub fn publish_retained(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send(topic, payload.into(), true);
    }

    /// Waits until all that was published is acknowledged, answers included.
    pub fn wait_acked(&self) {
        wait::until_true(LIMIT, "all publishes should be acknowledged", || {
            let own = self.published.load(Ordering::Acquire);
            let wanted = own + self.shared.answered.load(Ordering::Acquire);
            self.shared.acked.load(Ordering::Acquire) >= wanted
        });
    }

    /// All that it has heard.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().expect("nobody panicked").clone()
    }

    /// Waits for the first message that passes the test.
    pub fn wait_for(&self, what: &str, test: impl Fn(&Heard) -> bool) -> Heard {
        wait::until(LIMIT, what, || {
            self.heard().into_iter().find(|heard| test(heard))
        })
    }

    fn send(&self, topic: &str, payload: Vec<u8>, retained: bool) {
        self.published.fetch_add(1, Ordering::AcqRel);
        self.client
            .publish(topic, QoS::AtLeastOnce, retained, payload)
            .expect("it is connected");
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").finish_non_exhaustive()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The connection may be gone already.
        let _ = self.client.disconnect();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until the connection ends.
fn live(
    mut connection: Connection,
    client: &Client,
    shared: &Shared,
    answer: impl Fn(&str, &[u8]) -> Answers,
) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                shared.granted.fetch_add(1, Ordering::AcqRel);
            }
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                shared.acked.fetch_add(1, Ordering::AcqRel);
            }
            Ok(Event::Incoming(Packet::Publish(got))) => {
                for (topic, payload) in answer(&got.topic, &got.payload) {
                    shared.answered.fetch_add(1, Ordering::AcqRel);
                    client
                        .try_publish(topic, QoS::AtLeastOnce, false, payload)
                        .expect("it has room for an answer");
                }
                let heard = Heard {
                    topic: got.topic,
                    payload: got.payload.to_vec(),
                    retained: got.retain,
                };
                shared.heard.lock().expect("nobody panicked").push(heard);
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
