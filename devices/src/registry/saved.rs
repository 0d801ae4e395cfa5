use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Registry, Said, identities::Identity};
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
    teaches: bool,
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
            teaches: source.teaches,
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
            let convention = kind.convention();
            let said = if source.teaches {
                convention.learn(&message).unwrap_or_default()
            } else {
                convention.recognise(&message).into_iter().collect()
            };
            if source.teaches {
                registry
                    .roles
                    .insert(source.topic.clone(), super::Role::Teaches(kind));
            }
            registry.replace(
                kind,
                source.teaches,
                source.topic.to_string(),
                &message,
                said,
                0,
            );
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
