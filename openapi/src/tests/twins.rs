use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tarn_common::{
    clock::{Clock, ManualClock},
    event::AuditEntry,
    ids::HomeId,
    query::{Engine, EngineSettings, Limits},
    twin::{
        document::{DocumentId, DocumentKey, Section},
        edit::Edit,
        home::{self, HomeTwins},
        replica::{Bundle, OWNER},
        store::{TwinStore, TwinStoreError},
        write::DEVICE,
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{DAY, DEVICE as SILENT, ENCODED, People, lake, problem};
use crate::{
    Access, BoxInfo, Command, DeviceError, DeviceService, HttpSettings, Kind, KnownDevice, Service,
    SetRequest, Wanted, frames, serve,
};

const NOW: i64 = DAY + 12 * 3_600_000;
const BOX: &str = "00c0ffee00c0ffee";

/// Keeps nothing: what is stored is stored.
#[derive(Debug)]
struct NoStore;

#[async_trait]
impl TwinStore for NoStore {
    async fn load(&self) -> Result<Vec<Bundle>, TwinStoreError> {
        Ok(Vec::new())
    }

    async fn append(&self, _: &[Bundle]) -> Result<(), TwinStoreError> {
        Ok(())
    }

    fn worn(&self) -> Vec<DocumentKey> {
        Vec::new()
    }

    async fn compact(&self, _: &[Bundle], _: &[DocumentKey]) -> Result<(), TwinStoreError> {
        Ok(())
    }
}

async fn twins(node: &str, clock: &Arc<ManualClock>) -> Arc<HomeTwins> {
    let (home, store) = ("h".parse().unwrap(), Arc::new(NoStore));
    let open = HomeTwins::open(home, node, true, store, clock.clone(), home::changes());
    Arc::new(open.await.unwrap())
}

/// A cloud with one home, whose box may be away.
struct Devices {
    twins: Arc<HomeTwins>,
    clock: Arc<ManualClock>,
    is_away: bool,
}

impl Devices {
    fn has(&self, home: &HomeId) -> bool {
        home == self.twins.home()
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            twins: &self.twins,
            clock: &*self.clock,
        }
    }
}

#[async_trait]
impl DeviceService for Devices {
    async fn twins(&self, home: &HomeId) -> Result<Option<Arc<HomeTwins>>, DeviceError> {
        Ok(self.has(home).then(|| self.twins.clone()))
    }

    async fn known(&self, _: &HomeId) -> Vec<KnownDevice> {
        Vec::new()
    }

    async fn device(&self, _: &HomeId, _: &str) -> Option<KnownDevice> {
        None
    }

    async fn ids(&self, _: &HomeId, id: &str) -> (String, Vec<String>) {
        // A device that was merged into the lamp.
        let id = if id == "bulb" { "lamp" } else { id };
        (id.to_owned(), vec![id.to_owned()])
    }

    async fn merge(&self, _: &HomeId, _: &str, _: &str) -> Result<(), DeviceError> {
        Err(DeviceError::Unavailable("a box does this".into()))
    }

    async fn split(&self, _: &HomeId, _: &str, _: Vec<String>) -> Result<String, DeviceError> {
        Err(DeviceError::Unavailable("a box does this".into()))
    }

    async fn set(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        let (id, _) = self.ids(home, id).await;
        let document = DocumentId::device(&id);
        if self
            .twins
            .read(|replica| replica.document(&document).is_none())
        {
            return Err(DeviceError::NotFound(format!("there is no device {id:?}")));
        }
        self.wanted().set(&id, &request, wait).await
    }

    async fn call(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        _: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        if self.is_away {
            return Err(DeviceError::Away(format!("box {BOX} is away")));
        }
        let mut commands = self.set(home, id, request, Duration::ZERO).await?;
        for command in &mut commands {
            command.status = "confirmed".into();
            command.done = Some(command.sent.clone());
        }
        Ok(commands)
    }

    async fn commands(&self, _: &HomeId, id: &str) -> Vec<Command> {
        self.wanted().commands(id)
    }

    async fn command(&self, _: &HomeId, id: &str, wait: Duration) -> Option<Command> {
        self.wanted().command(id, wait).await
    }

    async fn boxes(&self, _: &HomeId) -> Vec<BoxInfo> {
        vec![BoxInfo {
            edge: BOX.into(),
            online: Some(!self.is_away),
            ..BoxInfo::default()
        }]
    }

    async fn sync(&self, _: &HomeId, from: &str, body: &[u8]) -> Result<Vec<Vec<u8>>, DeviceError> {
        Ok(self.twins.receive(from, body).await?.replies)
    }
}

#[derive(Debug)]
struct Host {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    kind: Kind,
    twins: Arc<HomeTwins>,
    is_away: bool,
    people: People,
}

#[async_trait]
impl Service for Host {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn access(&self) -> &Arc<Access> {
        &self.people.access
    }

    async fn audit(&self, _: &HomeId, _: AuditEntry) {}

    fn home(&self) -> Option<HomeId> {
        (self.kind == Kind::Edge).then(|| self.twins.home().clone())
    }

    fn devices(&self) -> Option<Arc<dyn DeviceService>> {
        Some(Arc::new(Devices {
            twins: self.twins.clone(),
            clock: self.clock.clone(),
            is_away: self.is_away,
        }))
    }

    fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Fixture {
    url: String,
    http: reqwest::Client,
    clock: Arc<ManualClock>,
    /// What is served.
    twins: Arc<HomeTwins>,
    /// The box's own replica.
    box_twins: Arc<HomeTwins>,
}

impl Fixture {
    async fn new(kind: Kind, is_away: bool) -> Fixture {
        let clock = Arc::new(ManualClock::at(NOW));
        let settings = EngineSettings {
            threads: 1,
            ..EngineSettings::default()
        };
        let twins_served = twins("cloud", &clock).await;
        let host = Arc::new(Host {
            engine: Arc::new(Engine::new(Arc::new(lake()), &settings).unwrap()),
            clock: clock.clone(),
            kind,
            twins: twins_served.clone(),
            is_away,
            people: People::at(NOW),
        });
        let http = host.people.owner().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (registry, stop) = (Arc::default(), CancellationToken::new());
        tokio::spawn(serve(
            listener,
            host,
            registry,
            HttpSettings::default(),
            stop,
        ));
        let fixture = Fixture {
            url,
            http,
            box_twins: twins(BOX, &clock).await,
            clock,
            twins: twins_served,
        };
        let policy = r#"{"policy":"safe","order":["LOCK","UNLOCK"],"live":true}"#;
        let lamp = DocumentId::device("lamp");
        let edits = [
            (Section::Meta, OWNER, json!(BOX)),
            (Section::About, "name", json!("Lamp 3000")),
            (Section::About, "room", json!("Hall")),
            (Section::Reported, "state", json!(true)),
            (Section::Policy, "lock", json!(policy)),
        ];
        let edits = edits
            .map(|(section, attribute, value)| Edit::new(lamp.clone(), section, attribute, value));
        fixture.box_twins.edit(&edits, BOX).await.unwrap();
        fixture.meet().await;
        fixture
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/v1/homes/h{path}", self.url))
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        let ask = self
            .ask(method, path)
            .header("content-type", "application/json");
        ask.body(body.to_string()).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        ok(self.ask(Method::GET, path).send().await.unwrap(), 200).await
    }

    async fn etag(&self, path: &str) -> String {
        let response = self.ask(Method::GET, path).send().await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_owned()
    }

    /// The box wants or says something, the cloud knowing nothing of it.
    async fn box_edit(&self, section: Section, attribute: &str, value: Value, by: &str) -> String {
        let edit = Edit::new(DocumentId::device("lamp"), section, attribute, value);
        let mut ids = self.box_twins.edit(&[edit], by).await.unwrap();
        ids.remove(0)
    }

    /// Make the box's replica and the one that is served equal, by what the interface has for it; gives how many requests it took.
    async fn meet(&self) -> usize {
        let root = |twins: &HomeTwins| twins.read(|replica| replica.root());
        let mut bodies = vec![self.box_twins.digest()];
        for asked in 0..50 {
            let Some(body) = bodies.pop() else {
                assert_eq!(root(&self.twins), root(&self.box_twins));
                return asked;
            };
            let ask = self
                .ask(Method::POST, "/sync")
                .header("content-type", "application/octet-stream")
                .header("tarn-node", BOX);
            let response = ask.body(body).send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(
                response.headers()["content-type"],
                "application/octet-stream"
            );
            for body in frames::read(&response.bytes().await.unwrap()).unwrap() {
                let received = self.box_twins.receive("cloud", &body).await.unwrap();
                assert!(received.faults.is_empty(), "{:?}", received.faults);
                bodies.extend(received.replies);
            }
        }
        panic!("they never end");
    }
}

async fn ok(response: Response, status: u16) -> Value {
    let (is, url) = (response.status().as_u16(), response.url().clone());
    let text = response.text().await.unwrap();
    assert_eq!(is, status, "{url}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

#[tokio::test]
async fn a_device_shows_its_twin() {
    let fixture = Fixture::new(Kind::Cloud, false).await;
    let wall = fixture
        .box_edit(Section::Desired, "state", json!(false), "wall")
        .await;
    fixture.meet().await;
    let device = fixture.get("/devices/bulb").await;
    assert_eq!(
        (&device["device"]["device"], &device["device"]["rows"]),
        (&json!("lamp"), &json!(0))
    );
    assert_eq!(device["announced"]["name"], "Lamp 3000");
    assert_eq!(
        device["twin"],
        json!({
            "name": "Lamp 3000", "room": "Hall", "owner": BOX, "conflicts": 0,
            "reported": {"state": true},
            "desired": {"state": {
                "value": false, "by": "wall", "at": "2024-10-04T12:00:00.000Z", "ttl_s": null,
                "command": wall, "status": "pending", "reason": null,
            }},
        })
    );
    let listed = fixture.get("/devices").await;
    let ids: Vec<&Value> = listed["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| &device["device"])
        .collect();
    assert_eq!(ids, [SILENT, "lamp"]);
    // A device with readings and no twin.
    let response = fixture
        .ask(Method::GET, &format!("/devices/{ENCODED}"))
        .send()
        .await
        .unwrap();
    assert!(response.headers().get("etag").is_none());
    assert_eq!(ok(response, 200).await["twin"], Value::Null);
    let nobody = fixture.ask(Method::GET, "/devices/nobody").send().await;
    problem(nobody.unwrap(), 404).await;
    let edge = Fixture::new(Kind::Edge, false).await;
    let other = format!("{}/v1/homes/other/devices/lamp/history", edge.url);
    let told = problem(edge.http.get(other).send().await.unwrap(), 404).await;
    assert_eq!(told["detail"], "this is the box of home h");
}

#[tokio::test]
async fn a_name_is_given_and_taken_back() {
    let fixture = Fixture::new(Kind::Edge, false).await;
    let before = fixture.etag("/devices/lamp").await;
    let name = json!({"name": "Reading lamp", "room": "Library"});
    let patch = |body: Value, etag: Option<&str>| {
        let ask = fixture
            .ask(Method::PATCH, "/devices/bulb")
            .header("content-type", "application/json")
            .header("tarn-author", "Ada");
        let ask = match etag {
            Some(etag) => ask.header("if-match", etag),
            None => ask,
        };
        let sent = ask.body(body.to_string()).send();
        async { sent.await.unwrap() }
    };
    fixture.clock.set(NOW + 1_000);
    let response = patch(name.clone(), Some(&before)).await;
    let after = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(before, after);
    let named = ok(response, 200).await;
    assert_eq!(
        (&named["name"], &named["room"]),
        (&json!("Reading lamp"), &json!("Library"))
    );
    assert_eq!(fixture.etag("/devices/lamp").await, after);
    let refused = problem(patch(json!({"name": "x"}), Some(&before)).await, 412).await;
    assert_eq!(refused["type"], "urn:tarn:problem:changed");
    problem(patch(json!({"name": "x"}), Some("W/\"1\"")).await, 400).await;
    // The same again is no change.
    let again = patch(name, Some("*")).await;
    assert_eq!(again.headers()["etag"], after.as_str());
    let history = fixture.get("/devices/lamp/history?limit=2").await;
    let changes = history["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2);
    for change in changes {
        assert_eq!(
            (&change["by"], &change["section"], &change["at"]),
            (
                &json!("Ada"),
                &json!("meta"),
                &json!("2024-10-04T12:00:01.000Z")
            )
        );
    }
    fixture.clock.set(NOW + 2_000);
    let back = ok(patch(json!({"name": ""}), None).await, 200).await;
    assert_eq!(
        (&back["name"], &back["room"]),
        (&json!("Lamp 3000"), &json!("Library"))
    );
    fixture.meet().await;
    let path = format!("/devices/{ENCODED}");
    let silent = fixture
        .send(Method::PATCH, &path, json!({"name": "Attic"}))
        .await;
    assert_eq!(ok(silent, 200).await["name"], "Attic");
    let nobody = fixture
        .send(Method::PATCH, "/devices/nobody", json!({"name": "x"}))
        .await;
    problem(nobody, 404).await;
    for author in ["device", " ", &"x".repeat(65), "tab\tbed"] {
        let ask = fixture
            .ask(Method::PATCH, "/devices/lamp")
            .header("content-type", "application/json");
        let ask = ask.header("tarn-author", author).body("{\"name\": \"x\"}");
        problem(ask.send().await.unwrap(), 400).await;
    }
}

#[tokio::test]
async fn what_is_wanted_is_followed_to_its_end() {
    let fixture = Fixture::new(Kind::Cloud, false).await;
    let etag = fixture.etag("/devices/lamp").await;
    let body = json!({"state": false, "brightness": 120});
    let ask = |etag: &str, query: &str, body: &Value| {
        let path = format!("/devices/lamp/desired{query}");
        let ask = fixture
            .ask(Method::PATCH, &path)
            .header("content-type", "application/json");
        let sent = ask.header("if-match", etag).body(body.to_string()).send();
        async { sent.await.unwrap() }
    };
    let response = ask(&etag, "?ttl=10m&timeout=5s&wait=1ms", &body).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let set = ok(response, 202).await;
    let first = &set["commands"][0];
    assert_eq!(
        (&first["metric"], &first["status"], &first["deadline"]),
        (
            &json!("brightness"),
            &json!("pending"),
            &json!("2024-10-04T12:10:00.000Z")
        )
    );
    let id = first["command"].as_str().unwrap();
    assert_eq!(location, format!("/v1/homes/h/commands/{id}"));
    problem(ask(&etag, "", &body).await, 412).await;
    problem(ask("*", "?ttl=1y", &body).await, 400).await;
    problem(ask("*", "", &json!({})).await, 400).await;
    // The box carries it out.
    fixture.meet().await;
    fixture.clock.set(NOW + 2_000);
    let ack = json!(format!("{id}:confirmed"));
    fixture.box_edit(Section::Ack, "brightness", ack, BOX).await;
    fixture.meet().await;
    let followed = fixture.get(&format!("/commands/{id}?wait=1s")).await;
    assert_eq!(
        (&followed["status"], &followed["done"], &followed["device"]),
        (
            &json!("confirmed"),
            &json!("2024-10-04T12:00:02.000Z"),
            &json!("lamp")
        )
    );
    let commands = fixture.get("/devices/lamp/commands").await;
    let statuses: Vec<(&Value, &Value)> = commands["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| (&command["metric"], &command["status"]))
        .collect();
    assert_eq!(statuses.len(), 2);
    assert!(statuses.contains(&(&json!("state"), &json!("pending"))));
    let device = fixture.get("/devices/lamp").await;
    let wanted = &device["twin"]["desired"]["brightness"];
    assert_eq!(
        (&wanted["by"], &wanted["status"], &wanted["ttl_s"]),
        (&json!("owner"), &json!("confirmed"), &json!(600))
    );
    let unknown = fixture
        .ask(Method::GET, "/commands/01KAV6M3V7XJ3T1S9Q4YB2N8ZD")
        .send();
    problem(unknown.await.unwrap(), 404).await;
}

#[tokio::test]
async fn what_is_unsafe_late_is_for_now() {
    let fixture = Fixture::new(Kind::Cloud, false).await;
    let unlock = json!({"lock": "UNLOCK"});
    let path = "/devices/lamp/desired";
    let (long, hour) = (format!("{path}?ttl=31s"), format!("{path}?ttl=1h"));
    let refused = fixture.send(Method::PATCH, &long, unlock.clone());
    let refused = problem(refused.await, 400).await;
    assert!(
        refused["detail"].as_str().unwrap().contains("POST …/call"),
        "{refused}"
    );
    let set = fixture.send(Method::PATCH, path, unlock.clone()).await;
    let set = ok(set, 202).await;
    assert_eq!(set["commands"][0]["deadline"], "2024-10-04T12:00:30.000Z");
    fixture.clock.set(NOW + 30_001);
    let id = set["commands"][0]["command"].as_str().unwrap();
    let late = fixture.get(&format!("/commands/{id}")).await;
    assert_eq!(late["status"], "timed_out");
    let safe = fixture.send(Method::PATCH, &hour, json!({"lock": "LOCK"}));
    ok(safe.await, 202).await;
    let called = fixture.send(Method::POST, "/devices/lamp/call", unlock.clone());
    let called = ok(called.await, 200).await;
    assert_eq!(called["commands"][0]["status"], "confirmed");
    let away = Fixture::new(Kind::Cloud, true).await;
    let refused = away.send(Method::POST, "/devices/lamp/call", unlock).await;
    let refused = problem(refused, 503).await;
    assert_eq!(refused["type"], "urn:tarn:problem:away");
}

#[tokio::test]
async fn a_conflict_shows_both_authors_until_it_is_settled() {
    let fixture = Fixture::new(Kind::Cloud, false).await;
    let ask = fixture
        .ask(Method::PATCH, "/devices/lamp/desired")
        .header("content-type", "application/json")
        .header("tarn-author", "Ada's phone");
    let app = ask.body("{\"setpoint\": 23}").send().await.unwrap();
    let app = ok(app, 202).await["commands"][0]["command"].clone();
    fixture.clock.set(NOW + 60_000);
    let dial = fixture
        .box_edit(Section::Desired, "setpoint", json!(18), DEVICE)
        .await;
    let conflicts = fixture.get("/devices/lamp/conflicts").await;
    assert_eq!(conflicts, json!({"conflicts": []}));
    fixture.meet().await;
    let conflicts = fixture.get("/devices/lamp/conflicts").await;
    assert_eq!(
        conflicts["conflicts"],
        json!([{
            "metric": "setpoint",
            "winner": {"value": 18, "by": "device", "at": "2024-10-04T12:01:00.000Z", "command": dial, "why": null},
            "losers": [{"value": 23, "by": "Ada's phone", "at": "2024-10-04T12:00:00.000Z", "command": app, "why": "changed_at_device"}],
        }])
    );
    assert_eq!(fixture.get("/devices/lamp").await["twin"]["conflicts"], 1);
    let told = fixture
        .get(&format!("/commands/{}", app.as_str().unwrap()))
        .await;
    assert_eq!(
        (&told["status"], &told["reason"]),
        (
            &json!("refused"),
            &json!("changed_at_device: device set 18")
        )
    );
    let path = "/devices/lamp/conflicts/setpoint/resolve";
    let stale = fixture
        .ask(Method::POST, path)
        .header("content-type", "application/json")
        .header("if-match", "\"00\"");
    problem(stale.body("{}").send().await.unwrap(), 412).await;
    let settled = fixture.send(Method::POST, path, json!({})).await;
    assert!(settled.headers().contains_key("location"));
    let settled = ok(settled, 202).await;
    assert_eq!(settled["commands"][0]["value"], 18);
    assert_eq!(fixture.get("/devices/lamp").await["twin"]["conflicts"], 0);
    problem(fixture.send(Method::POST, path, json!({})).await, 404).await;
    // The other way round: somebody takes what lost.
    fixture
        .box_edit(Section::Desired, "setpoint", json!(17), DEVICE)
        .await;
    fixture.meet().await;
    assert_eq!(fixture.get("/devices/lamp").await["twin"]["conflicts"], 1);
    let settled = fixture.send(Method::POST, path, json!({"value": 20}));
    assert_eq!(ok(settled.await, 202).await["commands"][0]["value"], 20);
    fixture.meet().await;
    let held = fixture.box_twins.read(|replica| {
        let document = replica.document(&DocumentId::device("lamp")).unwrap();
        document.resolve(Section::Desired, "setpoint", NOW + 60_000)
    });
    assert!(!held.is_conflict());
    assert_eq!(held.winner.unwrap().v, 20);
}

#[tokio::test]
async fn a_home_has_rooms_members_and_boxes() {
    let fixture = Fixture::new(Kind::Cloud, true).await;
    let put = fixture
        .ask(Method::PUT, "/rooms/Wine%2Fcellar")
        .send()
        .await;
    assert_eq!(
        ok(put.unwrap(), 200).await,
        json!({"room": "Wine/cellar", "devices": 0})
    );
    let ada = json!({"name": "Ada", "role": "owner"});
    let shown = json!({
        "member": "ada", "name": "Ada", "role": "owner", "tracker": null, "is": null, "since": null,
    });
    for _ in 0..2 {
        let put = fixture.send(Method::PUT, "/members/ada", ada.clone()).await;
        assert_eq!(ok(put, 200).await, shown);
    }
    let changes = fixture.twins.read(|replica| {
        replica
            .document(&DocumentId::home())
            .unwrap()
            .changes_count()
    });
    // The first made the document, and the second put of the same is none.
    assert_eq!(changes, 3);
    let boxes = fixture.get("/boxes").await["boxes"].clone();
    assert_eq!(
        (&boxes[0]["edge"], &boxes[0]["online"], &boxes[0]["version"]),
        (&json!(BOX), &json!(false), &Value::Null)
    );
    assert_eq!(
        fixture.get("").await,
        json!({
            "home": "h", "devices": 1, "boxes": boxes,
            "rooms": [{"room": "Hall", "devices": 1}, {"room": "Wine/cellar", "devices": 0}],
            "members": [shown],
        })
    );
    for path in ["/rooms/Wine%2Fcellar", "/members/ada"] {
        let gone = fixture.ask(Method::DELETE, path).send().await.unwrap();
        assert_eq!(gone.status(), 204, "{path}");
        let gone = fixture.ask(Method::DELETE, path).send().await.unwrap();
        problem(gone, 404).await;
    }
    assert_eq!(fixture.get("/members").await, json!({"members": []}));
    fixture.meet().await;
    let long = format!("/rooms/{}", "x".repeat(257));
    problem(fixture.ask(Method::PUT, &long).send().await.unwrap(), 400).await;
    let other = format!("{}/v1/homes/other", fixture.url);
    problem(fixture.http.get(other).send().await.unwrap(), 404).await;
}

#[tokio::test]
async fn replicas_are_made_equal_over_http() {
    let fixture = Fixture::new(Kind::Cloud, false).await;
    assert_eq!(fixture.meet().await, 1, "nothing new is one request");
    for n in 0..100 {
        let id = DocumentId::device(&format!("plug {n}"));
        let edit = Edit::new(id.clone(), Section::Meta, "name", format!("Plug {n}"));
        let to = if n % 2 == 0 {
            &fixture.twins
        } else {
            &fixture.box_twins
        };
        to.edit(&[edit], "ada").await.unwrap();
    }
    assert!(fixture.meet().await > 1);
    assert_eq!(fixture.get("").await["devices"], 101);
    let ask = |node: Option<&str>, body: Vec<u8>| {
        let ask = fixture
            .ask(Method::POST, "/sync")
            .header("content-type", "application/octet-stream");
        let ask = match node {
            Some(node) => ask.header("tarn-node", node),
            None => ask,
        };
        let sent = ask.body(body).send();
        async { sent.await.unwrap() }
    };
    problem(ask(None, fixture.box_twins.digest()).await, 400).await;
    problem(ask(Some(" "), fixture.box_twins.digest()).await, 400).await;
    problem(ask(Some(BOX), vec![1; (1 << 20) + 1]).await, 413).await;
    let nonsense = ask(Some(BOX), b"nonsense".to_vec()).await;
    assert_eq!(nonsense.status(), 200);
    assert!(nonsense.bytes().await.unwrap().is_empty());
}
