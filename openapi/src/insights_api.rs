use std::collections::BTreeMap;

use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Header, Path},
    payload::Json,
    types::Any,
};
use serde_json::{Value, json};
use tarn_common::{event::INSIGHT, ids::HomeId};
use tarn_insights::{Finding, Pack, packs};

use crate::{
    access::{By, Role},
    api::Api,
    automation::{self, InsightSettings},
    devices::{Access, DeviceError, Place, names_of},
    insights::{InsightError, Run},
    problem::Failure,
    rules_api::{details, here},
    service::Service,
    types::moment,
};

/// How far back what a box has found is looked for, where only its events are there: 31 days.
const FOUND_WITHIN_MS: i64 = 31 * 86_400_000;

#[derive(Tags)]
enum Tag {
    /// What readings mean over days, with advice.
    Insights,
}

/// What insights have found.
#[derive(Debug, Object)]
pub(crate) struct InsightList {
    /// What holds now, the latest first.
    insights: Vec<Insight>,
}

/// Something that an insight has found.
#[derive(Debug, Object)]
pub(crate) struct Insight {
    /// The pack that found it.
    pack: String,
    /// What it is about, such as a device.
    key: String,
    /// What it is called.
    title: String,
    /// What it means, and what can be done.
    advice: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    /// What it was found by.
    values: BTreeMap<String, Any<Value>>,
    /// Whether it is nobody's business but the home's: it does not leave the box.
    private: bool,
    /// What is to be read beside it; null where nothing is.
    disclaimer: Option<String>,
    /// When it was found, RFC 3339 UTC.
    at: String,
}

/// Packs of insights.
#[derive(Debug, Object)]
pub(crate) struct InsightPackList {
    /// By id.
    packs: Vec<InsightPack>,
}

/// A pack of insights: a query, a condition and advice.
#[derive(Debug, Object)]
pub(crate) struct InsightPack {
    /// Its id.
    pack: String,
    /// What it is called.
    title: String,
    /// What it tells.
    about: String,
    /// `energy`, `climate`, `health`, `devices` or `entertainment`.
    category: String,
    /// When it runs: a length of time, or a cron pattern in the home's time zone.
    every: String,
    /// Whether its findings stay in the home unless they are shared.
    private: bool,
    /// Whether it runs.
    enabled: bool,
    /// Of a private one, whether its findings may leave the box.
    shared: bool,
    /// What can be set.
    params: Vec<InsightParam>,
    /// Why it failed when it last ran; null where it did not.
    fault: Option<String>,
}

/// A parameter of a pack.
#[derive(Debug, Object)]
pub(crate) struct InsightParam {
    /// Its name.
    param: String,
    /// What it is for.
    about: String,
    /// Its unit; null without one.
    unit: Option<String>,
    /// What holds: what the home says, else what the pack says.
    value: Any<Value>,
    /// The least that a number may be; null without a bound.
    min: Option<f64>,
    /// The most that a number may be; null without a bound.
    max: Option<f64>,
}

/// What a home says of a pack.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct InsightUpdate {
    /// Whether it runs.
    enabled: bool,
    /// Of a private one, whether its findings may leave the box; no where it is not said.
    shared: Option<bool>,
    /// Parameters in the place of the pack's own.
    params: Option<BTreeMap<String, Any<Value>>>,
}

#[derive(ApiResponse)]
enum InsightsOk {
    /// What was found.
    #[oai(status = 200)]
    Found(Json<InsightList>),
}

#[derive(ApiResponse)]
enum PacksOk {
    /// The packs.
    #[oai(status = 200)]
    Packs(Json<InsightPackList>),
}

#[derive(ApiResponse)]
enum PackOk {
    /// The pack.
    #[oai(status = 200)]
    Pack(Json<InsightPack>),
}

/// The insights of homes.
#[derive(Clone, Default)]
pub(crate) struct InsightsApi {
    pub(crate) access: Access,
    pub(crate) api: Api,
}

#[OpenApi]
impl InsightsApi {
    /// List what insights have found
    ///
    /// What holds now. Its box finds it, on a schedule; what is private is told at the box only.
    #[oai(
        path = "/v1/homes/:home/insights",
        method = "get",
        operation_id = "listInsights",
        tag = "Tag::Insights"
    )]
    async fn list_insights(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<InsightsOk, Failure> {
        let place = self.access.twins(&home).await?;
        let service = self.access.service()?;
        let mut found = match service.insights() {
            Some(insights) => insights.findings(),
            None => found(&**service, &place.home, place.now_ms).await?,
        };
        if !matches!(caller.0.role, Role::Owner | Role::Member) {
            found.retain(|finding| !finding.private);
        }
        found.sort_by(|a, b| (b.at_ms, &a.pack, &a.key).cmp(&(a.at_ms, &b.pack, &b.key)));
        let insights = found.into_iter().map(Insight::of).collect();
        Ok(InsightsOk::Found(Json(InsightList { insights })))
    }

    /// List packs of insights
    ///
    /// What each tells, its parameters, and whether it runs in this home.
    #[oai(
        path = "/v1/homes/:home/insights/packs",
        method = "get",
        operation_id = "listInsightPacks",
        tag = "Tag::Insights"
    )]
    async fn list_packs(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<PacksOk, Failure> {
        let place = self.access.twins(&home).await?;
        let said = said(&place);
        let faults = self.faults()?;
        let pack = |pack: &Pack| {
            let fault = faults.get(&pack.id).cloned();
            InsightPack::of(pack, said.get(&pack.id), fault)
        };
        let packs = self.packs()?.iter().map(|known| pack(known)).collect();
        Ok(PacksOk::Packs(Json(InsightPackList { packs })))
    }

    /// Set a pack of insights
    ///
    /// Whether it runs, with which parameters, and whether private findings may leave the box, which only an owner may say.
    #[oai(
        path = "/v1/homes/:home/insights/packs/:pack",
        method = "put",
        operation_id = "putInsightPack",
        tag = "Tag::Insights"
    )]
    async fn put_pack(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the pack.
        #[oai(validator(max_length = 64))]
        pack: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        update: Json<InsightUpdate>,
    ) -> Result<PackOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let packs = self.packs()?;
        let known = pack_of(&packs, &pack)?;
        if known.private && update.0.shared == Some(true) && caller.0.role != Role::Owner {
            return Err(Failure::forbidden(
                "shared: only an owner may let private findings leave the box",
            ));
        }
        let params = update.0.params.unwrap_or_default().into_iter();
        let params = params.map(|(name, value)| {
            let value = serde_json::from_value(value.0)
                .map_err(|e| Failure::bad_request(format!("params.{name}: {e}")))?;
            Ok((name, value))
        });
        let settings = InsightSettings {
            enabled: update.0.enabled,
            shared: update.0.shared.unwrap_or(false),
            params: params.collect::<Result<_, Failure>>()?,
        };
        known
            .params(&settings.params)
            .map_err(|e| Failure::bad_request(format!("params.{e}")))?;
        automation::set_insight(&place.twins, &known.id, &settings, &by)
            .await
            .map_err(DeviceError::from)?;
        let fault = self.faults()?.remove(&known.id);
        let pack = InsightPack::of(known, Some(&settings), fault);
        Ok(PackOk::Pack(Json(pack)))
    }

    /// Run a pack of insights now
    ///
    /// What it finds by what is stored now, also where it is switched off. Nothing is kept of it.
    #[oai(
        path = "/v1/homes/:home/insights/packs/:pack/run",
        method = "post",
        operation_id = "runInsightPack",
        tag = "Tag::Insights"
    )]
    async fn run_pack(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the pack.
        #[oai(validator(max_length = 64))]
        pack: Path<String>,
    ) -> Result<InsightsOk, Failure> {
        let place = self.access.twins(&home).await?;
        let service = self.access.service()?;
        let packs = self.packs()?;
        let known = pack_of(&packs, &pack)?;
        let announced = self.api.announced(&place.home, &place.devices).await?;
        let run = Run {
            engine: service.engine(),
            limits: service.limits(),
            home: &place.home,
            now_ms: place.now_ms,
            zone: &here(service.zone(), &place).zone,
            names: &names_of(&announced),
        };
        let settings = said(&place).remove(&known.id).unwrap_or_default();
        let found = run.pack(known, &settings).await.map_err(|e| match e {
            InsightError::Query(e) => Failure::from(e),
            other => Failure::bad_request(other.to_string()),
        })?;
        let insights = found.into_iter().map(Insight::of).collect();
        Ok(InsightsOk::Found(Json(InsightList { insights })))
    }
}

impl InsightsApi {
    fn packs(&self) -> Result<Vec<&Pack>, Failure> {
        let insights = self.access.service()?.insights();
        Ok(insights.map_or_else(|| packs().iter().collect(), |insights| insights.packs()))
    }

    fn faults(&self) -> Result<BTreeMap<String, String>, Failure> {
        let insights = self.access.service()?.insights();
        Ok(insights.map_or_else(BTreeMap::new, |insights| insights.faults()))
    }
}

fn said(place: &Place) -> BTreeMap<String, InsightSettings> {
    place
        .twins
        .read(|replica| automation::insights(replica, place.now_ms))
}

fn pack_of<'a>(packs: &[&'a Pack], id: &str) -> Result<&'a Pack, Failure> {
    let found = packs.iter().find(|pack| pack.id == id);
    found.copied().ok_or_else(|| {
        Failure::not_found(format!(
            "there is no pack {id:?}; GET …/insights/packs lists those that are"
        ))
    })
}

/// What the events of a home say that its box has found and that still holds.
async fn found(service: &dyn Service, home: &HomeId, now_ms: i64) -> Result<Vec<Finding>, Failure> {
    let from = now_ms - FOUND_WITHIN_MS;
    let question = format!(
        "SELECT text FROM (SELECT reason, text, row_number() OVER (PARTITION BY metric ORDER BY ts DESC, last_seq DESC) AS n \
         FROM events WHERE home = '{home}' AND kind = '{INSIGHT}' AND ts >= to_timestamp_millis({from})) \
         WHERE n = 1 AND reason = 'found'"
    );
    let answer = service.engine().sql(&question, service.limits()).await?;
    details(&answer)
}

impl Insight {
    fn of(finding: Finding) -> Insight {
        let values = finding.values.into_iter();
        Insight {
            pack: finding.pack,
            key: finding.key,
            title: finding.title,
            advice: finding.advice,
            severity: finding.severity.to_string(),
            values: values.map(|(name, value)| (name, Any(value))).collect(),
            private: finding.private,
            disclaimer: finding.disclaimer,
            at: moment(finding.at_ms),
        }
    }
}

impl InsightPack {
    fn of(pack: &Pack, said: Option<&InsightSettings>, fault: Option<String>) -> InsightPack {
        let said = said.cloned().unwrap_or_default();
        let params = pack.params.iter().map(|(name, param)| InsightParam {
            param: name.clone(),
            about: param.about.clone(),
            unit: param.unit.clone(),
            value: Any(json!(said.params.get(name).unwrap_or(&param.value))),
            min: param.min,
            max: param.max,
        });
        let category = json!(pack.category);
        InsightPack {
            pack: pack.id.clone(),
            title: pack.title.clone(),
            about: pack.about.clone(),
            category: category.as_str().unwrap_or_default().to_owned(),
            every: pack.every.clone(),
            private: pack.private,
            enabled: said.enabled,
            shared: said.shared,
            params: params.collect(),
            fault,
        }
    }
}
