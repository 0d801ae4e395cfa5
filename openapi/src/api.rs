use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use poem::http::HeaderMap;
use poem_openapi::{
    ApiResponse, OpenApi, ResponseContent, Tags,
    param::{Path, Query},
    payload::{Binary, Json, PlainText},
    types::{Any, ToJSON},
};
use tarn_common::{
    event::Event,
    ids::HomeId,
    query::{
        Answer, GapsQuery, Missing, Page, ReadingsQuery,
        devices::{DeviceSummary, Devices},
        when,
    },
    twin::document::DocumentId,
};

use crate::{
    accept::{self, Format},
    access::By,
    devices::{DeviceService, Etag, KnownDevice, Twin, duration, heads, twin},
    encode,
    kept::{self, Encoded, Source},
    problem::Failure,
    server::SharedRegistry,
    service::Service,
    twins_api::WAIT_MAX,
    types::{
        Column, Device, DeviceDetail, DeviceList, Fresh, Gap, GapList, Home, Homes, MissingChunk,
        ReadingsPage, SqlAnswer, SqlRequest,
    },
};

/// Bytes of an answer's body at most; for JSON, of the values in it.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Chunks that a JSON answer lists as missing at most; the rest is told in the last one's reason.
const MISSING_LISTED_MAX: usize = 1_000;

#[derive(Tags)]
enum Tag {
    /// Homes, devices and their readings.
    Readings,
    /// Free questions.
    Sql,
    /// The service's own state.
    Service,
}

/// The operations. Without a host they only describe themselves.
#[derive(Clone, Default)]
pub(crate) struct Api {
    pub(crate) host: Option<(Arc<dyn Service>, SharedRegistry)>,
    pub(crate) kept: kept::Answers,
}

#[derive(ApiResponse)]
enum HomesOk {
    /// The homes.
    #[oai(status = 200)]
    Homes(Json<Homes>),
}

#[derive(ApiResponse)]
enum DevicesOk {
    /// The devices.
    #[oai(status = 200)]
    Devices(Encoded<DeviceList>),
}

#[derive(ApiResponse)]
enum DeviceOk {
    /// The device.
    #[oai(status = 200)]
    Device(
        Json<DeviceDetail>,
        /// The twin as it is now, for `If-Match`; absent without a twin.
        #[oai(header = "ETag")]
        Option<String>,
    ),
}

#[derive(ResponseContent)]
enum ReadingsBody {
    Json(Encoded<ReadingsPage>),
    #[oai(content_type = "text/csv")]
    Csv(Binary<Vec<u8>>),
    #[oai(content_type = "application/vnd.apache.arrow.stream")]
    Arrow(Binary<Vec<u8>>),
    #[oai(content_type = "application/vnd.apache.parquet")]
    Parquet(Binary<Vec<u8>>),
}

#[derive(ApiResponse)]
enum ReadingsOk {
    /// The readings.
    #[oai(status = 200)]
    Page(
        ReadingsBody,
        /// Pass it as `cursor` for the next page; absent at the end.
        #[oai(header = "tarn-next-cursor")]
        Option<String>,
        /// Number of chunks that could not be read, so that readings may be absent. The JSON form lists them.
        #[oai(header = "tarn-missing-chunks")]
        u64,
        /// With `fresh`: until when acknowledged readings are in the answer (RFC 3339), whether nothing is missing of
        /// them, and how many things are, like `2026-11-22T10:00:00.000Z; complete=true; missing=0`. The JSON form
        /// lists what is missing.
        #[oai(header = "tarn-fresh")]
        Option<String>,
        /// Number of gaps in the asked time: readings that are missing for good. The JSON form lists them.
        #[oai(header = "tarn-gaps")]
        u64,
    ),
}

#[derive(ApiResponse)]
enum GapsOk {
    /// The gaps.
    #[oai(status = 200)]
    Gaps(Json<GapList>),
}

#[derive(ResponseContent)]
enum SqlBody {
    Json(Json<SqlAnswer>),
    #[oai(content_type = "text/csv")]
    Csv(Binary<Vec<u8>>),
    #[oai(content_type = "application/vnd.apache.arrow.stream")]
    Arrow(Binary<Vec<u8>>),
    #[oai(content_type = "application/vnd.apache.parquet")]
    Parquet(Binary<Vec<u8>>),
}

#[derive(ApiResponse)]
enum SqlOk {
    /// The answer.
    #[oai(status = 200)]
    Answer(
        SqlBody,
        /// Whether rows were cut off at the limit of the service.
        #[oai(header = "tarn-truncated")]
        bool,
        /// Number of chunks that could not be read, so that their readings are not in the answer.
        #[oai(header = "tarn-missing-chunks")]
        u64,
    ),
}

#[derive(ApiResponse)]
enum TextOk {
    /// Yes.
    #[oai(status = 200)]
    Text(PlainText<String>),
}

#[derive(ApiResponse)]
enum MetricsOk {
    /// The metrics.
    #[oai(
        status = 200,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )]
    Text(PlainText<String>),
}

#[OpenApi]
impl Api {
    /// List the homes
    ///
    /// Every home of yours with its size and its first and last reading. Costs no reading of chunks.
    #[oai(
        path = "/v1/homes",
        method = "get",
        operation_id = "listHomes",
        tag = "Tag::Readings"
    )]
    async fn list_homes(&self, caller: By) -> Result<HomesOk, Failure> {
        let homes = self.service()?.engine().homes().await?.into_iter();
        let own = homes.filter(|home| caller.0.homes.has(home.home.as_str()));
        Ok(HomesOk::Homes(Json(Homes {
            homes: own.map(Home::from).collect(),
        })))
    }

    /// List the devices of a home
    ///
    /// Each device with its metrics, their units and their latest readings.
    #[oai(
        path = "/v1/homes/:home/devices",
        method = "get",
        operation_id = "listDevices",
        tag = "Tag::Readings"
    )]
    async fn list_devices(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<DevicesOk, Failure> {
        let home = self.home(&home).await?;
        let source = self.source("listDevices", &home).await?;
        let made = async {
            let Devices { devices, missing } = self.summaries(&home).await?;
            let announced = match self.known(&home)? {
                Some(known) => self.announced(&home, &known).await?,
                None => Vec::new(),
            };
            Ok(DeviceList {
                devices: devices_of(devices, announced),
                missing: listed(&missing),
            })
        };
        Ok(DevicesOk::Devices(self.kept.get(source, made).await?))
    }

    /// Look at a device
    ///
    /// Its metrics with their latest readings, what it announced, what can be set on it, and what is wrong with
    /// what it says.
    #[oai(
        path = "/v1/homes/:home/devices/:device",
        method = "get",
        operation_id = "getDevice",
        tag = "Tag::Readings"
    )]
    async fn get_device(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded: a slash in it is `%2F`.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
    ) -> Result<DeviceOk, Failure> {
        let home = self.home(&home).await?;
        let Devices { devices, missing } = self.summaries(&home).await?;
        let known = self.known(&home)?;
        let (id, ids) = match &known {
            Some(known) => known.ids(&home, &device).await,
            None => (device.0.clone(), vec![device.0]),
        };
        let (announced, twin, etag) = match &known {
            Some(known) => self.twinned(&home, known, &id).await?,
            None => (None, None, None),
        };
        let mut its = devices
            .into_iter()
            .filter(|d| ids.iter().any(|id| **id == *d.device));
        let summary = its.next().map(|first| {
            let mut summary = its.fold(first, |mut all, other| {
                all.merge(&other);
                all
            });
            summary.device = id.as_str().into();
            summary
        });
        let device = match (&summary, &announced) {
            (Some(summary), announced) => Device::new(summary, announced.as_ref()),
            (None, Some(announced)) => Device::silent(announced),
            (None, None) => {
                return Err(Failure::not_found(format!(
                    "there is no device {id:?}; GET /v1/homes/{home}/devices lists those that are"
                )));
            }
        };
        let detail = DeviceDetail {
            device,
            announced,
            twin,
            missing: listed(&missing),
        };
        Ok(DeviceOk::Device(Json(detail), etag))
    }

    /// Read a device's readings
    ///
    /// Raw readings in the order of time, or with `every` one row per bucket, metric and unit. `Accept` chooses
    /// JSON, CSV, an Arrow stream or Parquet. Times are RFC 3339 (`2026-11-22T10:00:00Z`), a date, milliseconds
    /// since 1970-01-01 UTC, or a duration back from now like `-24h`.
    #[oai(
        path = "/v1/homes/:home/devices/:device/readings",
        method = "get",
        operation_id = "listReadings",
        tag = "Tag::Readings"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn list_readings(
        &self,
        headers: &HeaderMap,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded: a slash in it is `%2F`.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// Only this metric; repeat it for more.
        #[oai(default, validator(max_items = 100))]
        metric: Query<Vec<String>>,
        /// From this moment on.
        from: Query<Option<String>>,
        /// Up to before this moment.
        to: Query<Option<String>>,
        /// Width of a bucket, 1ms to 366d, like `15m`, `1h` or `1d`. Buckets are aligned to 1970-01-01 UTC.
        every: Query<Option<String>>,
        /// How a bucket becomes one value: avg (the default), min, max, sum, count, first or last. Needs `every`.
        agg: Query<Option<String>>,
        /// Rows of the page; 1000 where it is not said.
        #[oai(validator(minimum(value = "1"), maximum(value = "100000")))]
        limit: Query<Option<u32>>,
        /// `next_cursor` of the page before, with all else the same.
        cursor: Query<Option<String>>,
        /// Have the latest readings in the answer, and wait for them at most so long, like `5s` (up to 50s). The
        /// answer says how fresh it is, and what it did not wait for.
        fresh: Query<Option<String>>,
    ) -> Result<ReadingsOk, Failure> {
        let format = format(headers)?;
        let wait = duration("fresh", fresh.0.as_deref(), WAIT_MAX)?;
        let service = self.service()?;
        let now = service.clock().now_ms();
        let moment = |name, text: Option<String>| {
            text.map(|text| when::moment(name, &text, now)).transpose()
        };
        let home = self.home(&home).await?;
        let (device, devices) = match self.known(&home)? {
            Some(known) => known.ids(&home, &device).await,
            None => (device.0.clone(), vec![device.0]),
        };
        let query = ReadingsQuery {
            home,
            devices,
            metrics: metric.0,
            from: moment("from", from.0)?,
            to: moment("to", to.0)?,
            every: every
                .0
                .map(|text| when::width("every", &text))
                .transpose()?,
            aggregate: agg.0.map(|text| text.parse()).transpose()?,
            limit: limit.0.map(|limit| limit as usize),
            cursor: cursor.0,
        };
        let fresh = match wait {
            Some(wait) => Some(Fresh::from(service.fresh(query.home.as_str(), wait).await)),
            None => None,
        };
        let page = service.engine().readings(&query, service.limits()).await?;
        let Page { answer, .. } = &page;
        let (next_cursor, gaps) = (page.next_cursor.clone(), page.gaps.count as u64);
        let missing = (answer.missing.len() + page.gaps.missing.len()) as u64;
        check_size(answer.bytes())?;
        let told = fresh.as_ref().map(Fresh::line);
        let body = readings_body(format, page, device, fresh).await?;
        Ok(ReadingsOk::Page(body, next_cursor, missing, told, gaps))
    }

    /// List the gaps of a home
    ///
    /// Readings that were acknowledged, are missing, and will not come: a box was full and had to drop them, or its
    /// disk failed. Times are written as for readings.
    #[oai(
        path = "/v1/homes/:home/gaps",
        method = "get",
        operation_id = "listGaps",
        tag = "Tag::Readings"
    )]
    async fn list_gaps(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Only of this device.
        #[oai(validator(max_length = 1024))]
        device: Query<Option<String>>,
        /// Only of this metric; repeat it for more.
        #[oai(default, validator(max_items = 100))]
        metric: Query<Vec<String>>,
        /// Those that end at this moment or later.
        from: Query<Option<String>>,
        /// Those that begin before this moment.
        to: Query<Option<String>>,
    ) -> Result<GapsOk, Failure> {
        let service = self.service()?;
        let now = service.clock().now_ms();
        let moment = |name, text: Option<String>| {
            text.map(|text| when::moment(name, &text, now)).transpose()
        };
        let home = self.home(&home).await?;
        let devices = match (self.known(&home)?, device.0) {
            (_, None) => Vec::new(),
            (Some(known), Some(device)) => known.ids(&home, &device).await.1,
            (None, Some(device)) => vec![device],
        };
        let query = GapsQuery {
            home,
            devices,
            metrics: metric.0,
            from: moment("from", from.0)?,
            to: moment("to", to.0)?,
        };
        let gaps = service.engine().gaps(&query).await?;
        Ok(GapsOk::Gaps(Json(GapList {
            gaps: gaps.gaps.iter().map(Gap::from).collect(),
            count: gaps.count as u64,
            missing: listed(&gaps.missing),
        })))
    }

    /// Ask in SQL
    ///
    /// One query that only reads, within the limits of the service for time, memory and rows. `Accept` chooses
    /// JSON, CSV, an Arrow stream or Parquet.
    #[oai(
        path = "/v1/sql",
        method = "post",
        operation_id = "querySql",
        tag = "Tag::Sql"
    )]
    async fn query_sql(
        &self,
        caller: By,
        headers: &HeaderMap,
        request: Json<SqlRequest>,
    ) -> Result<SqlOk, Failure> {
        let format = format(headers)?;
        let service = self.service()?;
        let homes = caller.0.homes.named();
        let answer = service
            .engine()
            .sql_within(homes, &request.sql, service.limits())
            .await?;
        let (truncated, missing) = (answer.truncated, answer.missing.len() as u64);
        check_size(answer.bytes())?;
        let body = match format {
            Format::Json => SqlBody::Json(Json(on_thread(move || sql_answer(answer)).await?)),
            Format::Csv => SqlBody::Csv(rows_as(format, answer).await?),
            Format::Arrow => SqlBody::Arrow(rows_as(format, answer).await?),
            Format::Parquet => SqlBody::Parquet(rows_as(format, answer).await?),
        };
        Ok(SqlOk::Answer(body, truncated, missing))
    }

    /// Whether the service is alive
    ///
    /// Says `ok` for as long as the process can answer at all.
    #[oai(
        path = "/healthz",
        method = "get",
        operation_id = "getHealth",
        tag = "Tag::Service"
    )]
    async fn get_health(&self) -> TextOk {
        TextOk::Text(PlainText("ok\n".into()))
    }

    /// Whether the service is ready
    ///
    /// Says `ok`, or 503 with the reasons in the problem's detail.
    #[oai(
        path = "/readyz",
        method = "get",
        operation_id = "getReadiness",
        tag = "Tag::Service"
    )]
    async fn get_readiness(&self) -> Result<TextOk, Failure> {
        let reasons = self.service()?.not_ready();
        if reasons.is_empty() {
            return Ok(TextOk::Text(PlainText("ok\n".into())));
        }
        Err(Failure::unavailable(reasons.join("; ")))
    }

    /// Metrics
    ///
    /// The service's own metrics as OpenMetrics text, for Prometheus.
    #[oai(
        path = "/metrics",
        method = "get",
        operation_id = "getMetrics",
        tag = "Tag::Service"
    )]
    async fn get_metrics(&self) -> Result<MetricsOk, Failure> {
        let (_, registry) = self.host.as_ref().ok_or_else(no_host)?;
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry.lock())
            .map_err(|e| Failure::internal(format!("encode metrics: {e}")))?;
        Ok(MetricsOk::Text(PlainText(text)))
    }
}

impl Api {
    pub(crate) fn service(&self) -> Result<&Arc<dyn Service>, Failure> {
        self.host
            .as_ref()
            .map(|(service, _)| service)
            .ok_or_else(no_host)
    }

    /// What serves the devices of a home; none where nothing does.
    pub(crate) fn known(&self, home: &HomeId) -> Result<Option<Arc<dyn DeviceService>>, Failure> {
        let service = self.service()?;
        let is_served = service.home().is_none_or(|own| own == *home);
        Ok(service.devices().filter(|_| is_served))
    }

    /// What the lake has of each device.
    pub(crate) async fn summaries(&self, home: &HomeId) -> Result<Devices, Failure> {
        let service = self.service()?;
        let time = service.limits().time;
        Ok(service.engine().devices(home, time).await?)
    }

    /// What an answer about the devices of a home is made of now; none where that is not known.
    pub(crate) async fn source(
        &self,
        operation: &'static str,
        home: &HomeId,
    ) -> Result<Option<Source>, Failure> {
        let Some(lake) = self.service()?.engine().stamp() else {
            return Ok(None);
        };
        let twins = match self.known(home)? {
            Some(devices) => devices.twins(home).await?,
            None => None,
        };
        Ok(Some(Source {
            operation,
            home: home.clone(),
            lake,
            twins: twins.map_or(0, |twins| twins.generation()),
        }))
    }

    /// Devices that announced themselves or have a twin, with the names that people gave them.
    pub(crate) async fn announced(
        &self,
        home: &HomeId,
        devices: &Arc<dyn DeviceService>,
    ) -> Result<Vec<KnownDevice>, Failure> {
        let now_ms = self.service()?.clock().now_ms();
        Ok(match devices.twins(home).await? {
            Some(twins) => twin::announced(&**devices, home, &twins, now_ms).await,
            None => devices.known(home).await,
        })
    }

    /// A device as it announced itself, its twin and the tag of that.
    async fn twinned(
        &self,
        home: &HomeId,
        devices: &Arc<dyn DeviceService>,
        id: &str,
    ) -> Result<(Option<KnownDevice>, Option<Twin>, Option<String>), Failure> {
        let known = devices.device(home, id).await;
        let now_ms = self.service()?.clock().now_ms();
        let Some(twins) = devices.twins(home).await? else {
            return Ok((known, None, None));
        };
        Ok(twins.read(|replica| {
            let Some(document) = replica.document(&DocumentId::device(id)) else {
                return (known, None, None);
            };
            let known = match known {
                Some(known) => Some(twin::overlaid(known, Some(document), now_ms)),
                None => twin::twinned(document, now_ms),
            };
            let twin = Twin::of(document, now_ms);
            (known, Some(twin), Etag(heads(Some(document))).text())
        }))
    }

    /// The home of this name, if the lake has it.
    pub(crate) async fn home(&self, name: &str) -> Result<HomeId, Failure> {
        let home: HomeId = name
            .parse()
            .map_err(|e: tarn_common::ids::InvalidId| Failure::bad_request(e.to_string()))?;
        let service = self.service()?;
        if service.home().is_some_and(|own| own == home) {
            return Ok(home);
        }
        let homes = service.engine().homes().await?;
        if homes.iter().any(|known| known.home == home) {
            return Ok(home);
        }
        if let Some(devices) = self.known(&home)?
            && devices.twins(&home).await?.is_some()
        {
            return Ok(home);
        }
        Err(Failure::not_found(format!(
            "there is no home {home}; GET /v1/homes lists those that are"
        )))
    }
}

/// The devices of the lake with those that announced themselves, those that were merged put together.
fn devices_of(summaries: Vec<DeviceSummary>, announced: Vec<KnownDevice>) -> Vec<Device> {
    let merged = merged(summaries, &announced);
    let announced: BTreeMap<String, KnownDevice> = announced
        .into_iter()
        .map(|device| (device.device.clone(), device))
        .collect();
    let silent = announced
        .values()
        .filter(|device| !merged.contains_key(&device.device));
    let mut devices: Vec<Device> = silent.map(Device::silent).collect();
    devices.extend(
        merged
            .values()
            .map(|summary| Device::new(summary, announced.get(&*summary.device))),
    );
    devices.sort_by(|a, b| a.device.cmp(&b.device));
    devices
}

/// The devices of the lake by their present ids, those that were merged put together.
pub(crate) fn merged(
    summaries: Vec<DeviceSummary>,
    announced: &[KnownDevice],
) -> BTreeMap<String, DeviceSummary> {
    let current: HashMap<&str, &str> = announced
        .iter()
        .flat_map(|device| {
            device
                .aliases
                .iter()
                .map(|alias| (alias.as_str(), device.device.as_str()))
        })
        .collect();
    let mut merged: BTreeMap<String, DeviceSummary> = BTreeMap::new();
    for mut summary in summaries {
        let id = current
            .get(&*summary.device)
            .map_or_else(|| summary.device.to_string(), |id| (*id).to_owned());
        match merged.get_mut(&id) {
            Some(known) => known.merge(&summary),
            None => {
                summary.device = id.as_str().into();
                merged.insert(id, summary);
            }
        }
    }
    merged
}

fn no_host() -> Failure {
    Failure::unavailable("nothing is served here")
}

fn format(headers: &HeaderMap) -> Result<Format, Failure> {
    let values = headers
        .get_all("accept")
        .iter()
        .filter_map(|v| v.to_str().ok());
    let accept = values.collect::<Vec<_>>().join(",");
    accept::choose(Some(&accept)).ok_or_else(Failure::not_acceptable)
}

async fn readings_body(
    format: Format,
    page: Page,
    device: String,
    fresh: Option<Fresh>,
) -> Result<ReadingsBody, Failure> {
    let answer = page.answer;
    Ok(match format {
        Format::Json => {
            let page = move || {
                let missing = [&answer.missing[..], &page.gaps.missing].concat();
                let gap = |gap: &Event| Gap {
                    // As with readings, the device is told by the id that it was asked for.
                    device: gap.device.as_ref().map(|_| device.clone()),
                    ..Gap::from(gap)
                };
                let page = ReadingsPage {
                    readings: Vec::new(),
                    next_cursor: page.next_cursor,
                    missing: listed(&missing),
                    gaps: page.gaps.gaps.iter().map(gap).collect(),
                    fresh,
                };
                page_json(&page, &answer.batches, &device)
            };
            ReadingsBody::Json(Encoded::new(on_thread(page).await?))
        }
        Format::Csv => ReadingsBody::Csv(rows_as(format, answer).await?),
        Format::Arrow => ReadingsBody::Arrow(rows_as(format, answer).await?),
        Format::Parquet => ReadingsBody::Parquet(rows_as(format, answer).await?),
    })
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Encoding is work for a thread that may be busy, not for one that serves sockets.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Cause> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(cause)) => Err(Failure::internal(format!("encode the answer: {cause}"))),
        Err(failed) => Err(Failure::internal(failed.to_string())),
    }
}

async fn rows_as(format: Format, answer: Answer) -> Result<Binary<Vec<u8>>, Failure> {
    let encoder: fn(&SchemaRef, &[RecordBatch]) -> Result<Vec<u8>, Cause> = match format {
        Format::Csv | Format::Json => encode::csv,
        Format::Arrow => encode::arrow_stream,
        Format::Parquet => encode::parquet,
    };
    let nested = answer
        .schema
        .fields()
        .iter()
        .find(|field| field.data_type().is_nested());
    if let (Format::Csv, Some(field)) = (format, nested) {
        let detail = format!(
            "column {} is {}, which CSV cannot hold",
            field.name(),
            field.data_type()
        );
        return Err(Failure::bad_request(detail));
    }
    let bytes = on_thread(move || encoder(&answer.schema, &answer.batches)).await?;
    check_size(bytes.len())?;
    Ok(Binary(bytes))
}

fn check_size(bytes: usize) -> Result<(), Failure> {
    if bytes <= ANSWER_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the answer has {bytes} bytes, the limit is {ANSWER_BYTES_MAX}; ask for fewer rows"
    );
    Err(Failure::too_expensive(detail))
}

pub(crate) fn listed(missing: &[Missing]) -> Vec<MissingChunk> {
    let mut listed: Vec<_> = missing
        .iter()
        .take(MISSING_LISTED_MAX)
        .map(MissingChunk::from)
        .collect();
    if let (Some(last), true) = (listed.last_mut(), missing.len() > MISSING_LISTED_MAX) {
        last.reason = format!(
            "{} (and {} chunks more)",
            last.reason,
            missing.len() - MISSING_LISTED_MAX
        );
    }
    listed
}

fn sql_answer(answer: Answer) -> Result<SqlAnswer, Cause> {
    let column = |field: &Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        kind: field.data_type().to_string(),
    };
    let rows = encode::rows(&answer.batches)?;
    Ok(SqlAnswer {
        columns: answer.schema.fields().iter().map(column).collect(),
        rows: rows
            .into_iter()
            .map(|row| row.into_iter().map(Any).collect())
            .collect(),
        truncated: answer.truncated,
        missing: listed(&answer.missing),
        took_ms: answer.took_ms,
    })
}

/// The page with these readings, which are encoded already.
fn page_json(page: &ReadingsPage, rows: &[RecordBatch], device: &str) -> Result<Vec<u8>, Cause> {
    let mut rest = page.to_json().unwrap_or_default();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("readings");
    }
    let rest = serde_json::to_vec(&rest)?;
    let mut json = Vec::from(br#"{"readings":"#);
    encode::readings(&mut json, rows, device)?;
    // The rest always has something in it.
    json.push(b',');
    json.extend_from_slice(&rest[1..]);
    Ok(json)
}
