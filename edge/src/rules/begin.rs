use std::{collections::BTreeMap, io, sync::Arc, time::Instant};

use tarn_broker::log::PublishLog;
use tarn_common::ids::Seq;
use tarn_openapi::automation::{AlarmRecord, Started};
use tarn_rules::{engine::Engine, firing::Firing, input::Input, rule::Whereabouts, stats::Stats};

use super::{
    RuleStage, Running,
    look::Seen,
    noted::Noted,
    settings::{self, Settings},
    state::Kept,
};
use crate::kept_file::KeptFile;

/// What runs, when it begins, with what was told and done before.
struct Begun {
    running: Running,
    alarms: BTreeMap<String, AlarmRecord>,
    starts: BTreeMap<String, Started>,
    underway: Vec<Firing>,
}

impl RuleStage {
    /// Go on from what was kept. Gives what was not carried out to its end, too.
    pub(super) async fn begin(self: Arc<Self>) -> Option<io::Result<(Running, Seen, Vec<Firing>)>> {
        let mut begun = match self.clone().on_thread(RuleStage::restore).await? {
            Ok(begun) => begun,
            Err(error) => return Some(Err(error)),
        };
        self.fill_windows(&mut begun.running).await;
        self.on_thread(|stage| stage.catch_up(begun)).await
    }

    /// The engine as it was kept.
    fn restore(&self) -> io::Result<Begun> {
        let file = KeptFile::new(self.file.clone(), "how far the rules are");
        let kept = file.read()?;
        let (_, cut_upto) = self.shelf.view();
        let version = settings::version(&self.twins);
        let now_ms = self.clock.now_ms();
        let settings = Settings::of(&self.twins, now_ms);
        // Rules that never ran have no past to catch up with.
        let is_awake = kept.is_some() && settings.want_journal();
        let Kept {
            mut state,
            latest,
            alarms,
            starts,
            asked_upto,
            underway,
        } = kept.unwrap_or_default();
        // What is cut and was not read before the stop is in the journal yet.
        let read_upto = state.upto.map_or(cut_upto, |upto| cut_upto.min(Seq(upto)));
        self.read_upto.send_replace(match is_awake {
            true => read_upto,
            false => Seq::MAX,
        });
        // What the document says now is what rules know of it.
        state.mode = Some(settings.mode.clone());
        let standing = settings.alarms.iter();
        state.alarms = standing
            .map(|(id, alarm)| (id.clone(), alarm.state))
            .collect();
        let presence = settings.presence.iter();
        state.presence = presence
            .map(|(member, record)| (member.clone(), record.is == Whereabouts::Home))
            .collect();
        // A rule that runs and was not kept was set since: what came before is not told to it.
        let rules = settings.rules.iter();
        let known: BTreeMap<_, _> = rules
            .filter(|(id, rule)| !rule.enabled || state.knows(id, rule))
            .map(|(id, rule)| (id.clone(), rule.clone()))
            .collect();
        let has_new_rules = known.len() < settings.rules.len();
        let mut engine = Engine::restore(settings.place.or(self.zone.clone()), state);
        engine.set_rules(&known, now_ms);
        for latest in &latest {
            engine.on(&Input::Reading(latest.as_reading()), now_ms);
        }
        let running = Running {
            engine,
            is_awake,
            known_upto: match is_awake {
                true => Seq::ZERO,
                false => *self.journal.durable().borrow(),
            },
            asked_upto: match is_awake {
                true => Seq(asked_upto),
                false => *self.journal.durable().borrow(),
            },
            stream: self.stream_after(read_upto),
            version,
            settings,
            file,
            kept_at: Instant::now(),
            has_new_rules,
            noted_upto: None,
            counted: Stats::default(),
        };
        Ok(Begun {
            running,
            alarms,
            starts,
            underway,
        })
    }

    /// Take in what is in no chunk yet: what came before the box stopped counts as it did then.
    fn catch_up(&self, begun: Begun) -> io::Result<(Running, Seen, Vec<Firing>)> {
        let Begun {
            mut running,
            alarms,
            starts,
            underway,
        } = begun;
        let now_ms = self.clock.now_ms();
        let mut seen = Seen::default();
        let mut noted = Noted::expecting(underway);
        if running.is_awake {
            self.read_journal(&mut running, now_ms, &mut seen, |event| noted.take(event))?;
        }
        seen.firings.extend(running.engine.tick(now_ms));
        if running.has_new_rules {
            running.engine.set_rules(&running.settings.rules, now_ms);
        }
        self.started(&starts, &running.settings, now_ms, &mut seen);
        self.count(&mut running);
        self.show_rules(&running.engine);
        // What the journal has was fired and told before.
        seen.firings
            .retain(|firing| !noted.firings.contains_key(&firing.id));
        let mut told = alarms;
        for (id, alarm) in &running.settings.alarms {
            if noted.has_alarm(id, alarm) {
                told.insert(id.clone(), alarm.clone());
            }
        }
        self.alarms.tell(&told, &running.settings.alarms);
        seen.is_called_silent = running.settings.stands(&self.silent);
        Ok((running, seen, noted.undone()))
    }

    /// Carry out what fired while the box was going down, or was not carried out to its end.
    pub(super) async fn go_on(&self, running: &mut Running, seen: Seen, undone: Vec<Firing>) {
        for firing in undone {
            tracing::info!(rule = %firing.rule, id = firing.id, "carrying out what was begun before the stop");
            self.act.carry_out(firing);
        }
        self.carry_out(running, seen).await;
    }
}
