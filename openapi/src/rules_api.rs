/// What rules did, and would have done.
mod past;
/// The shapes of rules.
mod shapes;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Header, Path},
    payload::Json,
    types::ToJSON,
};
use tarn_common::{query::when, twin::document::Section};
use tarn_rules::{
    Place as Locality,
    check::{self, Known, KnownMetric},
    rule::Rule as Definition,
};

use self::{
    past::{BacktestRequest, RuleFirings},
    shapes::Rule,
};
use crate::{
    access::By,
    api::{Api, merged},
    automation::{self, AlarmChange, AlarmRecord},
    devices::{Access, DeviceError, Place},
    homes_api::{put, take_away},
    problem::Failure,
    types::moment,
};

/// Characters of the id of a rule, or the name of a mode.
const ID_MAX: usize = 48;

#[derive(Tags)]
enum Tag {
    /// What a home does by itself, and what it warns of.
    Rules,
}

/// Rules of a home.
#[derive(Debug, Object)]
pub(crate) struct RuleList {
    /// By id.
    rules: Vec<StoredRule>,
}

/// A rule of a home.
#[derive(Debug, Object)]
pub(crate) struct StoredRule {
    /// Its id.
    rule: String,
    /// What it says.
    definition: Rule,
}

/// Alarms of a home.
#[derive(Debug, Object)]
pub(crate) struct AlarmList {
    /// Those that stand first, the worst first; then those that were cleared.
    alarms: Vec<Alarm>,
}

/// An alarm.
#[derive(Debug, Object)]
pub(crate) struct Alarm {
    /// Its id.
    alarm: String,
    /// `raised`, `acknowledged` or `cleared`.
    state: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    /// What is wrong.
    message: String,
    /// When it was raised, RFC 3339 UTC.
    raised: String,
    /// When its state last changed, RFC 3339 UTC.
    changed: String,
    /// Who changed it last; `rule:` and an id for a rule.
    by: String,
}

/// The mode of a home.
#[derive(Debug, Object)]
pub(crate) struct Mode {
    /// Its name, like `home`, `away`, `night` or `holiday`.
    #[oai(validator(min_length = 1, max_length = 48, pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    mode: String,
}

#[derive(ApiResponse)]
enum RulesOk {
    /// The rules.
    #[oai(status = 200)]
    Rules(Json<RuleList>),
}

#[derive(ApiResponse)]
enum RuleOk {
    /// The rule.
    #[oai(status = 200)]
    Rule(Json<StoredRule>),
}

#[derive(ApiResponse)]
enum FiringsOk {
    /// What it would have done.
    #[oai(status = 200)]
    Firings(Json<RuleFirings>),
}

#[derive(ApiResponse)]
enum Gone {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum AlarmsOk {
    /// The alarms.
    #[oai(status = 200)]
    Alarms(Json<AlarmList>),
}

#[derive(ApiResponse)]
enum AlarmOk {
    /// The alarm as it is now.
    #[oai(status = 200)]
    Alarm(Json<Alarm>),
}

#[derive(ApiResponse)]
enum ModeOk {
    /// The mode.
    #[oai(status = 200)]
    Mode(Json<Mode>),
}

/// The rules and alarms of homes. A box runs them.
#[derive(Clone, Default)]
pub(crate) struct RulesApi {
    pub(crate) access: Access,
    pub(crate) api: Api,
}

#[OpenApi]
impl RulesApi {
    /// List the rules of a home
    ///
    /// Its box runs them, with the line cut too.
    #[oai(
        path = "/v1/homes/:home/rules",
        method = "get",
        operation_id = "listRules",
        tag = "Tag::Rules"
    )]
    async fn list_rules(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<RulesOk, Failure> {
        let place = self.access.twins(&home).await?;
        let stored = place
            .twins
            .read(|replica| automation::stored_rules(replica, place.now_ms));
        let rules = stored.into_iter().filter_map(|(rule, value)| {
            let definition = Rule::of(&value)?;
            Some(StoredRule { rule, definition })
        });
        Ok(RulesOk::Rules(Json(RuleList {
            rules: rules.collect(),
        })))
    }

    /// Look at a rule
    ///
    /// What it says.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "get",
        operation_id = "getRule",
        tag = "Tag::Rules"
    )]
    async fn get_rule(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
    ) -> Result<RuleOk, Failure> {
        let place = self.access.twins(&home).await?;
        let stored = place
            .twins
            .read(|replica| automation::stored_rules(replica, place.now_ms));
        match stored.get(&rule.0).and_then(Rule::of) {
            Some(definition) => Ok(RuleOk::Rule(Json(StoredRule {
                rule: rule.0,
                definition,
            }))),
            None => Err(no_rule(&rule)),
        }
    }

    /// Set a rule
    ///
    /// Makes it, or puts it in the place of the one that was. It is checked before: expressions and their types, devices and
    /// metrics that nobody knows, loops between rules; the detail of the problem has each fault.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "put",
        operation_id = "putRule",
        tag = "Tag::Rules"
    )]
    async fn put_rule(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule: small letters, digits, `-` and `_`.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        definition: Json<Rule>,
    ) -> Result<RuleOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        check_id(&rule)?;
        let place = self.access.twins(&home).await?;
        let wanted = definition.definition()?;
        self.check(&place, &rule, &wanted).await?;
        let value = definition.0.to_json().unwrap_or_default();
        put(&place, Section::Rules, &rule, value, &by).await?;
        Ok(RuleOk::Rule(Json(StoredRule {
            rule: rule.0,
            definition: definition.0,
        })))
    }

    /// Remove a rule
    ///
    /// It fires no more.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "delete",
        operation_id = "deleteRule",
        tag = "Tag::Rules"
    )]
    async fn delete_rule(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<Gone, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        take_away(&place, Section::Rules, &rule, &by).await?;
        Ok(Gone::Done)
    }

    /// Try a rule on what was
    ///
    /// When it would have fired, over readings that the home has stored, and with which values. Nothing is carried out.
    /// Modes, alarms and who was there are not known of the past.
    #[oai(
        path = "/v1/homes/:home/rules/:rule/backtest",
        method = "post",
        operation_id = "backtestRule",
        tag = "Tag::Rules"
    )]
    async fn backtest_rule(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule; one that is not stored needs a definition in the body.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        request: Json<BacktestRequest>,
    ) -> Result<FiringsOk, Failure> {
        check_id(&rule)?;
        let place = self.access.twins(&home).await?;
        let definition = match &request.definition {
            Some(definition) => definition.definition()?,
            None => {
                let mut rules = place
                    .twins
                    .read(|replica| automation::rules(replica, place.now_ms));
                rules
                    .remove(rule.0.as_str())
                    .ok_or_else(|| no_rule(&rule))?
            }
        };
        self.check(&place, &rule, &definition).await?;
        let from = when::moment("from", &request.from, place.now_ms)?;
        let to = match &request.to {
            Some(to) => when::moment("to", to, place.now_ms)?,
            None => place.now_ms,
        };
        let service = self.access.service()?;
        let here = locality();
        let tested = past::run(&**service, &place.home, &rule, definition, here, (from, to));
        Ok(FiringsOk::Firings(Json(tested.await?)))
    }

    /// List the alarms of a home
    ///
    /// Each as it is now. What became of it is in the events of the home.
    #[oai(
        path = "/v1/homes/:home/alarms",
        method = "get",
        operation_id = "listAlarms",
        tag = "Tag::Rules"
    )]
    async fn list_alarms(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<AlarmsOk, Failure> {
        let place = self.access.twins(&home).await?;
        let alarms = place
            .twins
            .read(|replica| automation::alarms(replica, place.now_ms));
        let mut alarms: Vec<(String, AlarmRecord)> = alarms.into_iter().collect();
        // A state is the lesser the more it stands.
        alarms.sort_by_key(|(_, alarm)| (alarm.state, std::cmp::Reverse(alarm.severity)));
        let alarms = alarms.iter().map(|(id, alarm)| Alarm::of(id, alarm));
        Ok(AlarmsOk::Alarms(Json(AlarmList {
            alarms: alarms.collect(),
        })))
    }

    /// Acknowledge an alarm
    ///
    /// Somebody has seen it. Doing it twice changes nothing.
    #[oai(
        path = "/v1/homes/:home/alarms/:alarm/acknowledge",
        method = "post",
        operation_id = "acknowledgeAlarm",
        tag = "Tag::Rules"
    )]
    async fn acknowledge_alarm(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the alarm.
        #[oai(validator(max_length = 128))]
        alarm: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<AlarmOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let change = AlarmChange::Acknowledge;
        let changed =
            automation::change_alarm(&place.twins, &alarm, &change, &by, place.now_ms).await;
        match changed.map_err(DeviceError::from)? {
            Some(record) => Ok(AlarmOk::Alarm(Json(Alarm::of(&alarm, &record)))),
            None => Err(Failure::not_found(format!(
                "there is no alarm {:?}; GET …/alarms lists those that are",
                alarm.0
            ))),
        }
    }

    /// Read the mode of a home
    ///
    /// Rules go by it.
    #[oai(
        path = "/v1/homes/:home/mode",
        method = "get",
        operation_id = "getMode",
        tag = "Tag::Rules"
    )]
    async fn get_mode(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<ModeOk, Failure> {
        let place = self.access.twins(&home).await?;
        let mode = place
            .twins
            .read(|replica| automation::mode(replica, place.now_ms));
        Ok(ModeOk::Mode(Json(Mode { mode })))
    }

    /// Put a home into a mode
    ///
    /// Any name is a mode: rules give it its meaning.
    #[oai(
        path = "/v1/homes/:home/mode",
        method = "put",
        operation_id = "setMode",
        tag = "Tag::Rules"
    )]
    async fn set_mode(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        mode: Json<Mode>,
    ) -> Result<ModeOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let set = automation::set_mode(&place.twins, &mode.mode, &by).await;
        set.map_err(DeviceError::from)?;
        Ok(ModeOk::Mode(mode))
    }
}

impl RulesApi {
    /// Hold a rule against what is known of the home.
    async fn check(&self, place: &Place, id: &str, rule: &Definition) -> Result<(), Failure> {
        let known = self.known_of(place).await?;
        let rules = place
            .twins
            .read(|replica| automation::rules(replica, place.now_ms));
        let checked = check::check(&rules, &id.into(), rule, &known);
        checked.map_err(|faults| {
            let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Failure::bad_request(words.join("; "))
        })
    }

    /// The home's devices with what they have measured, and what can be set on them.
    async fn known_of(&self, place: &Place) -> Result<Known, Failure> {
        let announced = self.api.announced(&place.home, &place.devices).await?;
        let summaries = self.api.summaries(&place.home).await?.devices;
        let mut devices: BTreeMap<String, BTreeMap<String, KnownMetric>> = BTreeMap::new();
        for (id, device) in merged(summaries, &announced) {
            let metrics = device.metrics.keys();
            let measured = metrics.map(|name| (name.to_string(), KnownMetric { settable: false }));
            devices.entry(id).or_default().extend(measured);
        }
        for device in announced {
            let features = device.features.into_iter();
            let features = features.map(|f| {
                let settable = f.settable;
                (f.metric, KnownMetric { settable })
            });
            devices.entry(device.device).or_default().extend(features);
        }
        Ok(Known {
            devices,
            scenes: BTreeMap::new(),
            place: locality(),
        })
    }
}

/// Where a home is, as far as it matters for checks.
fn locality() -> Locality {
    Locality {
        zone: TimeZone::UTC,
        coordinates: None,
    }
}

impl Alarm {
    fn of(id: &str, alarm: &AlarmRecord) -> Alarm {
        Alarm {
            alarm: id.to_owned(),
            state: alarm.state.to_string(),
            severity: alarm.severity.to_string(),
            message: alarm.message.clone(),
            raised: moment(alarm.raised_ms),
            changed: moment(alarm.changed_ms),
            by: alarm.by.clone(),
        }
    }
}

fn no_rule(id: &str) -> Failure {
    Failure::not_found(format!(
        "there is no rule {id:?}; GET …/rules lists those that are"
    ))
}

fn check_id(id: &str) -> Result<(), Failure> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "rule: {id:?} is no id; use 1 to {ID_MAX} small letters, digits, - and _"
    )))
}
