use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{
    Device, Registry, Role,
    compile::{self, Claim},
};
use crate::{
    binding::{AvailabilityRule, Binding},
    convention::ConventionKind,
};

impl Registry {
    /// Read a topic anew as the devices that claim it say.
    pub(super) fn bind(&mut self, topic: &Arc<str>) {
        let claims: Vec<(&Device, &Claim)> = self
            .claimants
            .get(topic)
            .into_iter()
            .flatten()
            .filter_map(|device| {
                let device = self.devices.get(device)?;
                Some((device, device.claims.get(topic)?))
            })
            .collect();
        let binding = binding_of(&claims);
        let schema = Arc::make_mut(&mut self.schema);
        schema.generation += 1;
        let known = self.roles.get(&**topic).copied();
        let teacher = match known {
            None => ConventionKind::teacher(topic),
            Some(Role::Teaches(kind)) => Some(kind),
            Some(_) => None,
        };
        if let Some(kind) = teacher {
            self.roles.insert((**topic).into(), Role::Teaches(kind));
        }
        let teaches = teacher.is_some();
        match binding {
            Some(binding) => {
                let role = match binding.availability.is_empty() {
                    false => Role::Presence,
                    true if binding.convention.discovers() => Role::Explored,
                    true => Role::Bound,
                };
                if !teaches {
                    self.roles.insert((**topic).into(), role);
                }
                schema.bindings.insert(topic.clone(), Arc::new(binding));
            }
            None => {
                schema.bindings.remove(topic);
                if !teaches {
                    self.roles.remove(&**topic);
                }
            }
        }
    }
}

/// The claims of all devices on one topic as one binding; the first that has a layout owns the topic.
fn binding_of(claims: &[(&Device, &Claim)]) -> Option<Binding> {
    let (owner, main) = claims
        .iter()
        .find(|(_, claim)| claim.layout.is_some())
        .or_else(|| claims.first())?;
    let availability: Vec<AvailabilityRule> = claims
        .iter()
        .flat_map(|(_, claim)| claim.availability.clone())
        .collect();
    let mut binding = Binding {
        device: owner.id.clone(),
        convention: main.kind,
        layout: main.layout.clone().unwrap_or_else(compile::flat),
        plain: None,
        keys: FxHashMap::default(),
        metrics: owner.meanings.clone(),
        templates: Vec::new(),
        only_availability: claims.iter().all(|(_, claim)| claim.says_presence_only()),
        availability,
    };
    for (_, claim) in claims {
        binding.plain = binding.plain.or_else(|| claim.plain.clone());
        for (path, meaning) in &claim.keys {
            binding
                .keys
                .entry(path.clone())
                .or_insert_with(|| meaning.clone());
        }
        binding.templates.extend(claim.templates.iter().cloned());
    }
    let says_nothing = claims.iter().all(|(_, claim)| claim.layout.is_none());
    (!says_nothing || !binding.availability.is_empty()).then_some(binding)
}
