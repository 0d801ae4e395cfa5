//! Walks through a home with clients that are generated from the committed OpenAPI documents: at its box (`TARN_BOX_URL`), and at a
//! cloud (`TARN_CLOUD_URL`) that the box is linked with, as an owner of all homes (`TARN_TOKEN`). One line a step; the exit code
//! is 1 if one of them failed.

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

/// What a box serves; a cloud serves all of it that is used here.
mod home {
    progenitor::generate_api!(spec = "../../../openapi/edge.json", interface = Builder);
}

/// What a cloud serves.
mod cloud {
    progenitor::generate_api!(spec = "../../../openapi/cloud.json", interface = Builder);
}

type Step = Result<(), Box<dyn Error>>;

const PAGE: u32 = 7;
const PAGES_MAX: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

struct Walk {
    kind: &'static str,
    url: String,
    home: String,
    api: home::Client,
    failed: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut failed = 0;
    for (kind, url) in [("box", "TARN_BOX_URL"), ("cloud", "TARN_CLOUD_URL")] {
        let url = std::env::var(url)?;
        let http = with_token(&std::env::var("TARN_TOKEN")?)?;
        let mut walk = Walk {
            kind,
            home: std::env::var("TARN_HOME")?,
            api: home::Client::new_with_client(&url, http.clone()),
            url,
            failed: 0,
        };
        walk.all(http).await;
        failed += walk.failed;
    }
    println!("{failed} failed");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn with_token(token: &str) -> Result<reqwest::Client, Box<dyn Error>> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    Ok(reqwest::Client::builder()
        .default_headers(headers)
        .build()?)
}

impl Walk {
    async fn all(&mut self, http: reqwest::Client) {
        let told = self.homes().await;
        self.tell("lists the home, and tells about it", told);
        let told = self.readings().await;
        self.tell("reads readings page by page, in the order of time", told);
        let told = self.sql().await;
        self.tell("lists gaps, and answers SQL", told);
        let told = self.command().await;
        self.tell("switches a device, and follows the command", told);
        let told = self.names().await;
        self.tell("makes a room and a member, and takes both away", told);
        let told = self.past().await;
        self.tell("tells history, conflicts and boxes", told);
        let told = self.tokens().await;
        self.tell("makes a token that is good, and revokes it", told);
        let told = self.audit().await;
        self.tell("tells who changed what", told);
        if self.kind == "cloud" {
            let api = cloud::Client::new_with_client(&self.url, http);
            let told = stores(&api).await;
            self.tell(
                "lists stores, what it would move, and what was checked",
                told,
            );
        }
    }

    fn tell(&mut self, what: &str, told: Step) {
        match told {
            Ok(()) => println!("pass  {}: {what}", self.kind),
            Err(error) => {
                self.failed += 1;
                println!("FAIL  {}: {what}: {error}", self.kind);
            }
        }
    }

    async fn homes(&self) -> Step {
        let homes = self.api.list_homes().send().await?.into_inner().homes;
        check(
            homes.iter().any(|one| one.home == self.home),
            "the home is listed",
        )?;
        let detail = self
            .api
            .get_home()
            .home(&self.home)
            .send()
            .await?
            .into_inner();
        check(detail.devices > 10, "it has devices")
    }

    async fn devices(&self) -> Result<Vec<home::types::Device>, Box<dyn Error>> {
        let list = self.api.list_devices().home(&self.home).send().await?;
        Ok(list.into_inner().devices)
    }

    /// The id of a switch.
    async fn plug(&self) -> Result<String, Box<dyn Error>> {
        let devices = self.devices().await?;
        let mut plugs = devices
            .into_iter()
            .filter(|one| one.name.as_deref() == Some("kitchen/plug"));
        Ok(plugs.next().ok_or("there is no plug")?.device)
    }

    async fn readings(&self) -> Step {
        let devices = self.devices().await?;
        let plain = devices.iter().filter(|one| one.device.contains('/'));
        let device = &plain
            .max_by_key(|one| one.rows)
            .ok_or("no plain device")?
            .device;
        let mut times = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let mut ask = self.api.list_readings().home(&self.home).device(device);
            ask = ask.limit(PAGE).from("-30d");
            if let Some(cursor) = cursor.take() {
                ask = ask.cursor::<String>(cursor);
            }
            let page = ask.send().await?.into_inner();
            times.extend(page.readings.into_iter().map(|reading| reading.ts));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        check(
            times.len() > PAGE as usize && times.is_sorted(),
            "they are in order",
        )
    }

    async fn sql(&self) -> Step {
        let gaps = self
            .api
            .list_gaps()
            .home(&self.home)
            .from("-30d")
            .send()
            .await?
            .into_inner();
        check(gaps.count as usize == gaps.gaps.len(), "gaps are counted")?;
        let sql = "SELECT device, count(*) AS n FROM readings GROUP BY device";
        let question = home::types::SqlRequest::builder().sql(sql);
        let answer = self
            .api
            .query_sql()
            .body(question)
            .send()
            .await?
            .into_inner();
        check(
            answer.columns.len() == 2 && answer.rows.len() > 1,
            "it has rows",
        )
    }

    async fn command(&self) -> Step {
        let plug = self.plug().await?;
        let detail = self
            .api
            .get_device()
            .home(&self.home)
            .device(&plug)
            .send()
            .await?
            .into_inner();
        let twin = detail.twin.ok_or("it has no twin")?;
        let is_on = twin.reported.get("state") == Some(&Value::Bool(true));
        let wanted = Map::from_iter([("state".to_owned(), Value::Bool(!is_on))]);
        let ask = self
            .api
            .set_desired()
            .home(&self.home)
            .device(&plug)
            .body(wanted);
        let sent = ask.send().await?.into_inner();
        let command = &sent.commands.first().ok_or("no command")?.command;
        let end = Instant::now() + PATIENCE;
        loop {
            let ask = self
                .api
                .get_command()
                .home(&self.home)
                .command(command)
                .wait("20s");
            let told = ask.send().await?.into_inner();
            if told.status == "confirmed" {
                return Ok(());
            }
            check(Instant::now() < end, &format!("it is {}", told.status))?;
        }
    }

    async fn names(&self) -> Step {
        let room = format!("Room of Rust at the {}", self.kind);
        let made = self
            .api
            .put_room()
            .home(&self.home)
            .room(&room)
            .send()
            .await?
            .into_inner();
        check(made.room == room, "the room is made")?;
        self.api
            .delete_room()
            .home(&self.home)
            .room(&room)
            .send()
            .await?;
        let update = home::types::MemberUpdate::builder().name(Some("Grace".parse()?));
        let ask = self
            .api
            .put_member()
            .home(&self.home)
            .member("grace")
            .body(update);
        check(
            ask.send().await?.name.as_deref() == Some("Grace"),
            "the member is there",
        )?;
        let members = self
            .api
            .list_members()
            .home(&self.home)
            .send()
            .await?
            .into_inner()
            .members;
        check(
            members.iter().any(|one| one.member == "grace"),
            "the member is listed",
        )?;
        self.api
            .delete_member()
            .home(&self.home)
            .member("grace")
            .send()
            .await?;
        Ok(())
    }

    async fn past(&self) -> Step {
        let plug = self.plug().await?;
        let history = self
            .api
            .list_history()
            .home(&self.home)
            .device(&plug)
            .send()
            .await?;
        check(!history.changes.is_empty(), "it has a history")?;
        self.api
            .list_conflicts()
            .home(&self.home)
            .device(&plug)
            .send()
            .await?;
        let boxes = self
            .api
            .list_boxes()
            .home(&self.home)
            .send()
            .await?
            .into_inner()
            .boxes;
        check(
            boxes.iter().any(|one| one.online == Some(true)),
            "a box is there",
        )
    }

    async fn tokens(&self) -> Step {
        let wanted = home::types::NewToken::builder()
            .name(format!("rust-{}", self.kind))
            .role(home::types::Role::Analyst)
            .homes(vec![self.home.clone()])
            .expires_in(Some("1h".parse()?));
        let made = self
            .api
            .create_token()
            .body(wanted)
            .send()
            .await?
            .into_inner();
        let analyst = home::Client::new_with_client(&self.url, with_token(&made.token)?);
        analyst.list_devices().home(&self.home).send().await?;
        let refused = analyst
            .put_room()
            .home(&self.home)
            .room("attic")
            .send()
            .await;
        let status = refused.err().and_then(|error| error.status());
        check(
            status.is_some_and(|status| status == 403),
            "an analyst makes no room",
        )?;
        self.api
            .revoke_token()
            .token(&made.record.id)
            .send()
            .await?;
        let end = Instant::now() + PATIENCE;
        while analyst.list_devices().home(&self.home).send().await.is_ok() {
            check(Instant::now() < end, "a revoked token is good no more")?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn audit(&self) -> Step {
        let end = Instant::now() + PATIENCE;
        loop {
            let ask = self
                .api
                .list_audit()
                .home(&self.home)
                .from("-1h")
                .limit(1000_u64);
            let entries = ask.send().await?.into_inner().entries;
            if entries.iter().any(|entry| entry.operation == "putMember") {
                return Ok(());
            }
            check(Instant::now() < end, "the member was noted")?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn stores(api: &cloud::Client) -> Step {
    let stores = api.list_stores().send().await?.into_inner().stores;
    check(!stores.is_empty(), "there is a store")?;
    api.plan_stores().send().await?;
    api.get_scrub().send().await?;
    Ok(())
}

fn check(is: bool, what: &str) -> Step {
    is.then_some(())
        .ok_or_else(|| format!("not so: {what}").into())
}
