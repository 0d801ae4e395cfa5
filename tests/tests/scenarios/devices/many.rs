use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tarn_tests::wait;

use super::House;

/// Configurations of a home that is known from a bug report of another broker.
const CONFIGS: usize = 1_104;
/// Each device has so many entities.
const ENTITIES: usize = 8;
/// What learning them may take of a processor.
const CPU_LIMIT: Duration = Duration::from_secs(2);

/// Linux shows times in this unit, whatever the kernel's own is.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of a process so far.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name in parentheses may hold anything; what follows it begins with the third field.
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    let field = |number: usize| -> u64 {
        let text = rest.split(' ').nth(number - 3).expect("a field");
        text.parse().expect("a number")
    };
    let ticks = field(14) + field(15);
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

#[test]
fn a_home_of_many_entities_is_learnt() {
    let house = House::cutting_after("many", "1h");
    let configs: Vec<(String, String)> = (0..CONFIGS)
        .map(|number| {
            let device = number / ENTITIES;
            let config = json!({"name": format!("Value {number}"), "uniq_id": format!("many_{number}"),
                "~": format!("home/many/{device}"), "stat_t": "~/state", "avty_t": "~/lwt", "dev_cla": "temperature",
                "stat_cla": "measurement", "unit_of_meas": "°C",
                "val_tpl": format!("{{{{ value_json.v{number} | float | round(1) }}}}"),
                "dev": {"ids": [format!("many_{device}")], "name": format!("Device {device}"), "mf": "Acme", "mdl": "M8"}});
            (format!("homeassistant/sensor/many/{number}/config"), config.to_string())
        })
        .collect();
    let devices = CONFIGS.div_ceil(ENTITIES);
    let publisher = house.publisher();
    // What it takes to start is not counted.
    house.publish(&[("home/hall/seen", b"1")]);
    let (before, started) = (cpu_time(house.edge.pid()), Instant::now());
    for (topic, config) in &configs {
        publisher.publish_retained(topic, config.as_bytes());
    }
    publisher.wait_acked();
    wait::until_true(super::LIMIT, "all devices should be counted", || {
        house.metric("tarn_devices") == Some(devices as f64)
    });
    wait::until_true(super::LIMIT, "the last entity should be known", || {
        let known = house.wait_device(&format!("ha:many_{}", devices - 1));
        known["features"].as_array().map(Vec::len) == Some(ENTITIES)
    });
    let (cpu, took) = (cpu_time(house.edge.pid()) - before, started.elapsed());
    println!("{CONFIGS} configurations: {cpu:?} of a processor, {took:?} on the clock");
    let ids = house.ids();
    let known: Vec<_> = ids.iter().map(|id| house.announced(id)).collect();
    let names: BTreeSet<&str> = known.iter().filter_map(|d| d["name"].as_str()).collect();
    for device in 0..devices {
        assert!(
            names.contains(format!("Device {device}").as_str()),
            "{device}"
        );
    }
    let entities = known.iter().filter(|device| device["vendor"] == "Acme");
    let features: usize = entities
        .filter_map(|device| device["features"].as_array().map(Vec::len))
        .sum();
    assert_eq!(features, CONFIGS);
    assert!(
        cpu < CPU_LIMIT,
        "{cpu:?} of a processor to learn {CONFIGS} configurations"
    );
    house.edge.assert_quiet(&[]);
}
