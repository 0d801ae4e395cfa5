//! `tarn demo`: the whole road on one machine, with embedded defaults.

/// A hundred chunks over three stores.
mod case;
/// Rules and scenes of the first home.
mod scenes;
/// The stores that the demo runs itself.
mod served;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tarn_cloud::Cloud;
use tarn_common::{
    clock::{Clock, SystemClock},
    query::Engine,
};
use tarn_edge::Edge;
use tarn_openapi::{
    Access, Feature, HttpSettings, SetRequest,
    access::{Homes, Jwk, KEY_FILE, Role, SigningKey, TokenRequest, setup_link},
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use self::served::{COPIES, ServedStores};
use crate::{
    config::EdgeArgs,
    exit::Failure,
    simulate::{self, BrokerUrl, Live},
};

/// The query that the demo asks the cloud.
const FIRST_SQL: &str = "SELECT home, metric, count(*) AS readings, round(avg(value), 2) AS average \
     FROM readings WHERE value IS NOT NULL GROUP BY home, metric ORDER BY readings DESC, home, metric LIMIT 8";

/// Rows that the lake holds.
const COUNT_SQL: &str = "SELECT count(*) FROM readings";

/// How long a box of the demo goes on shipping when it is over: all has to be in the lake when that is counted.
const SHIP_AT_STOP: Duration = Duration::from_secs(120);

/// How often the live line is renewed.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How long the demo waits for a device to do what it is told.
const COMMAND_WAIT: Duration = Duration::from_secs(5);

/// How long the token of the demo is good.
const TOKEN_TIME: Duration = Duration::from_secs(86_400);

/// How long the SQL answer waits for the lake to have anything.
const ROWS_WITHIN: Duration = Duration::from_secs(30);

/// The SQL answer is printed once after this.
const SQL_AFTER: Duration = Duration::from_secs(8);

/// `tarn demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {
    /// End by itself after this many seconds; without it, run until Ctrl-C
    #[arg(long, env = "TARN_SECONDS", value_name = "N")]
    seconds: Option<u64>,
    /// Homes, each with a box of its own
    #[arg(long, env = "TARN_HOMES", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=20))]
    homes: u16,
    /// Messages a second in each home
    #[arg(long, env = "TARN_RATE", value_name = "N", default_value_t = 500.0)]
    rate: f64,
    /// Show instead how a hundred chunks are spread over three stores, levelled, agreed upon and repaired
    #[arg(long)]
    stores: bool,
}

/// Everything that runs.
struct Scene {
    /// An owner's, good at all services.
    token: String,
    served: ServedStores,
    cloud: Cloud,
    boxes: Vec<Edge>,
    live: Vec<Arc<Live>>,
    devices: JoinSet<Result<simulate::Summary, simulate::SimulateError>>,
    stop_devices: CancellationToken,
}

pub(crate) async fn run(command: DemoCommand, stop: CancellationToken) -> Result<(), Failure> {
    let dir = tempfile::Builder::new()
        .prefix("tarn-demo-")
        .tempdir()
        .map_err(Failure::broken)?;
    if command.stores {
        return case::run(dir.path()).await;
    }
    let mut scene = Scene::start(&command, dir.path()).await?;
    scene.introduce(dir.path()).await?;
    let ended = scene
        .watch(command.seconds.map(Duration::from_secs), &stop)
        .await;
    let summary = scene.end().await;
    ended?;
    summary?;
    if stop.is_cancelled() {
        println!("Stopped. The lake was in a temporary directory and is gone now.");
    }
    Ok(())
}

impl Scene {
    async fn start(command: &DemoCommand, dir: &std::path::Path) -> Result<Scene, Failure> {
        let served = ServedStores::start(dir).await?;
        let clock = Arc::new(SystemClock);
        let (token, key) = issue(dir)?;
        let http_settings = HttpSettings {
            trusted: vec![key],
            ..HttpSettings::default()
        };
        let cloud_settings = tarn_cloud::Settings {
            http_settings: http_settings.clone(),
            ..tarn_cloud::Settings::new(served.stores.clone())
        };
        let cloud = Cloud::start(cloud_settings, clock.clone())
            .await
            .map_err(Failure::broken)?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let stop_devices = CancellationToken::new();
        let mut scene = Scene {
            token,
            served,
            cloud,
            boxes: Vec::new(),
            live: Vec::new(),
            devices: JoinSet::new(),
            stop_devices,
        };
        for number in 1..=command.homes {
            let home = format!("home-{number}");
            let settings = EdgeArgs {
                data: Some(dir.join(&home)),
                home: home.parse().ok(),
                mqtt: Some(any_port),
                http: Some(any_port),
                cut_age: Some(Duration::from_secs(2)),
                ..EdgeArgs::default()
            };
            let mut settings = settings.settings()?;
            settings.stores.clone_from(&scene.served.stores);
            settings.copies = Some(COPIES);
            settings.ship_at_stop = SHIP_AT_STOP;
            settings.http_settings = http_settings.clone();
            let edge = Edge::start(settings, clock.clone())
                .await
                .map_err(Failure::broken)?;
            scene.add_devices(number, edge.mqtt_addresses()[0].1, command.rate)?;
            scene.boxes.push(edge);
        }
        Ok(scene)
    }

    fn add_devices(&mut self, number: u16, broker: SocketAddr, rate: f64) -> Result<(), Failure> {
        let url: BrokerUrl = format!("mqtt://{broker}").parse().map_err(Failure::usage)?;
        let mut args = simulate::Args::new(url);
        args.clients = 4;
        args.rate = rate;
        args.seed = u64::from(number);
        let live = Arc::new(Live::default());
        self.live.push(live.clone());
        let stop = self.stop_devices.clone();
        self.devices
            .spawn(async move { simulate::run(&args, live, stop).await });
        Ok(())
    }

    async fn introduce(&self, dir: &std::path::Path) -> Result<(), Failure> {
        println!(
            "Tarn demo: {} homes, one cloud service, {} stores, {COPIES} copies of each chunk.\n",
            self.boxes.len(),
            self.served.stores.len()
        );
        for edge in &self.boxes {
            println!(
                "  box {}   mqtt://{}   {}",
                edge.identity().home,
                edge.mqtt_addresses()[0].1,
                link(edge.access(), edge.http_addr()).await?
            );
        }
        let cloud = link(self.cloud.access(), self.cloud.http_addr()).await?;
        println!("  cloud        {cloud}");
        self.served.introduce(dir);
        println!();
        println!(
            "Try:  mosquitto_pub -p {} -q 1 -t home/kitchen/temperature -m 21.5",
            self.boxes[0].mqtt_addresses()[0].1.port()
        );
        println!(
            "      mosquitto_pub -p {} -q 1 -t zigbee2mqtt/kitchen/plug/set -m '{{\"state\":\"OFF\"}}'",
            self.boxes[0].mqtt_addresses()[0].1.port()
        );
        println!("      export TARN_TOKEN={}", self.token);
        println!(
            "      curl -s -H \"Authorization: Bearer $TARN_TOKEN\" http://{}/v1/homes/home-1/devices",
            self.boxes[0].http_addr()
        );
        println!(
            "      curl -s -H \"Authorization: Bearer $TARN_TOKEN\" http://{}/v1/homes\n",
            self.cloud.http_addr()
        );
        Ok(())
    }

    async fn watch(
        &mut self,
        length: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut every = interval(LINE_EVERY);
        let mut asked = false;
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.devices.join_next() => {
                    ended.map_err(Failure::broken)?.map_err(Failure::broken)?;
                    return Err(Failure::broken(anyhow::anyhow!("the simulated devices stopped by themselves")));
                }
            }
            self.line(started.elapsed()).await;
            let last = length.is_some_and(|length| started.elapsed() >= length);
            if !asked && (started.elapsed() >= SQL_AFTER || last) {
                asked = true;
                self.answer().await?;
                self.devices().await;
                if let Some(edge) = self.boxes.first() {
                    scenes::show(edge).await?;
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// One line that is written over itself on a terminal.
    async fn line(&self, since: Duration) {
        let published: u64 = self.live.iter().map(|l| l.published()).sum();
        let acked: u64 = self.live.iter().map(|l| l.acked()).sum();
        let figures = |get: fn(&Edge) -> u64| -> u64 { self.boxes.iter().map(get).sum() };
        let readings = figures(|b| b.figures().cut.readings.get());
        let shipped = figures(|b| b.figures().ship.chunks.get());
        let backlog = figures(|b| b.figures().ship.backlog_entries.get() as u64);
        let rows = count(self.cloud.engine(), COUNT_SQL).await;
        let rate = readings as f64 / since.as_secs_f64().max(1.0);
        let line = format!(
            "{:>4} s  {rate:>6.0} readings/s  published {published:>8}  acked {acked:>8}  backlog {backlog:>2}  chunks shipped {shipped:>5}  rows in the lake {}",
            since.as_secs(),
            rows.map_or("-".into(), |rows| rows.to_string())
        );
        if std::io::stdout().is_terminal() {
            print!("\r{line}");
        } else {
            println!("{line}");
        }
        let _ = std::io::stdout().flush();
    }

    async fn answer(&self) -> Result<(), Failure> {
        // On a busy machine the first chunks may take their time.
        let until = Instant::now() + ROWS_WITHIN;
        while count(self.cloud.engine(), COUNT_SQL).await.unwrap_or(0) == 0
            && Instant::now() < until
        {
            sleep(LINE_EVERY).await;
        }
        println!("\n\n> {FIRST_SQL}");
        let answer = self
            .cloud
            .engine()
            .sql(FIRST_SQL, tarn_common::query::Limits::default())
            .await;
        let answer = answer.map_err(Failure::broken)?;
        let table =
            arrow::util::pretty::pretty_format_batches(&answer.batches).map_err(Failure::broken)?;
        println!("{table}\n");
        Ok(())
    }

    /// What the first box has learnt with nothing configured, and one command with its outcome.
    async fn devices(&self) {
        let Some(edge) = self.boxes.first() else {
            return;
        };
        let devices = edge.devices();
        let home = &edge.identity().home;
        let known = devices.known(home).await;
        let mut by_convention: BTreeMap<&str, usize> = BTreeMap::new();
        for convention in known.iter().flat_map(|device| &device.conventions) {
            *by_convention.entry(convention).or_default() += 1;
        }
        let counts: Vec<String> = by_convention
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        println!(
            "{home} learnt {} devices with nothing configured: {}",
            known.len(),
            counts.join(", ")
        );
        let is_switch = |f: &&Feature| f.settable && f.takes == "switch" && f.component == "switch";
        let found = known
            .iter()
            .filter(|device| device.online == Some(true))
            .find_map(|device| Some((device, device.features.iter().find(is_switch)?)));
        let Some((device, feature)) = found else {
            return;
        };
        let name = device.name.as_deref().unwrap_or(&device.device);
        let values = vec![(feature.metric.clone(), serde_json::Value::Bool(true))];
        let started = Instant::now();
        let request = SetRequest {
            values,
            by: "demo".into(),
            ..SetRequest::default()
        };
        match devices
            .set(home, &device.device, request, COMMAND_WAIT)
            .await
        {
            Ok(commands) => {
                let status = commands.first().map_or("", |command| &command.status);
                let ms = started.elapsed().as_millis();
                println!(
                    "{name}: {} set to on, {status} after {ms} ms\n",
                    feature.metric
                );
            }
            Err(error) => println!("{name}: {error}\n"),
        }
    }

    /// Stop the devices, let the boxes ship what is left, and compare what was acked with the lake.
    async fn end(mut self) -> Result<(), Failure> {
        self.stop_devices.cancel();
        while let Some(ended) = self.devices.join_next().await {
            ended.map_err(Failure::broken)?.map_err(Failure::broken)?;
        }
        let acked: u64 = self.live.iter().map(|l| l.acked()).sum();
        let mut cut = Vec::new();
        for edge in self.boxes.drain(..) {
            cut.push(edge.figures().cut.clone());
            edge.shutdown().await;
        }
        let readings: u64 = cut.iter().map(|c| c.readings.get()).sum();
        self.cloud.refresh().await;
        let rows = count(self.cloud.engine(), COUNT_SQL).await.unwrap_or(0);
        self.cloud.shutdown().await;
        self.served.shutdown().await;
        println!(
            "\n{acked} messages acknowledged, {readings} readings in them, {rows} rows in the lake."
        );
        if rows != readings {
            return Err(Failure::broken(anyhow::anyhow!(
                "the lake must hold every reading"
            )));
        }
        Ok(())
    }
}

/// A token that services take which trust the key.
fn issue(dir: &std::path::Path) -> Result<(String, Jwk), Failure> {
    let key = SigningKey::open(&dir.join(KEY_FILE)).map_err(Failure::broken)?;
    let request = TokenRequest {
        name: "demo".into(),
        role: Role::Owner,
        homes: Homes::All,
        lifetime: TOKEN_TIME,
        by: "demo".into(),
    };
    let issued = key.issue(request, SystemClock.now_ms());
    let key = serde_json::from_value(key.public_jwk()).map_err(Failure::broken)?;
    Ok((issued.map_err(Failure::broken)?.token, key))
}

/// Where somebody makes himself an account, and then is in the dashboard.
async fn link(access: &Access, http: SocketAddr) -> Result<String, Failure> {
    let code = access.offer(Role::Owner, Homes::All, true).await;
    Ok(setup_link(http, false, &code.map_err(Failure::broken)?))
}

/// The number that a query gives.
async fn count(engine: &Arc<Engine>, sql: &str) -> Option<u64> {
    use arrow::{array::AsArray, datatypes::Int64Type};
    let answer = engine
        .sql(sql, tarn_common::query::Limits::default())
        .await
        .ok()?;
    let batch = answer
        .batches
        .first()
        .filter(|batch| batch.num_rows() == 1)?;
    batch
        .column(0)
        .as_primitive_opt::<Int64Type>()
        .map(|column| column.value(0) as u64)
}
