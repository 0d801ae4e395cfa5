use std::cmp::Reverse;

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};

use crate::{
    access::By,
    automation::{self, AlarmChange, AlarmRecord},
    devices::{Access, DeviceError},
    problem::Failure,
    rules_api::Tag,
    types::moment,
};

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
    /// What kind of thing is wrong: `smoke`, `gas`, `water`, `intrusion`, `device`, `health`, `energy` or `climate`; null
    /// where it is none of these.
    class: Option<String>,
    /// What is wrong.
    message: String,
    /// When it was raised, RFC 3339 UTC.
    raised: String,
    /// When its state last changed, RFC 3339 UTC.
    changed: String,
    /// Who changed it last; `rule:` and an id for a rule.
    by: String,
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

/// The alarms of homes.
#[derive(Clone, Default)]
pub(crate) struct AlarmsApi {
    pub(crate) access: Access,
}

#[OpenApi]
impl AlarmsApi {
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
        alarms.sort_by_key(|(_, alarm)| (alarm.state, Reverse(alarm.severity)));
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
}

impl Alarm {
    fn of(id: &str, alarm: &AlarmRecord) -> Alarm {
        Alarm {
            alarm: id.to_owned(),
            state: alarm.state.to_string(),
            severity: alarm.severity.to_string(),
            class: alarm.class.map(|class| class.to_string()),
            message: alarm.message.clone(),
            raised: moment(alarm.raised_ms),
            changed: moment(alarm.changed_ms),
            by: alarm.by.clone(),
        }
    }
}
