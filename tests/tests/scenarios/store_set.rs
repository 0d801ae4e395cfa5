use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tarn_common::{
    catalog::{Catalog, Snapshot},
    ids::StoreName,
    store::Store,
};
use tarn_tests::fault_proxy::{Fault, FaultProxy};
use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::{Finished, Launch, Service};
use tarn_tests::s3::S3Server;
use tarn_tests::{tools, wait};

const HOME: &str = "spread";
const LIMIT: Duration = Duration::from_secs(120);

/// A box, and three stores that each can fail alone.
struct Scene {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    stores: Vec<Place>,
    published: u64,
}

/// A bucket behind a proxy.
struct Place {
    name: &'static str,
    proxy: FaultProxy,
    /// The bucket by way of the proxy, as nodes are told it.
    url: String,
    /// The bucket itself.
    store: Store,
}

impl Scene {
    fn new(name: &str, names: &[&'static str]) -> Scene {
        let server = S3Server::shared();
        let place = |store: &&'static str| {
            let proxy = FaultProxy::start(&server.address());
            let url = server.fresh_store(&format!("{name}-{store}"));
            let variables = server.variables();
            let region = variables.iter().find(|(key, _)| key == "AWS_REGION");
            let region = region.map_or("us-east-1", |(_, region)| region.as_str());
            let at =
                |endpoint: &str| format!("{url}?name={store}&endpoint={endpoint}&region={region}");
            Place {
                name: store,
                store: open(&at(&server.endpoint())),
                url: at(&proxy.endpoint()),
                proxy,
            }
        };
        Scene {
            folder: tools::folder(name),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .expect("runtime"),
            stores: names.iter().map(place).collect(),
            published: 0,
        }
    }

    fn with_stores(&self, launch: Launch) -> Launch {
        let variables = S3Server::shared().variables();
        let stores = self.stores.iter();
        stores.fold(launch, |launch, place| launch.store(&place.url, &variables))
    }

    fn edge(&self) -> Launch {
        let edge = Launch::edge(self.folder.path(), HOME)
            .arg("--cut-age", "1s")
            .arg("--ship-timeout", "2s")
            .arg("--copies", 2);
        self.with_stores(edge)
    }

    fn tarn_stores(&self, words: &[&str]) -> Finished {
        let launch = Launch::command(self.folder.path(), "stores", &["stores"]);
        self.with_stores(launch).words(words).run()
    }

    /// Publishes readings of many devices, so that all shards have some.
    fn publish(&mut self, edge: &Service) {
        let client = Mosquitto::new(edge.mqtt_port());
        for device in 0..12 {
            let payloads = (0..20).map(|n| (self.published + n).to_string()).collect();
            let log = self.folder.path().join("publish.log");
            let topic = format!("home/meter-{device}/counter");
            let mut lines = client.publish_lines(&topic, payloads, 1, &log);
            assert_eq!(lines.wait(Duration::from_secs(30)), 0, "the box should ack");
            self.published += 20;
        }
    }

    /// The live chunks, by the logs of these stores together.
    fn chunks(&self, of: &[&str]) -> Snapshot {
        self.runtime.block_on(async {
            let mut catalog = Catalog::default();
            for place in self.stores.iter().filter(|p| of.contains(&p.name)) {
                let read = catalog.refresh(&place.store).await.expect("reads a log");
                assert_eq!(read.failed, [""; 0]);
            }
            catalog.snapshot()
        })
    }

    fn rows(&self, of: &[&str]) -> u64 {
        self.chunks(of).iter().map(|chunk| chunk.rows).sum()
    }

    /// Every chunk has so many copies, each where the log says, whole, and at its right role.
    fn check_copies(&self, of: &[&str], copies: usize) {
        let chunks = self.chunks(of);
        assert!(!chunks.is_empty());
        for chunk in chunks.iter() {
            let distinct: BTreeSet<&StoreName> = chunk.stores.iter().collect();
            assert_eq!(distinct.len(), copies, "{chunk:?}");
            for (at, name) in chunk.stores.iter().enumerate() {
                let place = self.stores.iter().find(|p| p.name == name.as_str());
                let store = &place.expect("a known store").store;
                let copy = self.runtime.block_on(store.get(&chunk.key.copy(at == 0)));
                let bytes = copy.unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(chunk.check(&bytes), Ok(()), "{name} {}", chunk.key);
            }
        }
    }

    /// Objects under `readings/` of all stores: an analyst who globs them sees each chunk once. What was moved away stays
    /// where it was for a while, so it is let go here first.
    fn check_globs(&self) {
        let verify = ["verify", "--repair", "--delete-unlogged", "--grace", "0s"];
        let verify = Launch::command(self.folder.path(), "verify", &verify);
        let _ = self.with_stores(verify).run().succeeded();
        let mut seen = BTreeSet::new();
        for place in &self.stores {
            for key in keys(&self.runtime, &place.store, "readings") {
                assert!(seen.insert(key.clone()), "{key} is a primary twice");
            }
        }
        let all: BTreeSet<String> = {
            let names: Vec<&str> = self.stores.iter().map(|p| p.name).collect();
            let chunks = self.chunks(&names);
            chunks.iter().map(|chunk| chunk.key.to_string()).collect()
        };
        assert_eq!(seen, all);
    }
}

fn open(url: &str) -> Store {
    let variables = S3Server::shared().variables();
    Store::open_with(url, &|name| {
        let found = variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    })
    .expect("opens")
}

fn keys(runtime: &tokio::runtime::Runtime, store: &Store, prefix: &str) -> Vec<String> {
    use futures::TryStreamExt;
    let listed = runtime.block_on(store.list(prefix, None).try_collect::<Vec<_>>());
    let listed = listed.expect("lists");
    listed.iter().map(|o| o.location.to_string()).collect()
}

fn metric(service: &Service, name: &str) -> f64 {
    let metrics = Http::new().get(&service.url("/metrics"), "*/*").text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// A store that fails: its copies go to another, and come home when it is back. The box works on all the while.
#[test]
fn what_a_store_that_is_away_should_have_goes_elsewhere_and_comes_home() {
    let mut scene = Scene::new("hints", &["a", "b", "c"]);
    let mut edge = scene.edge().serve();
    scene.publish(&edge);
    let all = ["a", "b", "c"];
    wait::until_true(LIMIT, "all should be in the stores", || {
        scene.rows(&all) == scene.published
    });
    scene.check_copies(&all, 2);
    scene.check_globs();
    let used: BTreeSet<StoreName> = scene
        .chunks(&all)
        .iter()
        .flat_map(|c| c.stores.clone())
        .collect();
    assert_eq!(used.len(), 3, "shards are spread over all three");

    scene.stores[1].proxy.set(Fault::Status(503));
    for _ in 0..4 {
        scene.publish(&edge);
        wait::until_true(LIMIT, "all should be in the other stores", || {
            scene.rows(&["a", "c"]) == scene.published
        });
    }
    wait::until_true(LIMIT, "nothing should wait", || {
        metric(&edge, "tarn_ship_backlog_entries") == 0.0
    });
    scene.check_copies(&["a", "c"], 2);
    let away: StoreName = "b".parse().expect("name");
    let home = |scene: &Scene| {
        scene
            .chunks(&all)
            .iter()
            .filter(|c| c.stores.contains(&away))
            .count()
    };
    let before = home(&scene);

    // A power cut in between: what went elsewhere is known from the box's own log.
    edge.kill_9();
    edge.restart();
    scene.stores[1].proxy.set(Fault::None);
    wait::until_true(LIMIT, "what is the store's should come home", || {
        metric(&edge, "tarn_ship_handed_back_total") > 0.0 && home(&scene) > before
    });
    scene.publish(&edge);
    wait::until_true(LIMIT, "each store should have the whole log", || {
        all.iter()
            .all(|store| scene.rows(&[store]) == scene.published)
    });
    assert_eq!(edge.terminate(), 0);
    scene.check_copies(&all, 2);
    scene.check_globs();
}

/// Two stores and two copies: with one of them away the readings are visible from the other, stay on the box, and
/// get their second copy when it is back.
#[test]
fn with_too_few_stores_the_box_keeps_what_has_one_copy_only() {
    let mut scene = Scene::new("short", &["a", "b"]);
    scene.stores[0].proxy.set(Fault::Status(503));
    let mut edge = scene.edge().serve();
    scene.publish(&edge);
    wait::until_true(LIMIT, "all should be in the store that answers", || {
        scene.rows(&["b"]) == scene.published
    });
    scene.check_copies(&["b"], 1);
    assert!(
        metric(&edge, "tarn_ship_backlog_entries") > 0.0,
        "it waits for the second copy"
    );
    scene.stores[0].proxy.set(Fault::None);
    wait::until_true(LIMIT, "the second copies should be made", || {
        metric(&edge, "tarn_ship_backlog_entries") == 0.0
    });
    assert_eq!(edge.terminate(), 0);
    scene.check_copies(&["a", "b"], 2);
    scene.check_globs();
}

/// The whole life of a store by the command line: added, filled, drained, removed; and what is refused.
#[test]
fn stores_are_added_drained_and_removed() {
    let mut scene = Scene::new("change", &["a", "b", "c"]);
    let third = scene.stores.pop().expect("a third");
    let mut edge = scene.edge().serve();
    for _ in 0..3 {
        scene.publish(&edge);
        wait::until_true(LIMIT, "all should be in the stores", || {
            scene.rows(&["a", "b"]) == scene.published
        });
    }
    assert_eq!(edge.terminate(), 0);

    let place = third.url.replace("name=c&", "");
    let added = scene.tarn_stores(&["add", "c", &place]).succeeded();
    assert!(added.contains("version 2"), "{added}");
    let plan = json_of(&scene.tarn_stores(&["plan", "--json"]).succeeded());
    assert!(plan["copies"].as_u64() > Some(0), "{plan}");
    let rebalanced = scene.tarn_stores(&["rebalance"]).succeeded();
    scene.stores.push(third);
    let all = ["a", "b", "c"];
    scene.check_copies(&all, 2);
    scene.check_globs();
    let list = json_of(&scene.tarn_stores(&["list", "--json"]).succeeded());
    assert_eq!(list["loads"], plan["after"], "{rebalanced}");

    // What cannot be is refused with what to do instead.
    let refused = |words: &[&str], says: &str| {
        let told = scene.tarn_stores(words);
        assert_eq!(told.code(), 2, "{words:?}: {}", told.stderr);
        assert!(told.stderr.contains(says), "{words:?}: {}", told.stderr);
    };
    refused(&["remove", "a"], "drain it first");
    refused(&["weigh", "a", "0"], "0.001 to 1000000");
    refused(&["weigh", "a", "-1"], "0.001 to 1000000");
    refused(&["weigh", "a", "1e308"], "0.001 to 1000000");
    refused(&["copies", "4"], "add a store");
    refused(&["drain", "d"], "there are a, b, c");
    let same = scene.stores[0].url.replace("name=a&", "");
    refused(&["add", "d", &same], "the same place");
    let direct = same.replace(
        &scene.stores[0].proxy.endpoint(),
        &S3Server::shared().endpoint(),
    );
    refused(&["add", "d", &direct], "the same place");
    let others = others_store();
    refused(&["add", "d", &others], "holds the data of fleet");

    let _ = scene.tarn_stores(&["drain", "a"]).succeeded();
    let _ = scene.tarn_stores(&["rebalance"]).succeeded();
    scene.check_copies(&all, 2);
    scene.check_globs();
    let chunks = scene.chunks(&all);
    assert!(
        chunks
            .iter()
            .all(|c| c.stores.iter().all(|name| name.as_str() != "a"))
    );
    let _ = scene.tarn_stores(&["remove", "a"]).succeeded();
    refused(&["remove", "b"], "copies");

    // The box goes by the new set at its next start, whatever its flags say.
    edge.restart();
    scene.publish(&edge);
    wait::until_true(LIMIT, "all should be in the stores that are left", || {
        scene.rows(&["b", "c"]) == scene.published
    });
    assert_eq!(edge.terminate(), 0);
    scene.check_copies(&["b", "c"], 2);
}

/// A store is lost with all that it held: the cloud makes the copies again from the others.
#[test]
fn a_lost_store_is_made_up_for() {
    let mut scene = Scene::new("lost", &["a", "b", "c"]);
    let mut edge = scene.edge().serve();
    let cloud = Launch::cloud(scene.folder.path())
        .arg("--upkeep-every", "200ms")
        .arg("--refresh", "200ms");
    let cloud = scene.with_stores(cloud).serve();
    for _ in 0..3 {
        scene.publish(&edge);
    }
    let all = ["a", "b", "c"];
    wait::until_true(LIMIT, "all should be in the stores", || {
        scene.rows(&all) == scene.published
    });
    assert_eq!(edge.terminate(), 0);
    let http = Http::new();
    scene.stores[2].proxy.set(Fault::Status(503));
    let lost = http.patch(&cloud.url("/v1/stores/c"), &json!({ "state": "lost" }));
    assert_eq!(lost.status, 200, "{}", lost.text());
    let is_left = |scene: &Scene| {
        let chunks = scene.chunks(&["a", "b"]);
        chunks
            .iter()
            .all(|c| c.stores.len() == 2 && c.stores.iter().all(|s| s.as_str() != "c"))
    };
    wait::until_true(LIMIT, "each chunk should have two copies again", || {
        is_left(&scene)
    });
    scene.check_copies(&["a", "b"], 2);
    let stores = http.json(&cloud.url("/v1/stores"));
    assert_eq!(stores["stores"][2]["state"], "lost", "{stores}");
    assert_eq!(stores["stores"][2]["chunks"], 0, "{stores}");
    let count = http.json(&cloud.url("/v1/homes"));
    assert_eq!(count["homes"][0]["rows"], scene.published, "{count}");
    let plan = http.json(&cloud.url("/v1/stores/plan"));
    assert_eq!(plan["moves_total"], 0, "{plan}");
}

/// A store of another fleet.
fn others_store() -> String {
    let other = Scene::new("others", &["x"]);
    let founded = other.tarn_stores(&["copies", "1"]).succeeded();
    assert!(founded.contains("copies 1"), "{founded}");
    other.stores[0].url.replace("name=x&", "").replace(
        &other.stores[0].proxy.endpoint(),
        &S3Server::shared().endpoint(),
    )
}

fn json_of(stdout: &str) -> Value {
    serde_json::from_str(stdout).expect("JSON")
}

/// The article's case, as `tarn demo --stores` prints and checks it.
#[test]
fn the_demo_of_stores_checks_itself() {
    let folder = tools::folder("demo-stores");
    let demo = Launch::command(folder.path(), "demo", &["demo", "--stores"])
        .run()
        .succeeded();
    for said in [
        "1  Spread",
        "2  store-1 is given",
        "3  Levelled",
        "4  One node",
        "5  A copy is damaged",
        "All as it should be.",
    ] {
        assert!(demo.contains(said), "{said}: {demo}");
    }
}
