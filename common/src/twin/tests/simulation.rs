//! Replicas of one home on a network that loses, repeats and reorders, with restarts, backups, copies and wrong clocks.
//! All of it follows from a seed: `TARN_SEED=<seed>` runs that one alone, `TARN_SEEDS=<count>` so many.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::NOW;
use crate::twin::{
    document::{DocumentId, Section},
    edit::Edit,
    replica::{Bundle, OWNER, Replica, Root, Staged},
    resolve::resolve,
    sync,
    write::{DEVICE, Write},
};

/// Seeds that are run where none is named.
const SEEDS: u64 = 2_000;
/// Rounds in which all pairs of a healed network have become equal.
const ROUNDS_MAX: usize = 12;
const DAY_MS: i64 = 86_400_000;

/// A write that was acknowledged, by document, section and attribute.
type Acknowledged = BTreeMap<(DocumentId, Section, String), Vec<Write>>;

struct Node {
    name: String,
    replica: Replica,
    stored: Vec<Bundle>,
    /// How wrong its clock is.
    clock_ms: i64,
    /// Writes that it acknowledged, with how much was stored when it did.
    acknowledged: Vec<(usize, DocumentId, Section, String, String)>,
    /// Whether more is stored than it knows of.
    has_more: bool,
}

struct World {
    seed: u64,
    rng: StdRng,
    now_ms: i64,
    nodes: Vec<Node>,
    /// On their way: from, to, body.
    network: Vec<(usize, usize, Vec<u8>)>,
    epoch_changes: usize,
    /// Whether nothing fails any more.
    is_healed: bool,
    /// Ids of writes that a restored node has forgotten, which may be gone for good.
    forgotten: BTreeSet<String>,
    acknowledged: BTreeMap<String, Write>,
    places: Acknowledged,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let epoch_changes = *[12, 30, 1_000].choose(&mut rng).expect("one");
        let mut world = World {
            seed,
            now_ms: NOW,
            nodes: Vec::new(),
            network: Vec::new(),
            epoch_changes,
            is_healed: false,
            forgotten: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            places: BTreeMap::new(),
            rng,
        };
        for at in 0..world.rng.random_range(2..=5) {
            let clock_ms = match world.rng.random_range(0..10) {
                0..=6 => 0,
                7..=8 => world.rng.random_range(-240_000..240_000),
                _ => *[400 * DAY_MS, -400 * DAY_MS]
                    .choose(&mut world.rng)
                    .expect("one"),
            };
            let replica = world.replica(&format!("n{at}"), at != 0, None);
            world.nodes.push(Node {
                name: format!("n{at}"),
                replica,
                stored: Vec::new(),
                clock_ms,
                acknowledged: Vec::new(),
                has_more: false,
            });
        }
        world
    }

    fn replica(&mut self, name: &str, is_box: bool, seed: Option<[u8; 32]>) -> Replica {
        let seed = seed.unwrap_or_else(|| self.rng.random());
        Replica::new(name, is_box, seed).with_epoch_changes(self.epoch_changes)
    }

    fn node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    fn now(&self, node: usize) -> i64 {
        self.now_ms + self.nodes[node].clock_ms
    }

    /// Store what is staged, and go on; or fail in between.
    fn keep(&mut self, node: usize, staged: Staged) -> bool {
        let now_ms = self.now(node);
        if staged.is_empty() {
            return true;
        }
        match self.rng.random_range(0..40) {
            _ if self.is_healed => {}
            0 => {
                self.nodes[node].replica.abandon(&staged);
                return false;
            }
            1 => {
                // Some of it is stored all the same, and what it says is told to nobody.
                let count = self.rng.random_range(0..=staged.bundles.len());
                let bundles = staged.bundles[..count].to_vec();
                self.nodes[node].stored.extend(bundles);
                self.nodes[node].has_more = true;
                self.nodes[node].replica.abandon(&staged);
                return false;
            }
            _ => {}
        }
        let news = sync::encode(&staged.news);
        let node_ = &mut self.nodes[node];
        node_.stored.extend(staged.bundles.iter().cloned());
        node_.replica.commit(staged, now_ms);
        for to in 0..self.nodes.len() {
            if to != node && !self.is_healed {
                let news = news.iter().map(|body| (node, to, body.clone()));
                self.network.extend(news);
            }
        }
        true
    }

    fn edit(&mut self, node: usize) {
        let now_ms = self.now(node);
        let count = self.rng.random_range(1..=3);
        let edits: Vec<Edit> = (0..count).map(|_| self.one_edit(node)).collect();
        let by = format!("author of {}", self.nodes[node].name);
        let mut staged = self.nodes[node]
            .replica
            .edit(&edits, &by, now_ms)
            .expect("edit");
        let ids = std::mem::take(&mut staged.ids);
        if !self.keep(node, staged) {
            return;
        }
        // Of two writes of one attribute in one edit the later stands.
        let stored = self.nodes[node].stored.len();
        for (edit, id) in edits.iter().zip(ids) {
            let document = self.nodes[node].replica.document(&edit.document);
            let writes = document.map(|document| document.writes(edit.section, &edit.attribute));
            let write = writes.into_iter().flatten().find(|write| write.id == id);
            if let Some(write) = write {
                let place = (edit.document.clone(), edit.section, edit.attribute.clone());
                self.places
                    .entry(place.clone())
                    .or_default()
                    .push(write.clone());
                self.acknowledged.insert(id.clone(), write);
                self.nodes[node]
                    .acknowledged
                    .push((stored, place.0, place.1, place.2, id));
            }
        }
    }

    fn one_edit(&mut self, node: usize) -> Edit {
        let rng = &mut self.rng;
        let device = DocumentId::device(["lamp", "lock", "valve"].choose(rng).expect("one"));
        let number = rng.random_range(0..5);
        match rng.random_range(0..20) {
            0..=1 => {
                let section = *[Section::Rooms, Section::Rules, Section::Settings]
                    .choose(rng)
                    .expect("one");
                let value = json!({"name": number});
                Edit::new(
                    DocumentId::home(),
                    section,
                    ["a", "b"].choose(rng).expect("one"),
                    value,
                )
            }
            2 => Edit::new(device, Section::Meta, "name", format!("n{number}")),
            3 if node == 1 => Edit::new(device, Section::Meta, OWNER, "n1"),
            4..=6 if node == 1 => Edit::new(device, Section::Reported, "temp", number),
            7 if node == 1 => Edit::new(device, Section::Ack, "state", format!("{number}:done")),
            8..=9 if node == 1 => {
                let policy = json!({"policy": "safe", "order": ["LOCK", "UNLOCK"]}).to_string();
                Edit::new(device, Section::Policy, "state", policy)
            }
            10..=13 => {
                let value = ["LOCK", "UNLOCK"].choose(rng).expect("one");
                Edit::new(device, Section::Desired, "state", *value)
            }
            14..=15 => Edit::new(device, Section::Desired, "setpoint", number).by(DEVICE),
            _ => {
                let value = match rng.random_range(0..6) {
                    0 => Value::Null,
                    _ => json!(number),
                };
                let ttl_s = (rng.random_range(0..4) == 0).then(|| rng.random_range(1..200));
                Edit::new(device, Section::Desired, "setpoint", value).for_s(ttl_s)
            }
        }
    }

    fn receive(&mut self, from: usize, to: usize, body: &[u8]) {
        let messages = sync::decode(body).expect("body");
        let exchanged = self.nodes[to].replica.exchange(messages);
        assert!(exchanged.faults.is_empty(), "{:?}", exchanged.faults);
        if self.keep(to, exchanged.staged) {
            let replies = sync::encode(&exchanged.replies);
            let replies = replies.into_iter().map(|body| (to, from, body));
            self.network.extend(replies);
        }
    }

    /// Begin anew from what is stored, or from an older part of it.
    fn restart(&mut self, node: usize, upto: usize, seed: Option<[u8; 32]>) {
        let name = self.nodes[node].name.clone();
        let mut replica = self.replica(&name, node != 0, seed);
        let now_ms = self.now(node);
        let node = &mut self.nodes[node];
        node.stored.truncate(upto);
        let faults = replica.restore(&node.stored, now_ms);
        assert!(faults.is_empty(), "{faults:?}");
        node.replica = replica;
        node.has_more = false;
        node.acknowledged.retain(|(stored, .., id)| {
            let is_kept = *stored <= upto;
            if !is_kept {
                self.forgotten.insert(id.clone());
            }
            is_kept
        });
    }

    fn step(&mut self) {
        self.now_ms += self.rng.random_range(0..20_000);
        let node = self.node();
        match self.rng.random_range(0..200) {
            0..=69 => self.edit(node),
            70..=79 => {
                let to = self.node();
                let greeting = sync::encode(&[self.nodes[node].replica.digest()]).concat();
                self.network.push((node, to, greeting));
            }
            80..=169 if !self.network.is_empty() => {
                let at = self.rng.random_range(0..self.network.len());
                let (from, to, body) = self.network.swap_remove(at);
                match self.rng.random_range(0..10) {
                    0 => {}
                    1 => {
                        self.receive(from, to, &body);
                        self.receive(from, to, &body);
                    }
                    _ => self.receive(from, to, &body),
                }
            }
            170..=175 => {
                // The line of one node is cut: all that was under way to and from it is lost.
                self.network
                    .retain(|(from, to, _)| *from != node && *to != node);
            }
            176..=179 => self.network.clear(),
            180..=187 => {
                let now_ms = self.now(node);
                for id in self.nodes[node].replica.grown(now_ms) {
                    let staged = self.nodes[node].replica.roll(&id).expect("roll");
                    self.keep(node, staged);
                }
            }
            188..=193 => self.restart(node, self.nodes[node].stored.len(), None),
            194..=195 => {
                let upto = self.rng.random_range(0..=self.nodes[node].stored.len());
                self.restart(node, upto, None);
            }
            196..=197 => self.copy(node),
            198 => self.nodes[node].clock_ms = 0,
            _ => {
                // A snapshot in the place of all that is stored, as when a store is tidied.
                let documents = self.nodes[node].replica.documents();
                let stored = documents.map(super::snapshot).collect();
                self.nodes[node].stored = stored;
                self.nodes[node].has_more = false;
                let count = self.nodes[node].stored.len();
                for (stored, ..) in &mut self.nodes[node].acknowledged {
                    *stored = count;
                }
            }
        }
    }

    /// Another node goes on from a backup of this one; rarely both draw alike from then on.
    fn copy(&mut self, node: usize) {
        let other = self.node();
        if other == node {
            return;
        }
        let lost = std::mem::take(&mut self.nodes[other].acknowledged);
        self.forgotten.extend(lost.into_iter().map(|(.., id)| id));
        self.nodes[other].stored = self.nodes[node].stored.clone();
        let seed = self.rng.random_bool(0.5).then(|| self.rng.random());
        let names = (
            self.nodes[node].name.clone(),
            self.nodes[other].name.clone(),
        );
        let stored = self.nodes[node].stored.len();
        self.restart(node, stored, seed);
        if seed.is_some() {
            self.nodes[other].name = names.0;
        }
        self.restart(other, stored, seed);
        self.nodes[other].name = names.1;
    }

    /// The network is whole again: all talk until nobody has anything to say.
    fn heal(&mut self) {
        self.is_healed = true;
        for node in 0..self.nodes.len() {
            if self.nodes[node].has_more {
                self.restart(node, self.nodes[node].stored.len(), None);
            }
        }
        for _ in 0..ROUNDS_MAX {
            self.network.clear();
            for from in 0..self.nodes.len() {
                for to in 0..self.nodes.len() {
                    if from != to {
                        let greeting = sync::encode(&[self.nodes[from].replica.digest()]).concat();
                        self.network.push((from, to, greeting));
                    }
                }
            }
            let mut turns = 0;
            while !self.network.is_empty() {
                let (from, to, body) = self.network.remove(0);
                self.receive(from, to, &body);
                turns += 1;
                assert!(turns < 20_000, "they never end");
            }
            let roots: Vec<Root> = self.nodes.iter().map(|node| node.replica.root()).collect();
            if roots.iter().all(|root| *root == roots[0]) {
                return;
            }
        }
        let heads: Vec<Vec<String>> = self
            .nodes
            .iter()
            .map(|node| {
                let documents = node.replica.documents();
                documents
                    .map(|document| format!("{} {:?}", document.key(), document.heads()))
                    .collect()
            })
            .collect();
        panic!("not equal after {ROUNDS_MAX} rounds: {heads:#?}");
    }

    fn check(&mut self) {
        let now_ms = self.now_ms;
        // Whatever anybody has stored gives the same again.
        for at in 0..self.nodes.len() {
            let mut again = self.replica("again", false, None);
            let faults = again.restore(&self.nodes[at].stored, now_ms);
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(
                again.root(),
                self.nodes[at].replica.root(),
                "what {at} has stored"
            );
        }
        let first = &self.nodes[0].replica;
        let others = self.nodes[1..].iter().map(|node| &node.replica);
        for other in others {
            for document in first.documents() {
                let there = other.document(&document.key().id).expect("document");
                for &section in document.key().id.sections() {
                    for attribute in document.attributes(section) {
                        match section.has_writes() {
                            true => assert_eq!(
                                document.resolve(section, &attribute, now_ms),
                                there.resolve(section, &attribute, now_ms)
                            ),
                            false => assert_eq!(
                                document.scalar(section, &attribute),
                                there.scalar(section, &attribute)
                            ),
                        }
                    }
                }
            }
        }
        for ((id, section, attribute), writes) in &self.places {
            let document = first.document(id);
            let standing = document.map(|document| document.writes(*section, attribute));
            let standing = standing.unwrap_or_default();
            for write in writes {
                if self.forgotten.contains(&write.id)
                    || standing.iter().any(|one| one.id == write.id)
                {
                    continue;
                }
                // Somebody who had seen it replaced it: then something stands that was acknowledged, or forgotten, after it.
                let policy = document.map(|document| document.policy(*section, attribute));
                let mut all = standing.clone();
                all.push(write.clone());
                let winner = resolve(&all, &policy.unwrap_or_default(), now_ms).winner;
                let is_seen = standing.iter().any(|one| self.replaced(write, one));
                assert!(
                    is_seen || winner.as_ref().is_some_and(|winner| winner.id != write.id),
                    "{write:?} of {id} {attribute} is gone, and there is only {standing:?}"
                );
            }
        }
    }

    /// Whether a write may have been made by somebody who had seen another. The clock follows what is seen, but for those whose
    /// clocks are years away.
    fn replaced(&self, write: &Write, by: &Write) -> bool {
        let is_sane = |write: &Write| (write.at.ms - self.now_ms).abs() < 100 * DAY_MS;
        by.at > write.at || !is_sane(write) || !is_sane(by)
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    assert_eq!(world.seed, seed);
    let steps = world.rng.random_range(10..120);
    for _ in 0..steps {
        world.step();
    }
    world.heal();
    world.check();
}

#[test]
fn replicas_become_equal_whatever_happens() {
    if let Ok(seed) = std::env::var("TARN_SEED") {
        return run(seed.parse().expect("TARN_SEED is a number"));
    }
    let seeds: u64 = std::env::var("TARN_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(SEEDS);
    let workers = 2;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                for seed in (0..seeds).filter(|seed| seed % workers == worker) {
                    if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
                        eprintln!("it fails with TARN_SEED={seed}");
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}
