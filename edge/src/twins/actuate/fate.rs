use std::collections::HashMap;

use serde_json::Value;
use tarn_common::twin::{
    command::{Ack, CommandStatus, LIVE_TTL_MAX},
    document::{Document, Section},
    edit::value as scalar_value,
    write::Write,
};
use tarn_devices::{registry::Feature, twin};

use crate::decode::time::PLAUSIBLE_FROM_MS;

/// What is to be done about a write.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    /// The device is sent it.
    Send,
    /// Nothing is sent, now or later.
    End {
        status: CommandStatus,
        reason: Option<&'static str>,
        /// What the attribute is at the device, where the write must not stand over it.
        instead: Option<Value>,
    },
    /// It is looked at again: something has to come first.
    Wait,
}

/// What a write is decided by, beside its document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// What the device has under the attribute's name.
    pub feature: Option<&'a Feature>,
    /// A state that was heard and is not in the document yet.
    pub pending: Option<&'a Value>,
    /// Whether it was written here just now, by somebody who sees what the box sees.
    pub is_own: bool,
    /// Whether it was there before this process, and may have been sent by the one before.
    pub is_left: bool,
    /// Whether the device is there for what was left.
    pub is_there: bool,
    /// When it is.
    pub now_ms: i64,
}

/// A write that is wanted of a device and has no ack yet.
#[derive(Debug)]
pub(super) struct Unacked {
    pub attribute: String,
    pub write: Write,
    /// Whether something else was wanted at once, even if its time has passed.
    pub is_disputed: bool,
}

impl Unacked {
    /// All of a document.
    pub(super) fn of(document: &Document, now_ms: i64) -> Vec<Unacked> {
        let attributes = document.attributes(Section::Desired).into_iter();
        let wanted = attributes.filter_map(|attribute| {
            let resolved = document.resolve(Section::Desired, &attribute, now_ms);
            let write = resolved.winner?;
            let is_acked = Ack::of(document, &attribute).is_some_and(|ack| ack.id == write.id);
            let is_wanted = !is_acked && !write.is_devices() && !write.v.is_null();
            let is_disputed = resolved.losers.iter().any(|(loser, _)| loser.v != write.v);
            is_wanted.then_some(Unacked {
                attribute,
                write,
                is_disputed,
            })
        });
        wanted.collect()
    }

    /// What is to be done about it.
    pub(super) fn fate(&self, document: &Document, about: &Circumstances<'_>) -> Fate {
        let Circumstances {
            feature, now_ms, ..
        } = *about;
        let write = &self.write;
        if now_ms < PLAUSIBLE_FROM_MS {
            return Fate::refuse("clock_not_set");
        }
        let policy = document.policy(Section::Desired, &self.attribute);
        let is_unsafe = policy.is_live(&write.v)
            || feature
                .and_then(twin::safety)
                .is_some_and(|safety| safety.is_live && safety.order.first() != Some(&write.v));
        let is_deed = feature.is_some_and(|feature| twin::is_deed(feature, &write.v));
        if about.is_left && (is_unsafe || is_deed) {
            return Fate::refuse("box_restarted");
        }
        if is_unsafe && self.is_disputed {
            return Fate::refuse("conflict");
        }
        if is_unsafe && write.at.is_ahead(now_ms) {
            return Fate::refuse("clock_ahead");
        }
        let age_ms = now_ms.saturating_sub(write.at.ms);
        let is_too_late = age_ms > LIVE_TTL_MAX.as_millis() as i64;
        if is_too_late && (is_unsafe || (is_deed && write.ttl_s.is_none())) {
            return Fate::End {
                status: CommandStatus::TimedOut,
                reason: None,
                instead: None,
            };
        }
        if about.is_left && !about.is_there {
            return Fate::Wait;
        }
        let reported = document
            .scalar(Section::Reported, &self.attribute)
            .map(|scalar| scalar_value(&scalar));
        // Whoever wrote elsewhere did not know what somebody has just done at the device.
        let is_turned = feature.zip(about.pending).is_some_and(|(feature, now)| {
            let was = reported.as_ref();
            was.is_none_or(|was| twin::is_change(feature, was, now))
        });
        if is_turned && !about.is_own {
            return Fate::Wait;
        }
        let is = feature
            .zip(reported.as_ref())
            .and_then(|(feature, reported)| twin::wanted(feature, reported));
        let is_so = feature
            .zip(is.as_ref())
            .is_some_and(|(feature, is)| !twin::is_change(feature, is, &write.v));
        if write.late && !is_so && reported.is_some() {
            return Fate::End {
                status: CommandStatus::Refused,
                reason: Some("changed_at_device"),
                instead: is,
            };
        }
        Fate::Send
    }
}

impl Fate {
    fn refuse(reason: &'static str) -> Fate {
        Fate::End {
            status: CommandStatus::Refused,
            reason: Some(reason),
            instead: None,
        }
    }
}

/// The writes that wait in these documents, each with its device.
pub(super) fn left<'a>(
    documents: impl Iterator<Item = &'a Document>,
    now_ms: i64,
) -> HashMap<String, String> {
    let of_devices =
        documents.filter_map(|document| Some((document.key().id.as_device()?, document)));
    let unacked = of_devices.flat_map(|(device, document)| {
        let unacked = Unacked::of(document, now_ms).into_iter();
        unacked.map(|unacked| (unacked.write.id, device.to_owned()))
    });
    unacked.collect()
}
