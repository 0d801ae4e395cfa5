use std::sync::Arc;

use tarn_devices::{
    point::Domain,
    registry::{Device, FaultRecord, Feature as KnownFeature, Registry},
};
use tarn_openapi::{
    Any, Command as CommandShape, DeviceFault, Feature, KnownDevice, types::moment,
};

use super::{
    Devices,
    commands::{Command, Status},
};

impl Devices {
    /// A device as interfaces and twins show it.
    pub(crate) fn shown(&self, registry: &Registry, device: &Device) -> KnownDevice {
        let texts = |of: &[Arc<str>]| of.iter().map(ToString::to_string).collect();
        KnownDevice {
            device: device.id.to_string(),
            name: device.about.name.clone(),
            room: device.about.room.clone(),
            vendor: device.about.vendor.clone(),
            model: device.about.model.clone(),
            firmware: device.about.firmware.clone(),
            hardware: device.about.hardware.clone(),
            serial: device.about.serial.clone(),
            online: registry.is_online(device),
            clock_skew_ms: self.skews.lock().of(&device.id),
            identifiers: device.identifiers.iter().map(ToString::to_string).collect(),
            aliases: texts(&device.aliases),
            conventions: device
                .conventions
                .iter()
                .map(|c| c.name().to_owned())
                .collect(),
            topics: texts(&device.topics),
            features: device.features.values().map(feature).collect(),
            faults: faults(registry, &device.id),
        }
    }
}

fn feature(feature: &KnownFeature) -> Feature {
    let (takes, options) = match &feature.domain {
        Domain::Any => ("any", Vec::new()),
        Domain::Switch => ("switch", Vec::new()),
        Domain::Number { .. } => ("number", Vec::new()),
        Domain::Options(options) => ("option", options.clone()),
        Domain::Text => ("text", Vec::new()),
        Domain::Press => ("press", Vec::new()),
        Domain::Object(keys) => ("object", keys.clone()),
    };
    let (min, max, step) = match feature.domain {
        Domain::Number { min, max, step } => (min, max, step),
        _ => (None, None, None),
    };
    Feature {
        metric: feature.metric.to_string(),
        component: feature.component.name().to_owned(),
        name: feature.name.clone(),
        class: feature.class.clone(),
        unit: feature.unit.as_deref().map(str::to_owned),
        raw_unit: feature.raw_unit.clone(),
        state_class: feature.state_class.map(|class| class.name().to_owned()),
        settable: feature.write.is_some(),
        takes: takes.to_owned(),
        min,
        max,
        step,
        options,
    }
}

pub(super) fn faults(registry: &Registry, device: &str) -> Vec<DeviceFault> {
    let at = |ms: i64| (ms > 0).then(|| moment(ms));
    let fault = |record: &FaultRecord| DeviceFault {
        kind: record.fault.kind.name().to_owned(),
        detail: record.fault.detail.clone(),
        topic: record.topic.clone(),
        count: record.count,
        first: at(record.first_ms),
        last: at(record.last_ms),
    };
    registry.faults(device).map(fault).collect()
}

/// A command as interfaces show it.
pub(super) fn shape(command: &Command) -> CommandShape {
    let (status, reason) = match &command.status {
        Status::Delivered => ("delivered", None),
        Status::Confirmed => ("confirmed", None),
        Status::TimedOut => ("timed_out", None),
        Status::Refused(reason) => ("refused", Some(reason.clone())),
    };
    CommandShape {
        command: command.id.clone(),
        device: command.device.to_string(),
        metric: command.metric.clone(),
        value: Any(command.value.clone()),
        status: status.to_owned(),
        reason,
        topic: Some(command.topic.clone()).filter(|topic| !topic.is_empty()),
        sent: moment(command.sent_ms),
        deadline: Some(moment(command.deadline_ms)),
        done: command.done_ms.map(moment),
    }
}
