use std::{collections::HashMap, time::Duration};

use poem_openapi::{
    ApiResponse, OpenApi, Tags,
    param::{Header, Path, Query},
    payload::Json,
    types::Any,
};
use serde_json::Value;
use tarn_common::twin::{
    document::{Document, DocumentId, Section},
    edit::Edit,
};

use crate::{
    access::By,
    devices::{
        Access, Command, Commands, DeviceError, DeviceUpdate, Etag, KnownDevice, SetRequest,
        check_heads, duration, heads, seen,
        twin::{ConflictResolution, Conflicts, TwinHistory, changes, conflicts},
    },
    problem::Failure,
};

/// Values that one request sets at most.
const VALUES_MAX: usize = 100;
/// The longest that a request waits for a command's outcome: less than any request may take.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(50);
/// The longest that a device may take to confirm a command.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// The longest that a wanted value may wait to be carried out.
const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long a live request waits for its outcome where nobody says it.
const CALL_WAIT: Duration = Duration::from_secs(10);
/// Changes of a twin that are told where nobody says how many.
const HISTORY_DEFAULT: u32 = 100;

#[derive(Tags)]
enum Tag {
    /// Devices of a home, and what is done to them.
    Devices,
}

#[derive(ApiResponse)]
enum DeviceOk {
    /// The device.
    #[oai(status = 200)]
    Device(
        Json<KnownDevice>,
        /// The twin as it is now, for `If-Match`; absent without a twin.
        #[oai(header = "ETag")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum SetOk {
    /// Every command has come to its end.
    #[oai(status = 200)]
    Done(Json<Commands>),
    /// Some commands wait for their outcome. They are stored, and are carried out when the box is there.
    #[oai(status = 202)]
    Waiting(
        Json<Commands>,
        /// Where the first command is followed.
        #[oai(header = "Location")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum CommandsOk {
    /// The commands.
    #[oai(status = 200)]
    Commands(Json<Commands>),
}

#[derive(ApiResponse)]
enum CommandOk {
    /// The command.
    #[oai(status = 200)]
    Command(Json<Command>),
}

#[derive(ApiResponse)]
enum ConflictsOk {
    /// The conflicts.
    #[oai(status = 200)]
    Conflicts(Json<Conflicts>),
}

#[derive(ApiResponse)]
enum HistoryOk {
    /// The changes.
    #[oai(status = 200)]
    History(Json<TwinHistory>),
}

/// Operations on the twins of devices.
#[derive(Clone)]
pub(crate) struct TwinsApi {
    pub(crate) access: Access,
}

#[OpenApi]
impl TwinsApi {
    /// Name a device
    ///
    /// Sets its name and its room, for everyone. Its id stays.
    #[oai(
        path = "/v1/homes/:home/devices/:device",
        method = "patch",
        operation_id = "updateDevice",
        tag = "Tag::Devices"
    )]
    async fn update_device(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// Only if the twin is still what this `ETag` of it says.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        update: Json<DeviceUpdate>,
    ) -> Result<DeviceOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let seen = seen(if_match.0.as_deref())?;
        let place = self.access.twins(&home).await?;
        let id = self.access.device(&place, &device).await?.device;
        let document = DocumentId::device(&id);
        let Json(DeviceUpdate { name, room }) = update;
        let said = [("name", name), ("room", room)];
        let said: Vec<(&str, Value)> = said
            .into_iter()
            .filter_map(|(attribute, text)| Some((attribute, text?)))
            // Without a name of ours the one that it announced shows.
            .map(|(attribute, text)| match text.is_empty() {
                true => (attribute, Value::Null),
                false => (attribute, text.into()),
            })
            .collect();
        let decide = |replica: &tarn_common::twin::replica::Replica| {
            let is = replica.document(&document);
            check_heads(is, seen.as_deref())?;
            let news = said.into_iter().filter(|(attribute, value)| {
                is_news(is, Section::Meta, attribute, value, place.now_ms)
            });
            let edits = news.map(|(attribute, value)| {
                Edit::new(document.clone(), Section::Meta, attribute, value)
            });
            Ok::<_, DeviceError>(edits.collect())
        };
        place.twins.edit_if(decide, &by).await?;
        let shown = self.access.device(&place, &id).await?;
        let etag = Etag::of(&place.twins, &id);
        Ok(DeviceOk::Device(Json(shown), etag))
    }

    /// Set what is wanted of a device
    ///
    /// A JSON object of metrics and values, such as `{"state": true, "brightness": 120}`. Each becomes a command that is
    /// stored, and carried out when the device's box is there. It is confirmed when the device tells that state, or times
    /// out. What would be unsafe later, like to unlock or to open, lives 30 s at most; `POST …/call` is for it.
    #[oai(
        path = "/v1/homes/:home/devices/:device/desired",
        method = "patch",
        operation_id = "setDesired",
        tag = "Tag::Devices"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn set_desired(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// How long it may still be carried out, like `10m`; for ever where it is not said.
        ttl: Query<Option<String>>,
        /// How long the device may take, like `10s`; what is usual for its kind where it is not said.
        timeout: Query<Option<String>>,
        /// How long to wait for the outcome, like `5s`; not at all where it is not said.
        wait: Query<Option<String>>,
        /// `wait=5` says the same in seconds (RFC 7240), and what is more than the most is the most.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// Only if the twin is still what this `ETag` of it says.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        values: Json<HashMap<String, Any<Value>>>,
    ) -> Result<SetOk, Failure> {
        let request = SetRequest {
            values: sorted(values.0)?,
            by: self.access.author(&caller, author.0)?,
            ttl: duration("ttl", ttl.0.as_deref(), TTL_MAX)?,
            timeout: duration("timeout", timeout.0.as_deref(), TIMEOUT_MAX)?,
            if_match: seen(if_match.0.as_deref())?,
        };
        let wait = wait_of(wait.0.as_deref(), prefer.0.as_deref())?.unwrap_or_default();
        let (home, devices) = self.access.devices(&home)?;
        let commands = devices.set(&home, &device, request, wait).await?;
        Ok(answer(home.as_str(), commands))
    }

    /// Have something done now, or not at all
    ///
    /// A live request with an answer, for what must not come late, like to unlock or to open: a JSON object of metrics and
    /// values. Where the device's box is away it fails with a problem, and nothing is done later.
    #[oai(
        path = "/v1/homes/:home/devices/:device/call",
        method = "post",
        operation_id = "callDevice",
        tag = "Tag::Devices"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn call_device(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// How long the device may take, like `10s`; what is usual for its kind where it is not said.
        timeout: Query<Option<String>>,
        /// How long to wait for the outcome, like `5s`; 10 s where it is not said.
        wait: Query<Option<String>>,
        /// `wait=5` says the same in seconds (RFC 7240), and what is more than the most is the most.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        values: Json<HashMap<String, Any<Value>>>,
    ) -> Result<SetOk, Failure> {
        let request = SetRequest {
            values: sorted(values.0)?,
            by: self.access.author(&caller, author.0)?,
            timeout: duration("timeout", timeout.0.as_deref(), TIMEOUT_MAX)?,
            ..SetRequest::default()
        };
        let wait = wait_of(wait.0.as_deref(), prefer.0.as_deref())?.unwrap_or(CALL_WAIT);
        let (home, devices) = self.access.devices(&home)?;
        let commands = devices.call(&home, &device, request, wait).await?;
        Ok(answer(home.as_str(), commands))
    }

    /// List a device's commands
    ///
    /// Those that are remembered, latest first.
    #[oai(
        path = "/v1/homes/:home/devices/:device/commands",
        method = "get",
        operation_id = "listCommands",
        tag = "Tag::Devices"
    )]
    async fn list_commands(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
    ) -> Result<CommandsOk, Failure> {
        let (home, devices) = self.access.devices(&home)?;
        let commands = devices.commands(&home, &device).await;
        Ok(CommandsOk::Commands(Json(Commands { commands })))
    }

    /// Follow a command
    ///
    /// How far it is, after waiting for its outcome if asked to.
    #[oai(
        path = "/v1/homes/:home/commands/:command",
        method = "get",
        operation_id = "getCommand",
        tag = "Tag::Devices"
    )]
    async fn get_command(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the command.
        #[oai(validator(max_length = 64))]
        command: Path<String>,
        /// How long to wait for the outcome, like `5s`; not at all where it is not said.
        wait: Query<Option<String>>,
        /// `wait=5` says the same in seconds (RFC 7240), and what is more than the most is the most.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<CommandOk, Failure> {
        let (home, devices) = self.access.devices(&home)?;
        let wait = wait_of(wait.0.as_deref(), prefer.0.as_deref())?.unwrap_or_default();
        match devices.command(&home, &command, wait).await {
            Some(command) => Ok(CommandOk::Command(Json(command))),
            None => Err(Failure::not_found(format!(
                "there is no command {:?}, or it is too long ago",
                command.0
            ))),
        }
    }

    /// List a device's conflicts
    ///
    /// Metrics of which several values were wanted at once, by people who did not know of each other: which one holds, which
    /// do not, who wanted each, when, and why it is so. It stays until somebody says anew what is wanted.
    #[oai(
        path = "/v1/homes/:home/devices/:device/conflicts",
        method = "get",
        operation_id = "listConflicts",
        tag = "Tag::Devices"
    )]
    async fn list_conflicts(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
    ) -> Result<ConflictsOk, Failure> {
        let conflicts = self
            .looked(&home, &device, conflicts)
            .await?
            .unwrap_or_default();
        Ok(ConflictsOk::Conflicts(Json(Conflicts { conflicts })))
    }

    /// Settle a conflict
    ///
    /// Says anew what is wanted, in the place of all values that stand beside each other. Answered as `PATCH …/desired` is.
    #[oai(
        path = "/v1/homes/:home/devices/:device/conflicts/:metric/resolve",
        method = "post",
        operation_id = "resolveConflict",
        tag = "Tag::Devices"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn resolve_conflict(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// The metric.
        #[oai(name = "metric", validator(max_length = 1024))]
        attribute: Path<String>,
        /// How long to wait for the outcome, like `5s`; not at all where it is not said.
        wait: Query<Option<String>>,
        /// `wait=5` says the same in seconds (RFC 7240), and what is more than the most is the most.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// Only if the twin is still what this `ETag` of it says.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        resolution: Json<ConflictResolution>,
    ) -> Result<SetOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let wait = wait_of(wait.0.as_deref(), prefer.0.as_deref())?.unwrap_or_default();
        let seen = seen(if_match.0.as_deref())?;
        let standing = |document: &Document, now_ms: i64| {
            let resolved = document.resolve(Section::Desired, &attribute, now_ms);
            resolved
                .is_conflict()
                .then(|| (resolved.winner, heads(Some(document))))
        };
        let standing = self.looked(&home, &device, standing).await?.flatten();
        let Some((winner, now)) = standing else {
            return Err(Failure::not_found(format!(
                "{:?} has no conflict; GET …/conflicts lists those that are",
                attribute.0
            )));
        };
        let value = match (resolution.0.value, winner) {
            (Some(Any(value)), _) => value,
            (None, Some(winner)) => winner.v,
            (None, None) => {
                return Err(Failure::bad_request(
                    "the time of all values has passed: say which value it shall be",
                ));
            }
        };
        let request = SetRequest {
            values: vec![(attribute.0, value)],
            by,
            // What is settled is what was looked at, and nothing that came since.
            if_match: seen.or(Some(now)),
            ..SetRequest::default()
        };
        let (home, devices) = self.access.devices(&home)?;
        let commands = devices.set(&home, &device, request, wait).await?;
        Ok(answer(home.as_str(), commands))
    }

    /// Read a twin's history
    ///
    /// Who changed what of it and when, latest first, as far back as the document remembers.
    #[oai(
        path = "/v1/homes/:home/devices/:device/history",
        method = "get",
        operation_id = "listHistory",
        tag = "Tag::Devices"
    )]
    async fn list_history(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// Changes at most; 100 where it is not said.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<u32>>,
    ) -> Result<HistoryOk, Failure> {
        let limit = limit.0.unwrap_or(HISTORY_DEFAULT) as usize;
        let look = |document: &Document, _| changes(document, limit);
        let changes = self.looked(&home, &device, look).await?.unwrap_or_default();
        Ok(HistoryOk::History(Json(TwinHistory { changes })))
    }
}

impl TwinsApi {
    /// Look at the twin of a device that is there; none where it has no twin.
    async fn looked<T>(
        &self,
        home: &str,
        device: &str,
        look: impl FnOnce(&Document, i64) -> T,
    ) -> Result<Option<T>, Failure> {
        let place = self.access.twins(home).await?;
        let id = self.access.device(&place, device).await?.device;
        let looked = place.twins.read(|replica| {
            let document = replica.document(&DocumentId::device(&id));
            document.map(|document| look(document, place.now_ms))
        });
        Ok(looked)
    }
}

/// Whether a write says something: another value than holds, or the same where others stand beside it.
pub(crate) fn is_news(
    document: Option<&Document>,
    section: Section,
    attribute: &str,
    value: &Value,
    now_ms: i64,
) -> bool {
    let is = document.and_then(|document| document.value(section, attribute, now_ms));
    let count = document.map_or(0, |document| document.writes(section, attribute).len());
    is.unwrap_or_default() != *value || count > 1
}

/// Values in the order of their metrics.
fn sorted(values: HashMap<String, Any<Value>>) -> Result<Vec<(String, Value)>, Failure> {
    if values.is_empty() || values.len() > VALUES_MAX {
        let detail = format!("name 1 to {VALUES_MAX} metrics and their values");
        return Err(Failure::bad_request(detail));
    }
    let mut values: Vec<(String, Value)> = values.into_iter().map(|(k, Any(v))| (k, v)).collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(values)
}

/// How long to wait for an outcome: what the query says, else what is preferred.
fn wait_of(query: Option<&str>, prefer: Option<&str>) -> Result<Option<Duration>, Failure> {
    let wait = duration("wait", query, WAIT_MAX)?;
    Ok(wait.or_else(|| preferred_wait(prefer?)))
}

/// The seconds of `wait` among the preferences of a `Prefer` header. What makes no sense there is no preference.
fn preferred_wait(prefer: &str) -> Option<Duration> {
    let mut preferences = prefer.split([',', ';']).filter_map(|p| p.split_once('='));
    let (_, seconds) = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds = seconds.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

fn answer(home: &str, commands: Vec<Command>) -> SetOk {
    let is_done = commands.iter().all(|command| command.done.is_some());
    let first = commands.first().map(|first| first.command.clone());
    let commands = Json(Commands { commands });
    if is_done {
        return SetOk::Done(commands);
    }
    let location = first.map(|id| format!("/v1/homes/{home}/commands/{id}"));
    SetOk::Waiting(commands, location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_preferred_in_seconds() {
        let seconds = |prefer| preferred_wait(prefer).map(|wait| wait.as_secs());
        for (prefer, is) in [
            ("wait=5", Some(5)),
            ("respond-async, Wait = \"7\"", Some(7)),
            ("wait=100000", Some(WAIT_MAX.as_secs())),
            ("wait", None),
            ("wait=soon", None),
            ("return=minimal", None),
        ] {
            assert_eq!(seconds(prefer), is, "{prefer}");
        }
        assert_eq!(
            wait_of(Some("1s"), Some("wait=5")).ok().flatten(),
            Some(Duration::from_secs(1))
        );
    }
}
