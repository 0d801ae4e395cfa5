//! Sparkplug B: a node with its machines, birth certificates, aliases and protobuf.
//!
//! ```text
//! spBv1.0/<group>/NBIRTH/<node>            names, aliases, types; bdSeq; seq begins at 0
//! spBv1.0/<group>/DBIRTH/<node>/<device>
//! spBv1.0/<group>/NDATA|DDATA/…            aliases only; is_historical for what was stored
//! spBv1.0/<group>/NDEATH/<node>            the will; its bdSeq names the birth that it ends
//! spBv1.0/<group>/DDEATH/<node>/<device>
//! spBv1.0/<group>/NCMD/<node>              Node Control/Rebirth
//! spBv1.0/<group>/DCMD/<node>/<device>     Control/Running, Control/Speed Setpoint
//! ```
//!
//! Nothing is retained, as the specification demands: who comes late asks for a rebirth.

/// The model of a machine.
mod machine;

/// The protobuf messages.
pub(in crate::simulate) mod proto;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use mqtt_proto::TopicName;
use prost::Message as _;

use super::{Device, Turn};
use crate::simulate::fault::Oddity;
use crate::simulate::message::{Message, Outbox, topic};
use crate::simulate::signal::{Dice, SimTime};

use machine::Model;
use proto::{DataType, Metric, MetricValue, Payload, PropertySet};

const REBIRTH: &str = "Node Control/Rebirth";
/// Aliases of the node itself.
const UPTIME_ALIAS: u64 = 1;
/// How many stored samples a machine sends when it comes back.
const STORED_SAMPLES: i64 = 5;

/// What a node and its machines share.
#[derive(Debug, Default)]
struct Line {
    /// The next sequence number.
    seq: AtomicU64,
    /// Which birth of the node this is: machines of an older one must be born again at once.
    birth: AtomicU64,
    is_alive: AtomicBool,
}

impl Line {
    fn payload(&self, metrics: Vec<Metric>, at: SimTime) -> Payload {
        Payload {
            timestamp: Some(at.0.max(0) as u64),
            metrics,
            seq: Some(self.seq.fetch_add(1, Relaxed) % 256),
        }
    }
}

/// The edge node of one line.
#[derive(Debug)]
pub(in crate::simulate) struct Node {
    line: Arc<Line>,
    bd_seq: u64,
    born: SimTime,
    nbirth: TopicName,
    ndata: TopicName,
    ndeath: TopicName,
    ncmd: TopicName,
}

/// One machine behind the node.
#[derive(Debug)]
pub(in crate::simulate) struct Machine {
    line: Arc<Line>,
    model: Model,
    /// The birth of the node after which it was born itself.
    born_in: u64,
    away_since: Option<SimTime>,
    told: u64,
    dbirth: TopicName,
    ddata: TopicName,
    ddeath: TopicName,
    dcmd: TopicName,
}

/// A node and its machines, each with dice of its own.
pub(in crate::simulate) fn line(
    group: &str,
    node: &str,
    machines: &[(String, Dice)],
) -> (Node, Vec<Machine>) {
    let line = Arc::new(Line::default());
    let at = |kind: &str| format!("spBv1.0/{group}/{kind}/{node}");
    let own = Node {
        line: Arc::clone(&line),
        bd_seq: 0,
        born: SimTime(0),
        nbirth: topic(&at("NBIRTH")),
        ndata: topic(&at("NDATA")),
        ndeath: topic(&at("NDEATH")),
        ncmd: topic(&at("NCMD")),
    };
    let machine = |(number, (name, dice)): (usize, &(String, Dice))| Machine {
        line: Arc::clone(&line),
        model: Model::new(number as u64, *dice),
        born_in: 0,
        away_since: None,
        told: 0,
        dbirth: topic(&format!("{}/{name}", at("DBIRTH"))),
        ddata: topic(&format!("{}/{name}", at("DDATA"))),
        ddeath: topic(&format!("{}/{name}", at("DDEATH"))),
        dcmd: topic(&format!("{}/{name}", at("DCMD"))),
    };
    (own, machines.iter().enumerate().map(machine).collect())
}

impl Node {
    fn bd_seq(&self) -> Metric {
        Metric {
            name: Some("bdSeq".to_owned()),
            datatype: Some(DataType::UInt64 as u32),
            value: Some(MetricValue::Long(self.bd_seq)),
            ..Metric::default()
        }
    }

    fn uptime(&self, at: SimTime) -> Metric {
        Metric {
            alias: Some(UPTIME_ALIAS),
            timestamp: Some(at.0.max(0) as u64),
            value: Some(MetricValue::Long(
                (at.0 - self.born.0).max(0) as u64 / 1_000,
            )),
            ..Metric::default()
        }
    }

    /// What ends this birth. It has no sequence number.
    fn death(&self) -> Payload {
        Payload {
            timestamp: None,
            metrics: vec![self.bd_seq()],
            seq: None,
        }
    }
}

impl Device for Node {
    fn turn(&self) -> Turn {
        Turn::Regular(1)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.line.seq.store(0, Relaxed);
        self.line.birth.fetch_add(1, Relaxed);
        self.line.is_alive.store(true, Relaxed);
        self.born = at;
        let named = |name: &str, datatype: DataType, value| Metric {
            name: Some(name.to_owned()),
            datatype: Some(datatype as u32),
            timestamp: Some(at.0.max(0) as u64),
            value: Some(value),
            ..Metric::default()
        };
        let text = |text: &str| MetricValue::Text(text.to_owned());
        let metrics = vec![
            self.bd_seq(),
            named(REBIRTH, DataType::Boolean, MetricValue::Boolean(false)),
            named(
                "Properties/Hardware Make",
                DataType::String,
                text("Northwind"),
            ),
            named("Properties/FW", DataType::String, text("2.8.1")),
            Metric {
                name: Some("Uptime".to_owned()),
                datatype: Some(DataType::UInt64 as u32),
                properties: Some(PropertySet::unit("s")),
                ..self.uptime(at)
            },
        ];
        out.protobuf(&self.nbirth, &self.line.payload(metrics, at));
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let mut metrics = vec![self.uptime(at)];
        machine::spoil(&mut metrics, odd);
        out.protobuf(&self.ndata, &self.line.payload(metrics, at));
    }

    fn availability(&mut self, online: bool, at: SimTime, out: &mut Outbox) {
        if online {
            self.announce(at, out);
        } else {
            self.line.is_alive.store(false, Relaxed);
            out.protobuf(&self.ndeath, &self.death());
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        vec![self.ncmd.clone()]
    }

    fn hear(&mut self, _topic: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let asks = |metric: &Metric| {
            metric.name.as_deref() == Some(REBIRTH)
                && metric.value == Some(MetricValue::Boolean(true))
        };
        if Payload::decode(payload).is_ok_and(|command| command.metrics.iter().any(asks)) {
            self.announce(at, out);
        }
    }

    fn will(&self) -> Option<Message> {
        Some(Message {
            topic: self.ndeath.clone(),
            payload: Bytes::from(self.death().encode_to_vec()),
            retain: false,
        })
    }

    /// Each connection has a birth, and a will that names it.
    fn connection_lost(&mut self, at: SimTime, out: &mut Outbox) {
        self.bd_seq = (self.bd_seq + 1) % 256;
        if self.line.is_alive.load(Relaxed) {
            self.announce(at, out);
        }
    }
}

impl Machine {
    fn birth(&mut self, at: SimTime, out: &mut Outbox) {
        self.born_in = self.line.birth.load(Relaxed);
        out.protobuf(&self.dbirth, &self.line.payload(self.model.birth(at), at));
    }

    /// What was measured while it was away, in one message.
    fn stored(&mut self, at: SimTime, out: &mut Outbox) {
        let Some(since) = self.away_since.take() else {
            return;
        };
        let step_ms = (at.0 - since.0) / (STORED_SAMPLES + 1);
        if step_ms == 0 {
            return;
        }
        let mut metrics = Vec::new();
        for sample in 1..=STORED_SAMPLES {
            metrics.extend(
                self.model
                    .data(machine::SLOW, SimTime(since.0 + sample * step_ms)),
            );
        }
        for metric in &mut metrics {
            metric.is_historical = Some(true);
        }
        out.protobuf(&self.ddata, &self.line.payload(metrics, at));
    }

    fn is_reachable(&self) -> bool {
        self.line.is_alive.load(Relaxed)
    }
}

impl Device for Machine {
    fn turn(&self) -> Turn {
        Turn::Regular(2)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.away_since = None;
        if self.is_reachable() {
            self.birth(at, out);
        }
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        if !self.is_reachable() {
            return;
        }
        let places = match self.told % 3 {
            2 => machine::SLOW,
            _ => machine::FAST,
        };
        self.told += 1;
        let mut metrics = self.model.data(places, at);
        machine::spoil(&mut metrics, odd);
        out.protobuf(&self.ddata, &self.line.payload(metrics, at));
    }

    fn follow_up(&mut self, at: SimTime, out: &mut Outbox) {
        if self.is_reachable() && self.born_in != self.line.birth.load(Relaxed) {
            self.birth(at, out);
        }
    }

    fn availability(&mut self, online: bool, at: SimTime, out: &mut Outbox) {
        match (online, self.is_reachable()) {
            (true, true) => {
                self.birth(at, out);
                self.stored(at, out);
            }
            (false, true) => {
                self.away_since = Some(at);
                out.protobuf(&self.ddeath, &self.line.payload(Vec::new(), at));
            }
            // The death of the node has told of it, and its birth will.
            (_, false) => {}
        }
    }

    fn power_up(&mut self, resets: bool, at: SimTime) {
        if resets {
            self.model.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        self.model.read_zero(zero);
    }

    fn hears(&self) -> Vec<TopicName> {
        vec![self.dcmd.clone()]
    }

    fn hear(&mut self, _topic: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let Ok(command) = Payload::decode(payload) else {
            return;
        };
        let mut changed = false;
        for metric in &command.metrics {
            changed |= self.model.write(metric, at);
        }
        if changed && self.is_reachable() {
            let metrics = self.model.data(machine::CONTROL, at);
            out.protobuf(&self.ddata, &self.line.payload(metrics, at));
        }
    }
}
