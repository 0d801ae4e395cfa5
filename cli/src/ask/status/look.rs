use std::time::{Duration, Instant};

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ask::{
        devices::{Devices, now},
        figures,
    },
    client::{AskError, Client},
};

/// Homes that are looked into; the rest is listed only.
const HOMES_LOOKED_INTO: usize = 10;

/// What one look at a service finds.
pub(super) struct Look {
    /// When it was.
    pub(super) at: Timestamp,
    taken: Instant,
    /// What it lacks, in its own words; none where it is ready.
    pub(super) not_ready: Option<String>,
    /// Its clock less this machine's, in seconds; none where it does not tell the time.
    pub(super) clock_off_s: Option<i64>,
    pub(super) homes: Vec<HomeSeen>,
    pub(super) figures: Told<BoxFigures>,
    pub(super) stores: Told<Stores>,
}

/// Something that a service tells, or why it does not.
pub(super) enum Told<T> {
    Yes(T),
    /// It has no such thing.
    Absent,
    /// It tells others.
    Refused(String),
}

/// A home, and what is in it.
pub(super) struct HomeSeen {
    pub(super) home: Home,
    /// None where there are too many homes to look into.
    pub(super) inside: Option<Inside>,
}

/// What is in a home.
pub(super) struct Inside {
    pub(super) boxes: Vec<BoxInfo>,
    pub(super) devices: Presence,
}

/// How many devices are there, and how many are not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Presence {
    pub(super) total: u64,
    pub(super) online: u64,
    pub(super) away: u64,
}

/// A home, as it is listed.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Home {
    pub(super) home: String,
    pub(super) rows: u64,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    #[serde(deserialize_with = "figures::moment")]
    pub(super) last_ts: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Homes {
    homes: Vec<Home>,
}

#[derive(Deserialize)]
struct HomeDetail {
    boxes: Vec<BoxInfo>,
}

/// A box, as its service knows it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct BoxInfo {
    pub(super) edge: String,
    pub(super) name: Option<String>,
    pub(super) online: Option<bool>,
    #[serde(deserialize_with = "figures::moment")]
    pub(super) since: Option<Timestamp>,
    #[serde(deserialize_with = "figures::moment")]
    pub(super) last_shipped: Option<Timestamp>,
    pub(super) version: Option<String>,
    pub(super) backlog_entries: Option<u64>,
    pub(super) backlog_bytes: Option<u64>,
    pub(super) devices: Option<u64>,
    pub(super) disk_used_bytes: Option<u64>,
    pub(super) disk_budget_bytes: Option<u64>,
}

/// The stores of a cloud's fleet.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Stores {
    pub(super) copies: u64,
    pub(super) peak: f64,
    pub(super) stores: Vec<StoreInfo>,
    pub(super) moving: Option<Moving>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct StoreInfo {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) failing: bool,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    pub(super) weight: f64,
    pub(super) latency_ms: Option<f64>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Moving {
    pub(super) done: u64,
    pub(super) total: u64,
}

/// What a box's own figures say of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct BoxFigures {
    pub(super) messages: Option<u64>,
    pub(super) backlog_entries: Option<u64>,
    pub(super) backlog_bytes: Option<u64>,
    pub(super) last_shipped_ms: Option<u64>,
    pub(super) disk_used_bytes: Option<u64>,
    pub(super) disk_budget_bytes: Option<u64>,
    pub(super) is_refusing: Option<bool>,
}

/// What comes in a second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Rates {
    /// MQTT messages that a box takes.
    pub(super) messages_per_second: Option<f64>,
    /// Readings that there are more.
    pub(super) readings_per_second: Option<f64>,
}

impl Look {
    /// Look at a service: at one home, or at all that the caller may see.
    pub(super) async fn at(client: &Client) -> Result<Look, AskError> {
        let (not_ready, clock_off_s) = readiness(client).await?;
        let homes: Homes = client.get(&["v1", "homes"], &[]).await?;
        let mut homes = homes.homes;
        if let Some(named) = client.named_home() {
            homes.retain(|home| home.home == named);
            if homes.is_empty() {
                // It has no readings yet, or the service says best that there is no such home.
                let _: HomeDetail = client.get(&["v1", "homes", named], &[]).await?;
                homes.push(Home::empty(named));
            }
        }
        let mut seen = Vec::new();
        for (number, home) in homes.into_iter().enumerate() {
            let inside = match number < HOMES_LOOKED_INTO {
                true => Some(Inside::of(client, &home.home).await?),
                false => None,
            };
            seen.push(HomeSeen { home, inside });
        }
        let figures = told(figures_of(client).await)?;
        let figures = match figures {
            Told::Yes(figures) if figures == BoxFigures::default() => Told::Absent,
            figures => figures,
        };
        // Only one box is in its own figures, so they are of the one that there is.
        let mut boxes = seen.iter_mut().filter_map(|home| home.inside.as_mut());
        if let (Some(inside), None, Told::Yes(figures)) = (boxes.next(), boxes.next(), &figures)
            && let [only] = inside.boxes.as_mut_slice()
        {
            only.fill_in(figures);
        }
        Ok(Look {
            at: now(),
            taken: Instant::now(),
            not_ready,
            clock_off_s,
            homes: seen,
            figures,
            stores: told(get(client, &["v1", "stores"]).await)?,
        })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.not_ready.is_none()
    }

    /// What came between an earlier look and this one.
    pub(super) fn rates_since(&self, earlier: &Look) -> Rates {
        let over = self.taken.duration_since(earlier.taken);
        let rows = |look: &Look| Some(look.homes.iter().map(|home| home.home.rows).sum());
        let messages = |look: &Look| match &look.figures {
            Told::Yes(figures) => figures.messages,
            Told::Absent | Told::Refused(_) => None,
        };
        Rates {
            messages_per_second: rate(messages(earlier), messages(self), over),
            readings_per_second: rate(rows(earlier), rows(self), over),
        }
    }
}

impl Home {
    /// A home without a reading.
    fn empty(name: &str) -> Home {
        Home {
            home: name.to_owned(),
            rows: 0,
            chunks: 0,
            bytes: 0,
            last_ts: None,
        }
    }
}

impl Inside {
    async fn of(client: &Client, home: &str) -> Result<Inside, AskError> {
        let detail: HomeDetail = client.get(&["v1", "homes", home], &[]).await?;
        let devices = Devices::of(client, home).await?;
        let online = devices.devices.iter().map(|device| device.online);
        Ok(Inside {
            boxes: detail.boxes,
            devices: Presence::of(online),
        })
    }
}

impl Presence {
    fn of(devices: impl Iterator<Item = Option<bool>>) -> Presence {
        let mut presence = Presence::default();
        for online in devices {
            presence.total += 1;
            match online {
                Some(true) => presence.online += 1,
                Some(false) => presence.away += 1,
                None => {}
            }
        }
        presence
    }
}

impl BoxInfo {
    /// What a box does not tell by REST of itself, its figures do.
    fn fill_in(&mut self, figures: &BoxFigures) {
        self.backlog_entries = self.backlog_entries.or(figures.backlog_entries);
        self.backlog_bytes = self.backlog_bytes.or(figures.backlog_bytes);
        self.disk_used_bytes = self.disk_used_bytes.or(figures.disk_used_bytes);
        self.disk_budget_bytes = self.disk_budget_bytes.or(figures.disk_budget_bytes);
        let shipped = figures.last_shipped_ms.filter(|ms| *ms > 0);
        let shipped = shipped.and_then(|ms| Timestamp::from_millisecond(ms.try_into().ok()?).ok());
        self.last_shipped = self.last_shipped.or(shipped);
    }
}

impl BoxFigures {
    /// From the text of `/metrics`.
    fn read(text: &str) -> BoxFigures {
        let figure = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            let value = value.split(' ').next()?.parse::<f64>().ok()?;
            // Counts and bytes are whole.
            (value >= 0.0).then_some(value as u64)
        };
        BoxFigures {
            messages: figure("tarn_journal_records_total"),
            backlog_entries: figure("tarn_ship_backlog_entries"),
            backlog_bytes: figure("tarn_ship_backlog_bytes"),
            last_shipped_ms: figure("tarn_ship_last_timestamp_milliseconds"),
            disk_used_bytes: figure("tarn_disk_used_bytes"),
            disk_budget_bytes: figure("tarn_disk_budget_bytes"),
            is_refusing: figure("tarn_disk_refusing").map(|refusing| refusing > 0),
        }
    }
}

/// Whether it is ready, and how its clock stands. What it lacks is no error of the question.
async fn readiness(client: &Client) -> Result<(Option<String>, Option<i64>), AskError> {
    let ready = client.send(client.request(&["readyz"], &[])).await;
    // Being alive is told by who is not ready, too.
    let alive = client.send(client.request(&["healthz"], &[])).await?;
    let clock_off_s = clock_off_s(alive.headers(), now());
    match ready {
        Ok(_) => Ok((None, clock_off_s)),
        Err(AskError::Unreachable { reason, .. }) => Ok((Some(reason), clock_off_s)),
        Err(other) => Err(other),
    }
}

async fn figures_of(client: &Client) -> Result<BoxFigures, AskError> {
    let answer = client.send(client.request(&["metrics"], &[])).await?;
    let text = answer.text().await.map_err(|e| client.unreachable(&e))?;
    Ok(BoxFigures::read(&text))
}

async fn get<T: DeserializeOwned>(client: &Client, path: &[&str]) -> Result<T, AskError> {
    client.get(path, &[]).await
}

/// Not everybody is told everything, and not every service has everything.
fn told<T>(answer: Result<T, AskError>) -> Result<Told<T>, AskError> {
    match answer {
        Ok(answer) => Ok(Told::Yes(answer)),
        Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(Told::Absent),
        Err(error) if error.is(StatusCode::FORBIDDEN) || error.is(StatusCode::UNAUTHORIZED) => {
            Ok(Told::Refused(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// The time that an answer says it was sent at, less this machine's.
fn clock_off_s(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(date.as_second() - now.as_second())
}

/// How much a count grows in a second; none where it does not grow but begins anew.
fn rate(before: Option<u64>, after: Option<u64>, over: Duration) -> Option<f64> {
    let grown = after?.checked_sub(before?)?;
    (!over.is_zero()).then(|| grown as f64 / over.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_text() {
        let text = "# HELP tarn_journal_records Records.\n# TYPE tarn_journal_records counter\n\
                    tarn_journal_records_total 396\ntarn_ship_backlog_entries 0\n\
                    tarn_disk_used_bytes 6.8402e4 1795947\ntarn_disk_used_bytes_other 1\n\
                    tarn_disk_refusing 1\n# EOF\n";
        let figures = BoxFigures::read(text);
        assert_eq!(
            figures,
            BoxFigures {
                messages: Some(396),
                backlog_entries: Some(0),
                disk_used_bytes: Some(68_402),
                is_refusing: Some(true),
                ..BoxFigures::default()
            }
        );
        let mut only = BoxInfo {
            backlog_entries: Some(7),
            ..BoxInfo::default()
        };
        only.fill_in(&figures);
        let filled = (
            only.backlog_entries,
            only.disk_used_bytes,
            only.last_shipped,
        );
        assert_eq!(filled, (Some(7), Some(68_402), None));
    }

    #[test]
    fn a_rate_needs_two_counts_of_one_life() {
        let second = Duration::from_secs(2);
        assert_eq!(rate(Some(10), Some(15), second), Some(2.5));
        assert_eq!(rate(Some(10), Some(3), second), None);
        assert_eq!(rate(None, Some(3), second), None);
        assert_eq!(rate(Some(1), Some(3), Duration::ZERO), None);
    }

    #[test]
    fn the_clock_is_read_from_the_date() {
        let now = "2026-11-29T10:17:44Z".parse().expect("a moment");
        let check = |date: &str, off| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, date.parse().expect("a header"));
            assert_eq!(clock_off_s(&headers, now), off, "{date}");
        };
        check("Sun, 29 Nov 2026 10:17:44 GMT", Some(0));
        check("Sun, 29 Nov 2026 10:18:00 GMT", Some(16));
        check("soon", None);
    }

    #[test]
    fn devices_that_say_nothing_are_neither_here_nor_away() {
        let devices = [Some(true), Some(true), Some(false), None];
        let expected = Presence {
            total: 4,
            online: 2,
            away: 1,
        };
        assert_eq!(Presence::of(devices.into_iter()), expected);
    }
}
