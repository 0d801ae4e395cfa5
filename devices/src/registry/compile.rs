use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;

use super::{Device, Feature, Registry, TEMPLATES_MAX};
use crate::{
    announcement::{About, Announcement, Availability, Layout, TimeKey},
    binding::{AvailabilityRule, Meaning},
    convention::ConventionKind,
    fault::{Fault, FaultKind},
    identifier::Identifier,
    point::{At, Component, Domain, Point, StateClass},
    template::Template,
    unit,
};

/// Metric of a plain value whose topic names none.
const VALUE: &str = "value";

/// What one device says about one topic.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) kind: ConventionKind,
    /// None where the device only listens there for its availability.
    pub(super) layout: Option<Layout>,
    pub(super) plain: Option<Meaning>,
    pub(super) keys: BTreeMap<String, Meaning>,
    pub(super) templates: Vec<(Arc<Template>, Meaning)>,
    pub(super) availability: Vec<AvailabilityRule>,
}

impl Claim {
    /// Whether the topic says of the device that it is there, and nothing else.
    pub(super) fn says_presence_only(&self) -> bool {
        let is_plain = matches!(self.layout, None | Some(Layout::Flat { .. }));
        let is_always = |rule: &AvailabilityRule| matches!(rule.says.at, At::Always(_));
        is_plain
            && !self.availability.is_empty()
            && !self.availability.iter().any(is_always)
            && self.plain.is_none()
            && self.keys.is_empty()
            && self.templates.is_empty()
    }
}

/// The layout of a topic that only points name.
pub(super) fn flat() -> Layout {
    Layout::Flat {
        metric: VALUE.into(),
        prefix: String::new(),
        root: String::new(),
        time: TimeKey::Usual,
    }
}

impl Registry {
    /// Put a device together anew from all that is said of it, and bind its topics.
    pub(super) fn compile(&mut self, id: &Arc<str>, at_ms: i64) {
        let orders = self.spoken_of.get(id).cloned().unwrap_or_default();
        let mut sources: Vec<_> = orders
            .iter()
            .filter_map(|order| Some((*order, self.sources.get(order)?)))
            .collect();
        // Those with topics of their own name the metrics; what Home Assistant is told describes them. What was
        // announced knows more than what was recognised.
        sources.sort_by(|(_, a), (_, b)| (a.kind, &a.origin).cmp(&(b.kind, &b.origin)));
        let mut said: Vec<(ConventionKind, Announcement)> = Vec::new();
        for (order, source) in sources {
            for part in source.parts.iter().filter(|part| part.device == *id) {
                let mut announcement = part.announcement.clone();
                let is_its_own = |point: &Point| self.is_its_own(order, point);
                announcement.points.retain(is_its_own);
                said.push((source.kind, announcement));
            }
        }
        let mut compiling = Compiling::new(id.clone(), self);
        for (kind, announcement) in &said {
            compiling.streams(*kind, announcement);
        }
        for (kind, announcement) in &said {
            for point in &announcement.points {
                compiling.point(*kind, point);
            }
        }
        compiling.availability(&said);
        compiling.settle();
        let Compiling {
            features,
            claims,
            availability,
            faults,
            ..
        } = compiling;
        for (topic, fault) in faults {
            self.faults.report(id, &topic, fault, 0, at_ms);
        }
        self.place(id, &said, features, claims, availability);
    }

    /// Put a compiled device in its place and bind the topics that it has, and had.
    fn place(
        &mut self,
        id: &Arc<str>,
        said: &[(ConventionKind, Announcement)],
        features: BTreeMap<Arc<str>, Feature>,
        claims: BTreeMap<Arc<str>, Claim>,
        availability: Availability,
    ) {
        let before = self
            .devices
            .remove(id)
            .map(|device| device.claims)
            .unwrap_or_default();
        let mut topics: Vec<Arc<str>> = before.into_keys().collect();
        for topic in &topics {
            if let Some(claimants) = self.claimants.get_mut(topic) {
                claimants.remove(id);
            }
        }
        if let Some(identity) = self.identities.get(id).filter(|_| !said.is_empty()) {
            let mut about = about(said);
            let own = || identity.identifiers.iter().find_map(Identifier::given_name);
            about.name = identity.name.clone().or(about.name).or_else(own);
            about.room = identity.room.clone().or(about.room);
            for topic in claims.keys() {
                self.claimants
                    .entry(topic.clone())
                    .or_default()
                    .insert(id.clone());
                topics.push(topic.clone());
            }
            let meanings = Arc::new(meanings(id, &features));
            let device = Device {
                id: id.clone(),
                identifiers: identity.identifiers.clone(),
                aliases: identity.aliases.clone(),
                about,
                conventions: said.iter().map(|(kind, _)| *kind).collect(),
                features,
                topics: claims.keys().cloned().collect(),
                claims,
                meanings,
                availability,
            };
            let schema = Arc::make_mut(&mut self.schema);
            for identifier in &device.identifiers {
                schema.owners.insert(identifier.clone(), id.clone());
            }
            for alias in &device.aliases {
                schema.aliases.insert(alias.clone(), id.clone());
            }
            self.devices.insert(id.clone(), device);
        }
        topics.sort();
        topics.dedup();
        for topic in topics {
            self.bind(&topic);
        }
    }
}

/// What a device's metrics mean, wherever they are told: announcements often describe a metric without saying on
/// which of several topics it comes.
fn meanings(
    device: &Arc<str>,
    features: &BTreeMap<Arc<str>, Feature>,
) -> FxHashMap<Arc<str>, Meaning> {
    let says_something =
        |feature: &&Feature| feature.unit.is_some() || feature.state_class.is_some();
    let meaning = |feature: &Feature| Meaning {
        device: device.clone(),
        metric: feature.metric.clone(),
        unit: feature.unit.clone(),
        scale: feature.scale,
        words: feature.words.clone(),
        counter: feature.state_class == Some(StateClass::TotalIncreasing),
    };
    let described = features.values().filter(says_something);
    described
        .map(|feature| (feature.metric.clone(), meaning(feature)))
        .collect()
}

/// What the announcements say together: of each thing, who says it first.
fn about(said: &[(ConventionKind, Announcement)]) -> About {
    let mut about = About::default();
    let first = |place: &mut Option<String>, said: &Option<String>| {
        if place.is_none() {
            place.clone_from(said);
        }
    };
    for (_, announcement) in said {
        let said = &announcement.about;
        first(&mut about.name, &said.name);
        first(&mut about.room, &said.room);
        first(&mut about.vendor, &said.vendor);
        first(&mut about.model, &said.model);
        first(&mut about.firmware, &said.firmware);
        first(&mut about.hardware, &said.hardware);
        first(&mut about.serial, &said.serial);
        if about.via.is_none() {
            about.via.clone_from(&said.via);
        }
    }
    about
}

/// A device while it is put together.
struct Compiling<'r> {
    device: Arc<str>,
    templates: &'r mut FxHashMap<String, Result<Arc<Template>, Fault>>,
    features: BTreeMap<Arc<str>, Feature>,
    claims: BTreeMap<Arc<str>, Claim>,
    availability: Availability,
    /// Metric of each place that a point reads.
    places: FxHashMap<(String, At), Arc<str>>,
    /// Metrics whose names may collide.
    qualified: FxHashMap<Arc<str>, ()>,
    faults: Vec<(String, Fault)>,
}

impl<'r> Compiling<'r> {
    fn new(device: Arc<str>, registry: &'r mut Registry) -> Self {
        if registry.templates.len() > TEMPLATES_MAX {
            registry.templates.clear();
        }
        Compiling {
            device,
            templates: &mut registry.templates,
            features: BTreeMap::new(),
            claims: BTreeMap::new(),
            availability: Availability::default(),
            places: FxHashMap::default(),
            qualified: FxHashMap::default(),
            faults: Vec::new(),
        }
    }

    fn claim(&mut self, kind: ConventionKind, topic: &str) -> &mut Claim {
        self.claims.entry(topic.into()).or_insert_with(|| Claim {
            kind,
            layout: None,
            plain: None,
            keys: BTreeMap::new(),
            templates: Vec::new(),
            availability: Vec::new(),
        })
    }

    fn streams(&mut self, kind: ConventionKind, announcement: &Announcement) {
        for stream in &announcement.streams {
            let claim = self.claim(kind, &stream.topic);
            if claim.layout.is_none() {
                claim.layout = Some(stream.layout.clone());
            }
        }
    }

    fn point(&mut self, kind: ConventionKind, point: &Point) {
        let topic = point
            .read
            .as_ref()
            .map_or("", |read| &read.topic)
            .to_owned();
        let metric = self.metric(point);
        let unit = self.unit(point, &topic);
        self.feature(point, &metric, unit.clone());
        let Some(read) = &point.read else {
            return;
        };
        let place = (read.topic.clone(), read.at.clone());
        if self.places.insert(place, metric.clone()).is_some() {
            return;
        }
        let meaning = Meaning {
            device: self.device.clone(),
            metric,
            unit,
            scale: read.scale,
            words: read.words.clone(),
            counter: point.state_class == Some(StateClass::TotalIncreasing),
        };
        let template = match &read.at {
            At::Template(source) => match self.template(source) {
                Ok(template) => Some(template),
                Err(fault) => {
                    let detail = format!("{}: {}", point.metric, fault.detail);
                    self.faults.push((topic, Fault::new(fault.kind, detail)));
                    None
                }
            },
            At::Value | At::Path(_) | At::Always(_) => None,
        };
        let claim = self.claim(kind, &read.topic);
        claim.layout.get_or_insert_with(flat);
        match &read.at {
            At::Value => claim.plain = Some(meaning),
            At::Path(path) => {
                claim.keys.insert(path.clone(), meaning);
            }
            At::Always(_) => {}
            At::Template(_) => claim
                .templates
                .extend(template.map(|template| (template, meaning))),
        }
    }

    /// The name of a point's metric: that of the place it reads, where that has one, else its own.
    fn metric(&mut self, point: &Point) -> Arc<str> {
        if let Some(read) = &point.read {
            if let Some(known) = self.places.get(&(read.topic.clone(), read.at.clone())) {
                return known.clone();
            }
            let layout = self
                .claims
                .get(read.topic.as_str())
                .and_then(|claim| claim.layout.as_ref());
            match (layout, &read.at) {
                (Some(Layout::Flat { prefix, .. }), At::Path(path))
                    if point.qualifier.is_empty() || !prefix.is_empty() =>
                {
                    return format!("{prefix}{path}").into();
                }
                (Some(Layout::Flat { metric, .. }), At::Value) if metric != VALUE => {
                    return metric.as_str().into();
                }
                _ => {}
            }
        }
        let mut metric: Arc<str> = point.metric.as_str().into();
        if point.qualifier.is_empty() {
            return metric;
        }
        let mut number = 2;
        while self.qualified.contains_key(&metric) {
            metric = match number {
                2 => format!("{}_{}", point.metric, point.qualifier).into(),
                number => format!("{}_{}_{number}", point.metric, point.qualifier).into(),
            };
            number += 1;
        }
        self.qualified.insert(metric.clone(), ());
        metric
    }

    fn unit(&mut self, point: &Point, topic: &str) -> Option<Arc<str>> {
        let raw = point.unit.as_deref().filter(|raw| !raw.is_empty())?;
        let Some(unit) = unit::normalise(raw) else {
            let detail = format!(
                "{}: nobody knows the unit {raw:?}; it is kept as it is",
                point.metric
            );
            self.faults
                .push((topic.to_owned(), Fault::new(FaultKind::Unit, detail)));
            return Some(raw.into());
        };
        if let Some(class) = point
            .class
            .as_deref()
            .filter(|class| !unit::fits(class, unit))
        {
            let detail = format!(
                "{}: the unit {unit:?} does not fit the device class {class:?}",
                point.metric
            );
            self.faults
                .push((topic.to_owned(), Fault::new(FaultKind::Unit, detail)));
        }
        Some(unit.into())
    }

    /// Take a point into the feature of its metric; who speaks first is believed.
    fn feature(&mut self, point: &Point, metric: &Arc<str>, unit: Option<Arc<str>>) {
        let feature = self
            .features
            .entry(metric.clone())
            .or_insert_with(|| Feature {
                metric: metric.clone(),
                component: point.component,
                name: None,
                class: None,
                unit: None,
                raw_unit: None,
                state_class: None,
                domain: Domain::Any,
                write: None,
                is_read: false,
                scale: 1.0,
                words: None,
            });
        feature.name = feature.name.take().or_else(|| point.name.clone());
        feature.class = feature.class.take().or_else(|| point.class.clone());
        if feature.unit.is_none() {
            feature.unit = unit;
            feature.raw_unit.clone_from(&point.unit);
        }
        feature.state_class = feature.state_class.or(point.state_class);
        feature.is_read |= point.read.is_some();
        if let Some(read) = point.read.as_ref().filter(|_| feature.words.is_none()) {
            feature.scale = read.scale;
            feature.words.clone_from(&read.words);
        }
        if feature.write.is_none() && point.write.is_some() {
            feature.write.clone_from(&point.write);
            feature.domain = point.domain.clone();
            feature.component = point.component;
        } else if feature.domain == Domain::Any {
            feature.domain = point.domain.clone();
        }
        if feature.component == Component::Sensor || feature.component == Component::Other {
            feature.component = point.component;
        }
    }

    /// Availability as the first convention says it that says anything.
    fn availability(&mut self, said: &[(ConventionKind, Announcement)]) {
        let Some(first) = said.iter().find(|(_, a)| !a.availability.topics.is_empty()) else {
            return;
        };
        let kind = first.0;
        self.availability.mode = first.1.availability.mode;
        for (_, announcement) in said.iter().filter(|(k, _)| *k == kind) {
            for says in &announcement.availability.topics {
                if self.availability.topics.contains(says) {
                    continue;
                }
                self.availability.topics.push(says.clone());
                let template = match &says.at {
                    At::Template(source) => self.template(source).ok(),
                    At::Value | At::Path(_) | At::Always(_) => None,
                };
                let device = self.device.clone();
                let rule = AvailabilityRule {
                    device,
                    says: says.clone(),
                    is_sole: true,
                    template,
                };
                self.claim(kind, &says.topic).availability.push(rule);
            }
        }
    }

    /// Say of the rules whether they are the device's only one.
    fn settle(&mut self) {
        if self.availability.topics.len() > 1 {
            let rules = self
                .claims
                .values_mut()
                .flat_map(|claim| &mut claim.availability);
            rules.for_each(|rule| rule.is_sole = false);
        }
    }

    fn template(&mut self, source: &str) -> Result<Arc<Template>, Fault> {
        if let Some(known) = self.templates.get(source) {
            return known.clone();
        }
        let template = Template::compile(source).map(Arc::new);
        self.templates.insert(source.to_owned(), template.clone());
        template
    }
}
