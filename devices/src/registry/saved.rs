use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Origin, Registry, Role, Said, identities::Identity, learn::source_key};
use crate::{convention::ConventionKind, message::Message};

/// What is kept of a registry over a restart: what was heard, which identifiers are one device, what a user
/// set, and who is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    identities: Vec<Identity>,
    sources: Vec<SavedSource>,
    presence: Vec<(Arc<str>, Arc<str>, bool, i64)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedSource {
    convention: String,
    origin: Origin,
    topic: Box<str>,
    payload: Box<[u8]>,
}

/// A kept registry names something that is not there.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSaved(pub String);

impl Registry {
    /// All that has to be kept.
    #[must_use]
    pub fn save(&self) -> Saved {
        let sources = self.sources.values().map(|source| SavedSource {
            convention: source.kind.name().to_owned(),
            origin: source.origin.clone(),
            topic: source.topic.clone(),
            payload: source.payload.clone(),
        });
        let presence = self.presence.iter().flat_map(|(device, said)| {
            said.iter()
                .map(|(topic, said)| (device.clone(), topic.clone(), said.online, said.at_ms))
        });
        Saved {
            identities: self.identities.all().cloned().collect(),
            sources: sources.collect(),
            presence: presence.collect(),
        }
    }

    /// The registry that was saved. Messages are understood as this version understands them.
    #[must_use]
    pub fn restore(saved: Saved) -> Registry {
        let mut registry = Registry::new();
        registry.identities.restore(saved.identities);
        for source in saved.sources {
            let kind = ConventionKind::ALL
                .into_iter()
                .find(|kind| kind.name() == source.convention);
            let Some(kind) = kind else {
                continue;
            };
            let message = Message {
                topic: &source.topic,
                payload: &source.payload,
            };
            registry.take_again(kind, source.origin, &message);
        }
        for (device, topic, online, at_ms) in saved.presence {
            registry
                .presence
                .entry(device)
                .or_default()
                .insert(topic, Said { online, at_ms });
        }
        registry.refresh_aliases();
        registry
    }
}

impl Registry {
    /// Understand a kept message anew.
    fn take_again(&mut self, kind: ConventionKind, origin: Origin, message: &Message<'_>) {
        let convention = kind.convention();
        match &origin {
            Origin::Taught => {
                self.roles.insert(message.topic.into(), Role::Teaches(kind));
                let said = convention.learn(message).unwrap_or_default();
                self.replace(kind, origin, source_key(kind, message), message, said, 0);
            }
            Origin::Recognised => {
                let said = convention.recognise(message).into_iter().collect();
                self.replace(kind, origin, message.topic.to_owned(), message, said, 0);
            }
            Origin::Discovered(metric) => {
                let binding = self.schema.bindings.get(message.topic);
                if let Some(device) = binding.map(|binding| binding.device.clone()) {
                    self.explored
                        .insert((message.topic.into(), metric.as_str().into()));
                    self.discover(kind, message.topic, metric, &device, 0);
                }
            }
        }
    }
}
