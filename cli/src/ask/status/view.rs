use bytesize::ByteSize;
use comfy_table::{Cell, Color, Table};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::look::{BoxInfo, HomeSeen, Look, Rates, Stores, Told};
use crate::{
    ask::{
        devices::presence,
        figures::{self, shown},
    },
    client::Client,
    stores::table,
};

/// An answer tells its time to the second, and takes a moment.
const CLOCK_OFF_S_TOLD: u64 = 3;

/// All that was seen, as a document.
pub(super) fn json(client: &Client, look: &Look, rates: &Rates) -> Value {
    let home = |seen: &HomeSeen| {
        json!({
            "home": seen.home,
            "boxes": seen.inside.as_ref().map(|inside| &inside.boxes),
            "devices": seen.inside.as_ref().map(|inside| inside.devices),
        })
    };
    json!({
        "url": client.base().as_str(),
        "at": look.at,
        "ready": look.is_ready(),
        "not_ready": look.not_ready,
        "clock_off_s": look.clock_off_s,
        "rates": rates,
        "homes": look.homes.iter().map(home).collect::<Vec<_>>(),
        "figures": document(&look.figures),
        "stores": document(&look.stores),
    })
}

fn document<T: serde::Serialize>(told: &Told<T>) -> Value {
    match told {
        Told::Yes(told) => json!(told),
        Told::Absent | Told::Refused(_) => Value::Null,
    }
}

/// All that was seen, line by line.
pub(super) fn lines(client: &Client, look: &Look, rates: &Rates) -> Vec<String> {
    let mut lines = vec![head(client, look)];
    lines.extend(
        look.not_ready
            .iter()
            .map(|reason| format!("  {}", shown(reason))),
    );
    lines.extend(clock(look.clock_off_s));
    lines.extend(rate_line(rates, &look.figures));
    if look.homes.is_empty() {
        lines.push("no home yet: nothing has been published".into());
    } else {
        add(&mut lines, &homes(look));
    }
    let boxes = boxes(look);
    if boxes.row_count() > 0 {
        add(&mut lines, &boxes);
    }
    match &look.stores {
        Told::Yes(told) => {
            add(&mut lines, &stores(told));
            lines.push(store_line(told));
        }
        Told::Absent => {}
        Told::Refused(reason) => lines.push(format!("stores: {}", shown(reason))),
    }
    lines
}

fn add(lines: &mut Vec<String>, table: &Table) {
    lines.push(String::new());
    lines.extend(table.trim_fmt().lines().map(str::to_owned));
}

fn head(client: &Client, look: &Look) -> String {
    let is = if look.is_ready() {
        "ready"
    } else {
        "NOT READY"
    };
    format!("{}  {is}  {}", client.base(), figures::local(look.at))
}

/// A clock that is right is not worth a line.
fn clock(off_s: Option<i64>) -> Option<String> {
    let off_s = off_s.filter(|off_s| off_s.unsigned_abs() >= CLOCK_OFF_S_TOLD)?;
    let way = if off_s > 0 { "ahead of" } else { "behind" };
    let off = figures::span(off_s.unsigned_abs());
    Some(format!("  its clock is {off} {way} this machine's"))
}

fn rate_line(rates: &Rates, figures: &Told<super::look::BoxFigures>) -> Option<String> {
    let rate = |rate: Option<f64>, what: &str| Some(format!("{:.1} {what}", rate?));
    let mut told: Vec<String> = [
        rate(rates.readings_per_second, "readings a second"),
        rate(rates.messages_per_second, "messages a second"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match figures {
        Told::Yes(figures) if figures.is_refusing == Some(true) => {
            told.push("THE DISK IS FULL: messages are not acknowledged".into());
        }
        Told::Refused(reason) => told.push(format!("figures: {}", shown(reason))),
        Told::Yes(_) | Told::Absent => {}
    }
    (!told.is_empty()).then(|| format!("  {}", told.join(", ")))
}

fn homes(look: &Look) -> Table {
    let heads = [
        "home", "latest", "readings", "chunks", "bytes", "devices", "online", "away",
    ];
    let mut table = table(&heads, 2..8);
    for seen in &look.homes {
        let home = &seen.home;
        let devices = seen.inside.as_ref().map(|inside| inside.devices);
        let count = |count: Option<u64>| count.map_or_else(String::new, figures::count);
        table.add_row([
            shown(&home.home),
            figures::ago(home.last_ts, look.at),
            figures::count(home.rows),
            figures::count(home.chunks),
            ByteSize(home.bytes).to_string(),
            count(devices.map(|devices| devices.total)),
            count(devices.map(|devices| devices.online)),
            count(devices.map(|devices| devices.away)),
        ]);
    }
    table
}

fn boxes(look: &Look) -> Table {
    let heads = [
        "home",
        "box",
        "is",
        "since",
        "backlog",
        "last shipped",
        "disk",
        "version",
    ];
    let mut table = table(&heads, 0..0);
    for seen in &look.homes {
        for one in seen.inside.iter().flat_map(|inside| &inside.boxes) {
            table.add_row(box_row(&seen.home.home, one, look.at));
        }
    }
    table
}

fn box_row(home: &str, one: &BoxInfo, now: Timestamp) -> [Cell; 8] {
    let name = one.name.as_deref().unwrap_or(&one.edge);
    let backlog = match (one.backlog_entries, one.backlog_bytes) {
        (Some(0), _) => "none".to_owned(),
        (Some(entries), Some(bytes)) => {
            format!("{} cuts, {}", figures::count(entries), ByteSize(bytes))
        }
        (Some(entries), None) => format!("{} cuts", figures::count(entries)),
        (None, _) => "?".to_owned(),
    };
    let disk = match (one.disk_used_bytes, one.disk_budget_bytes) {
        (Some(used), Some(budget)) if budget > 0 => {
            let share = 100.0 * used as f64 / budget as f64;
            format!("{} of {} ({share:.0} %)", ByteSize(used), ByteSize(budget))
        }
        (Some(used), _) => ByteSize(used).to_string(),
        (None, _) => "?".to_owned(),
    };
    let since = one.since.map(|since| figures::ago(Some(since), now));
    [
        Cell::new(shown(home)),
        Cell::new(shown(name)),
        presence(one.online),
        Cell::new(since.unwrap_or_default()),
        Cell::new(backlog),
        Cell::new(figures::ago(one.last_shipped, now)),
        Cell::new(disk),
        Cell::new(one.version.as_deref().map_or_else(String::new, shown)),
    ]
}

fn stores(told: &Stores) -> Table {
    let heads = ["store", "is", "share", "chunks", "bytes", "latency"];
    let mut table = table(&heads, 2..6);
    let is_active = |state: &str| state == "active";
    let active = told.stores.iter().filter(|store| is_active(&store.state));
    let total: f64 = active.map(|store| store.weight).sum();
    for store in &told.stores {
        let share = match is_active(&store.state) {
            true if total > 0.0 => 100.0 * store.weight / total,
            _ => 0.0,
        };
        let latency = store.latency_ms;
        table.add_row([
            Cell::new(shown(&store.name)),
            match store.failing {
                true => Cell::new("failing").fg(Color::Red),
                false => Cell::new(shown(&store.state)),
            },
            Cell::new(format!("{share:.1} %")),
            Cell::new(figures::count(store.chunks)),
            Cell::new(ByteSize(store.bytes)),
            Cell::new(latency.map_or_else(String::new, |ms| format!("{ms:.1} ms"))),
        ]);
    }
    table
}

fn store_line(told: &Stores) -> String {
    let moving = told
        .moving
        .as_ref()
        .filter(|moving| moving.done < moving.total);
    let moving = moving.map_or_else(String::new, |moving| {
        format!(", {} of {} moves done", moving.done, moving.total)
    });
    format!(
        "  copies of each chunk: {}; the fullest store has {:.2} × its share{moving}",
        told.copies, told.peak
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().expect("a moment"))
    }

    #[test]
    fn a_box_is_one_row() {
        let now = at("2026-11-22T10:00:00Z").expect("a moment");
        let check = |one: &BoxInfo, said: &str| {
            let mut table = table(&[], 0..0);
            table.add_row(box_row("lake", one, now));
            let words: Vec<String> = table
                .to_string()
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            assert_eq!(words.join(" "), said);
        };
        let unknown = BoxInfo {
            edge: "0f39d4f7b3fad130".into(),
            ..BoxInfo::default()
        };
        check(&unknown, "lake 0f39d4f7b3fad130 ? never ?");
        let known = BoxInfo {
            name: Some("attic".into()),
            online: Some(false),
            since: at("2026-11-22T09:00:00Z"),
            last_shipped: at("2026-11-22T08:00:00Z"),
            backlog_entries: Some(1200),
            backlog_bytes: Some(3 << 20),
            disk_used_bytes: Some(1 << 30),
            disk_budget_bytes: Some(10 << 30),
            version: Some("0.1.0".into()),
            ..unknown
        };
        check(
            &known,
            "lake attic away 60 min ago 1 200 cuts, 3.0 MiB 2 h ago 1.0 GiB of 10.0 GiB (10 %) 0.1.0",
        );
    }

    #[test]
    fn only_a_wrong_clock_is_told() {
        assert_eq!(clock(None), None);
        assert_eq!(clock(Some(-1)), None);
        let told = "  its clock is 60 min behind this machine's";
        assert_eq!(clock(Some(-3_600)).as_deref(), Some(told));
    }
}
