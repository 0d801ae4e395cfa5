//! How fast rules run: `cargo run --release -p tarn-rules --example load [RULES] [SECONDS]`.
//!
//! Sets so many rules, tells readings as fast as they are taken, and prints readings per second, the time of one
//! evaluation and the memory of one rule, counted at the allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use serde_json::json;
use tarn_rules::{Engine, Input, Place, Reading, Rule, RuleId};

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// The allocator is the only place that sees every byte.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// 2025-06-16, 12:00 in Berlin.
const BEGIN_MS: i64 = 1_750_068_000_000;

/// Rules that look at one series.
const RULES_PER_SERIES: usize = 3;

fn rule(number: usize) -> Rule {
    let room = number / RULES_PER_SERIES;
    let co2 = format!("room{room}/climate/co2");
    let temperature = format!("room{room}/climate/temperature");
    let reading = json!([{"reading": {"device": format!("room{room}/climate"), "metric": "co2"}}]);
    let fan =
        |on: bool| json!([{"set": {"device": format!("room{room}/fan"), "values": {"on": on}}}]);
    let rule = match number % RULES_PER_SERIES {
        0 => json!({
            "name": "Air", "when": reading, "then": fan(true), "priority": 1,
            "if": format!("value('{co2}') > 1200"),
            "until": format!("value('{co2}') < 800"),
        }),
        1 => json!({
            "name": "Warm", "when": reading, "then": fan(false), "for": "10m",
            "if": format!("value('{co2}') < 900 && value('{temperature}') > 24.5 && mode != 'away'"),
        }),
        _ => json!({
            "name": "Mean", "when": reading, "cooldown": "1m",
            "if": format!("avg('{co2}', '10m') > 1000 && hour < 22"),
            "then": [{"notify": {"title": "Air", "message": format!("{{{{ value('{co2}') }}}} ppm")}}],
        }),
    };
    serde_json::from_value(rule).expect("rule")
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let count: usize = arguments.next().unwrap_or(10_000);
    let seconds = u64::try_from(arguments.next().unwrap_or(5)).unwrap_or(5);
    let rules: BTreeMap<RuleId, Rule> = (0..count)
        .map(|number| (RuleId(format!("rule{number}")), rule(number)))
        .collect();
    let mut engine = Engine::new(Place {
        zone: TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC),
        coordinates: None,
    });

    let before = ALLOCATED.load(Ordering::Relaxed);
    let begin = Instant::now();
    engine.set_rules(&rules, BEGIN_MS);
    let took = begin.elapsed();
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    println!(
        "rules            {count}, faults {}",
        engine.faults().count()
    );
    println!(
        "set_rules        {took:.2?}, {:.1?} a rule",
        took / u32::try_from(count).unwrap_or(1)
    );
    println!("bytes a rule     {}", bytes / count.max(1));

    let rooms = count.div_ceil(RULES_PER_SERIES);
    let devices: Vec<String> = (0..rooms)
        .map(|room| format!("room{room}/climate"))
        .collect();
    let mut told: u64 = 0;
    let mut fired = 0;
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        for device in &devices {
            for metric in ["co2", "temperature"] {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                told += 1;
                // Ten thousand readings a second.
                let now_ms = BEGIN_MS + i64::try_from(told / 10).unwrap_or(0);
                let value = if metric == "co2" {
                    600 + random % 900
                } else {
                    18 + random % 10
                };
                let reading = Reading {
                    seq: told,
                    ts_ms: now_ms,
                    device,
                    metric,
                    value: Some(value as f64),
                    text: None,
                    replayed: false,
                };
                fired += engine.on(&Input::Reading(reading), now_ms).len();
            }
        }
    }
    let took = begin.elapsed();
    let stats = engine.stats();
    let per_second = told as f64 / took.as_secs_f64();
    println!("readings         {told} in {took:.2?}, {per_second:.0} a second");
    println!(
        "evaluations      {}, {:.2} a reading",
        stats.evaluations,
        stats.evaluations as f64 / told as f64
    );
    println!(
        "one evaluation   {} ns, with all around it",
        took.as_nanos() / u128::from(stats.evaluations.max(1))
    );
    println!("firings          {fired}, {stats:?}");
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    println!(
        "bytes a rule     {} with values and histories",
        bytes / count.max(1)
    );
    let begin = Instant::now();
    let state = serde_json::to_vec(&engine.snapshot()).map_or(0, |state| state.len());
    println!("state            {state} bytes in {:.2?}", begin.elapsed());
}
