use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId},
    query::Engine,
    twin::{
        document::{Document, DocumentId, Section},
        home::HomeTwins,
        replica::Replica,
    },
};
use tarn_link::{AnswerKind, AskKind};
use tarn_openapi::{
    BoxInfo, Command, DeviceError, DeviceService, KnownDevice, ParseFromJSON, SetRequest, Wanted,
    about, types::moment,
};

use crate::{
    downlink::{AskError, BoxSeen, Downlink},
    twins::CloudTwins,
};

/// How long a box may take over a call beyond what its device may.
const CALL_MARGIN: Duration = Duration::from_secs(2);
/// How long a device may take over a call, where whoever calls does not say.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The devices of all homes, by their twins; what is done to them is done by their boxes.
#[derive(Debug)]
pub(crate) struct CloudDevices {
    pub(crate) twins: Arc<CloudTwins>,
    pub(crate) downlink: Arc<Downlink>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl DeviceService for CloudDevices {
    async fn twins(&self, home: &HomeId) -> Result<Option<Arc<HomeTwins>>, DeviceError> {
        let twins = self.twins.home(home).await?;
        let is_known = twins.read(|replica| replica.documents().next().is_some())
            || !self.downlink.boxes(home).is_empty()
            || self
                .engine
                .homes()
                .await
                .is_ok_and(|homes| homes.iter().any(|known| known.home == *home));
        Ok(is_known.then_some(twins))
    }

    async fn known(&self, home: &HomeId) -> Vec<KnownDevice> {
        let twins = self.twins.home(home).await;
        let known = |replica: &Replica| replica.documents().filter_map(about::device).collect();
        twins.map(|twins| twins.read(known)).unwrap_or_default()
    }

    async fn device(&self, home: &HomeId, id: &str) -> Option<KnownDevice> {
        let twins = self.twins.home(home).await.ok()?;
        let (id, _) = self.ids(home, id).await;
        twins.read(|replica| {
            replica
                .document(&DocumentId::device(&id))
                .and_then(about::device)
        })
    }

    async fn ids(&self, home: &HomeId, id: &str) -> (String, Vec<String>) {
        let itself = (id.to_owned(), vec![id.to_owned()]);
        let Ok(twins) = self.twins.home(home).await else {
            return itself;
        };
        twins.read(|replica| {
            // The twin of one that was merged into another may still be there. Only lists of ids are looked into: this comes
            // before whatever is asked of a device.
            let is_merged = |document: &&Document| {
                document.key().id.as_device().is_some()
                    && about::aliases(document).iter().any(|alias| alias == id)
            };
            let own = || replica.document(&DocumentId::device(id));
            let Some(document) = replica.documents().find(is_merged).or_else(own) else {
                return itself;
            };
            let present = document.key().id.as_device().unwrap_or(id).to_owned();
            let ids = [vec![present.clone()], about::aliases(document)].concat();
            (present, ids)
        })
    }

    async fn merge(&self, _: &HomeId, _: &str, _: &str) -> Result<(), DeviceError> {
        Err(DeviceError::Bad("devices are merged at their box".into()))
    }

    async fn split(&self, _: &HomeId, _: &str, _: Vec<String>) -> Result<String, DeviceError> {
        Err(DeviceError::Bad("devices are split at their box".into()))
    }

    async fn set(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        let twins = self.twins.home(home).await?;
        let (id, _) = self.ids(home, id).await;
        let live = twins.read(|replica| self.check(replica, &id, &request.values))?;
        if let Some(metric) = live {
            let box_of = self.box_of(&twins, &id)?;
            if !self.is_online(home, box_of) {
                return Err(DeviceError::Away(format!(
                    "box {box_of} is away, and {metric} must not be set so when it comes back"
                )));
            }
        }
        self.wanted(&twins).set(&id, &request, wait).await
    }

    async fn call(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        let twins = self.twins.home(home).await?;
        let (id, _) = self.ids(home, id).await;
        twins.read(|replica| self.check(replica, &id, &request.values))?;
        let edge = self.box_of(&twins, &id)?;
        let timeout = request.timeout.unwrap_or(CALL_TIMEOUT);
        let within = wait.max(timeout) + CALL_MARGIN;
        let mut commands = Vec::new();
        for (metric, value) in request.values {
            let ask = AskKind::Call {
                device: id.clone(),
                metric,
                value,
                by: request.by.clone(),
                timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            };
            commands.extend(self.called(home, edge, ask, within).await?);
        }
        Ok(commands)
    }

    async fn commands(&self, home: &HomeId, id: &str) -> Vec<Command> {
        let (id, _) = self.ids(home, id).await;
        match self.twins.home(home).await {
            Ok(twins) => self.wanted(&twins).commands(&id),
            Err(_) => Vec::new(),
        }
    }

    async fn command(&self, home: &HomeId, id: &str, wait: Duration) -> Option<Command> {
        let twins = self.twins.home(home).await.ok()?;
        self.wanted(&twins).command(id, wait).await
    }

    async fn boxes(&self, home: &HomeId) -> Vec<BoxInfo> {
        self.downlink
            .boxes(home)
            .into_iter()
            .map(box_info)
            .collect()
    }

    async fn sync(
        &self,
        home: &HomeId,
        from: &str,
        body: &[u8],
    ) -> Result<Vec<Vec<u8>>, DeviceError> {
        Ok(self.twins.receive(home, from, body).await?)
    }
}

impl CloudDevices {
    fn wanted<'a>(&'a self, twins: &'a HomeTwins) -> Wanted<'a> {
        Wanted {
            twins,
            clock: self.clock.as_ref(),
        }
    }

    /// Check that a device has what is to be set. Gives a metric whose value is only for now, if there is one.
    fn check(
        &self,
        replica: &Replica,
        id: &str,
        values: &[(String, Value)],
    ) -> Result<Option<String>, DeviceError> {
        let document = replica.document(&DocumentId::device(id));
        let Some((document, device)) =
            document.and_then(|document| Some((document, about::device(document)?)))
        else {
            return Err(DeviceError::NotFound(format!(
                "there is no device {id:?} that announced itself"
            )));
        };
        let settable = || device.features.iter().filter(|feature| feature.settable);
        for (metric, _) in values {
            if settable().all(|feature| feature.metric != *metric) {
                let names: Vec<&str> = settable().map(|feature| feature.metric.as_str()).collect();
                let names = names.join(", ");
                return Err(DeviceError::Bad(format!(
                    "{metric:?} cannot be set on this device; it has {names}"
                )));
            }
        }
        let is_live =
            |metric: &str, value: &Value| document.policy(Section::Desired, metric).is_live(value);
        let live = values.iter().find(|(metric, value)| is_live(metric, value));
        Ok(live.map(|(metric, _)| metric.clone()))
    }

    fn box_of(&self, twins: &HomeTwins, id: &str) -> Result<EdgeId, DeviceError> {
        let owner =
            twins.read(|replica| replica.owner(&DocumentId::device(id), self.clock.now_ms()));
        let owner = owner.and_then(|owner| owner.parse().ok());
        owner.ok_or_else(|| DeviceError::Away(format!("no box has taken {id} yet")))
    }

    fn is_online(&self, home: &HomeId, edge: EdgeId) -> bool {
        let boxes = self.downlink.boxes(home);
        let seen = boxes.iter().find(|seen| seen.edge == edge);
        let presence = seen.and_then(|seen| seen.presence.as_ref());
        self.downlink.is_up() && presence.is_some_and(|presence| presence.online)
    }

    async fn called(
        &self,
        home: &HomeId,
        edge: EdgeId,
        ask: AskKind,
        within: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        match self.downlink.ask(home, edge, ask, within).await {
            Ok(AnswerKind::Called { commands }) => {
                let commands = commands
                    .into_iter()
                    .filter_map(|command| Command::parse_from_json(Some(command)).ok());
                Ok(commands.collect())
            }
            Ok(AnswerKind::Failed { reason }) => Err(DeviceError::Bad(reason)),
            Ok(_) => Err(DeviceError::Unavailable(format!(
                "box {edge} answered something else"
            ))),
            Err(error @ AskError::Away) => Err(DeviceError::Away(format!("box {edge}: {error}"))),
            Err(error) => Err(DeviceError::Unavailable(format!("box {edge}: {error}"))),
        }
    }
}

fn box_info(seen: BoxSeen) -> BoxInfo {
    let BoxSeen {
        edge,
        presence,
        state,
        last_seen_ms,
    } = seen;
    let shown = BoxInfo {
        edge: edge.to_string(),
        last_seen: Some(moment(last_seen_ms)),
        ..BoxInfo::default()
    };
    let shown = match presence {
        Some(presence) => BoxInfo {
            online: Some(presence.online),
            since: Some(presence.since.to_string()),
            version: Some(presence.version),
            name: presence.name,
            ..shown
        },
        None => shown,
    };
    match state {
        Some(state) => BoxInfo {
            backlog_entries: Some(state.backlog_entries),
            backlog_bytes: Some(state.backlog_bytes),
            last_shipped: state.last_shipped.map(|at| at.to_string()),
            devices: Some(state.devices),
            disk_used_bytes: Some(state.disk_used_bytes),
            disk_budget_bytes: Some(state.disk_budget_bytes),
            ..shown
        },
        None => shown,
    }
}
