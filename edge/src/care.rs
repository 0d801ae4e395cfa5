//! Faults of devices, found in what each cut decodes anyway, and told as alarms.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tarn_common::{
    clock::Clock,
    ids::{HomeId, Seq},
    rows::Rows,
    twin::home::HomeTwins,
};
use tarn_openapi::{
    DeviceService, KnownDevice, announced,
    automation::{self, AlarmChange},
    names_of,
};
use tarn_rules::{
    care::{Care, CareChange, FaultState, LOOK_MS, STEP_MS_MAX, SeriesInfo},
    input::Input,
    rule::AlarmClass,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{devices::Devices, kept_file::KeptFile, stream::as_reading};

/// Who raises and clears these alarms.
const BY: &str = "care";
/// Cuts that wait to be looked at; those beyond it are left out and counted.
const WAITING_MAX: usize = 2;

/// What a cut has decoded.
#[derive(Debug)]
pub struct Heard {
    /// The readings.
    pub rows: Rows,
    /// The last record of the cut.
    pub last: Seq,
}

/// Where cuts hand on what they have decoded.
#[derive(Debug, Clone)]
pub struct CareInlet {
    cuts: mpsc::Sender<Heard>,
    left_out: Counter,
}

impl CareInlet {
    /// Hand it on, unless too much waits: a cut waits for nobody.
    pub fn hand_on(&self, heard: Heard) {
        if self.cuts.try_send(heard).is_err() {
            self.left_out.inc();
        }
    }
}

/// Looks after devices.
pub struct CareStage {
    home: HomeId,
    devices: Arc<Devices>,
    known: Arc<dyn DeviceService>,
    twins: Arc<HomeTwins>,
    clock: Arc<dyn Clock>,
    file: KeptFile,
    cuts: mpsc::Receiver<Heard>,
    faults: Gauge,
}

impl CareStage {
    /// One that looks after the devices of a home, and where cuts hand on what it looks at. `file` has what is known over restarts.
    #[must_use]
    pub fn new(
        (home, file): (HomeId, PathBuf),
        (devices, known): (Arc<Devices>, Arc<dyn DeviceService>),
        twins: Arc<HomeTwins>,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> (CareStage, CareInlet) {
        let (sender, cuts) = mpsc::channel(WAITING_MAX);
        let (left_out, faults) = (Counter::default(), Gauge::default());
        registry.register(
            "tarn_care_cuts_left_out",
            "Cuts that were not looked through for faults of devices, because others waited",
            left_out.clone(),
        );
        registry.register(
            "tarn_care_faults",
            "Faults of devices that stand",
            faults.clone(),
        );
        let inlet = CareInlet {
            cuts: sender,
            left_out,
        };
        let stage = CareStage {
            home,
            devices,
            known,
            twins,
            clock,
            file: KeptFile::new(file, "what is known of devices' habits"),
            cuts,
            faults,
        };
        (stage, inlet)
    }

    /// Look through cuts until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut care = self.begin();
        // Who is there is told anew after a start.
        let mut online: BTreeMap<Arc<str>, bool> = BTreeMap::new();
        let mut last = Seq::ZERO;
        let mut now_ms = None;
        while let Some(Some(heard)) = stop.run_until_cancelled(self.cuts.recv()).await {
            if heard.last <= last {
                // A cut that is done again.
                continue;
            }
            last = heard.last;
            let at_ms = self.clock.now_ms();
            let known = announced(&*self.known, &self.home, &self.twins, at_ms).await;
            let names = names_of(&known);
            let devices = self.devices.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let mut told = describe(&mut care, &known);
                let before = now_ms;
                now_ms = hear(&mut care, &heard.rows, before, &mut told);
                let at_ms = now_ms.unwrap_or(at_ms);
                for (device, there) in devices.online() {
                    if online.insert(device.clone(), there) != Some(there) {
                        let (device, online) = (&*device, there);
                        told.extend(care.on(&Input::Online { device, online }, at_ms));
                    }
                }
                (care, online, now_ms, told)
            });
            let told;
            match looked.await {
                Ok(done) => (care, online, now_ms, told) = done,
                Err(error) => {
                    tracing::error!(%error, "looking after devices failed; it begins again");
                    (care, online, now_ms) = (self.begin(), BTreeMap::new(), None);
                    continue;
                }
            }
            for change in &told {
                let name = names.get(&change.device).unwrap_or(&change.device);
                self.tell(change, name).await;
            }
            self.faults
                .set(i64::try_from(care.faults().count()).unwrap_or(i64::MAX));
            self.file.put(&care.snapshot()).await;
        }
    }

    fn begin(&self) -> Care {
        Care::restore(self.file.read_or_default())
    }

    async fn tell(&self, change: &CareChange, name: &str) {
        let alarm = change.alarm_id();
        let now_ms = self.clock.now_ms();
        let change = match change.state {
            FaultState::Began => AlarmChange::Raise {
                severity: change.severity,
                class: Some(AlarmClass::Device),
                message: format!("{name} {}", change.words),
            },
            FaultState::Ended => AlarmChange::Clear,
        };
        let told = automation::change_alarm(&self.twins, &alarm, &change, BY, now_ms);
        if let Err(error) = told.await {
            tracing::error!(alarm, %error, "a fault of a device cannot be told");
        }
    }
}

/// Say what is known of series, and which measure the same in one room.
fn describe(care: &mut Care, known: &[KnownDevice]) -> Vec<CareChange> {
    let mut told = Vec::new();
    let mut alike: BTreeMap<[&str; 3], Vec<(&str, &str)>> = BTreeMap::new();
    for device in known {
        for feature in &device.features {
            let info = SeriesInfo {
                class: feature.class.as_deref(),
                unit: feature.unit.as_deref(),
                state_class: feature.state_class.as_deref(),
                settable: feature.settable,
                min: feature.min,
                max: feature.max,
            };
            told.extend(care.describe(&device.device, &feature.metric, &info));
            if let (Some(room), Some(class), Some(unit)) =
                (&device.room, &feature.class, &feature.unit)
            {
                let series = (&*device.device, &*feature.metric);
                alike.entry([room, class, unit]).or_default().push(series);
            }
        }
    }
    let pairs = alike.values().flat_map(|series| {
        let next = series.iter().skip(1);
        series.iter().zip(next).map(|(one, other)| [*one, *other])
    });
    told.extend(care.set_neighbours(pairs));
    told
}

/// More than this without anything from any device is no silence of devices: the box was off, or its clock was set.
const PAUSE_MS: i64 = 6 * 3_600_000;

/// Tell what was measured, as it came; gives when that was last.
fn hear(
    care: &mut Care,
    rows: &Rows,
    before_ms: Option<i64>,
    told: &mut Vec<CareChange>,
) -> Option<i64> {
    let first_ms = rows.shown().next().map(|row| row.received);
    let goes_on = |before: &i64| first_ms.is_some_and(|first| first - before <= PAUSE_MS);
    let mut now_ms = before_ms.filter(goes_on);
    for row in rows.shown() {
        let at_ms = row.received;
        // While nothing came, time went on all the same.
        while let Some(now) = now_ms.filter(|now| at_ms - now > STEP_MS_MAX) {
            told.extend(care.tick(now + LOOK_MS));
            now_ms = Some(now + LOOK_MS);
        }
        now_ms = Some(now_ms.map_or(at_ms, |now| now.max(at_ms)));
        let reading = as_reading(&row, false);
        told.extend(care.on(&Input::Reading(reading), at_ms));
    }
    now_ms.or(before_ms)
}
