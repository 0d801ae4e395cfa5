use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::Write,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Instant,
};

use jiff::tz::TimeZone;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tarn_notify::{AlarmState, Channels, Notifier, Surroundings};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use crate::{
    house::{House, NOON, alarm, webhooks},
    http_server::HttpServer,
};

/// Folder, address, first alarm: what a process that is to be killed is told.
const ORDERS: &str = "TARN_NOTIFY_TEST_ORDERS";
const KILLS: usize = 25;

/// Not a test of its own: it is what the test below starts, and ends at once where nobody ordered anything.
#[test]
fn a_process_that_is_killed() {
    let Ok(orders) = env::var(ORDERS) else {
        return;
    };
    let orders: Vec<&str> = orders.split('\n').collect();
    let first = orders[2].parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(tell(Path::new(orders[0]), orders[1], first));
}

/// Raise and clear alarms for ever, and say each when it is safe, while what waits is delivered.
async fn tell(folder: &Path, url: &str, first: usize) {
    let channels = webhooks(&[("hook", url)]);
    let start = Instant::now();
    let clock = move || NOON + i64::try_from(start.elapsed().as_millis()).unwrap_or_default();
    let notifier = Notifier::open(
        &folder.join("notify.redb"),
        Channels::parse(&channels, folder).expect("channels"),
        Surroundings {
            clock: Arc::new(clock),
            zone: TimeZone::UTC,
            observer: None,
        },
    );
    let notifier = notifier.expect("opens");
    let running = notifier.clone();
    tokio::spawn(async move { running.run(CancellationToken::new()).await });
    for number in first.. {
        for state in [AlarmState::Raised, AlarmState::Cleared] {
            let alarms = [alarm(&format!("a{number}"), state)];
            notifier.reconcile(&alarms).await.expect("queues");
            println!("safe a{number} {}", word(state));
            std::io::stdout().flush().expect("flushes");
        }
    }
}

fn word(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Raised => "raised",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Cleared => "cleared",
    }
}

fn start(folder: &Path, url: &str, first: usize) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "kill::a_process_that_is_killed", "--nocapture"])
        .env(ORDERS, format!("{}\n{url}\n{first}", folder.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

#[tokio::test]
async fn whatever_was_safe_is_delivered_though_the_process_is_killed_again_and_again() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut safe: BTreeSet<(String, String)> = BTreeSet::new();
    let mut first = 0;
    for _ in 0..KILLS {
        let mut child = start(folder.path(), &server.url, first);
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut left = random.random_range(1..40);
        // What it had said before it was killed counts.
        while let Some(line) = lines.next_line().await.expect("reads") {
            let said: Vec<&str> = line.split(' ').collect();
            if let ["safe", alarm, state] = said[..] {
                first = alarm[1..].parse().expect("a number");
                safe.insert((alarm.to_owned(), state.to_owned()));
                left -= 1;
                if left == 0 {
                    child.start_kill().expect("kills");
                }
            }
        }
        assert!(!child.wait().await.expect("ends").success());
    }
    let mut house = House::start(folder.path(), &webhooks(&[("hook", &server.url)]));
    while !house.notifier.waiting().await.expect("reads").is_empty() {
        house.delivered().await;
    }
    house.stop().await;

    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let requests = server.rest();
    for request in &requests {
        let data = request.json()["data"].clone();
        let field = |name: &str| data[name].as_str().expect("a text").to_owned();
        let of_news = ids.entry((field("alarm"), field("state"))).or_default();
        of_news.insert(request.headers["webhook-id"].clone());
    }
    println!("{} safe, {} requests", safe.len(), requests.len());
    for news in &safe {
        let ids = ids.get(news).map_or(0, BTreeSet::len);
        assert_eq!(ids, 1, "{news:?} came under so many ids");
    }
}
