use std::sync::LazyLock;

use crate::pack::Pack;

/// The files of the packs that come with the box.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../packs/", $name)))),*]
    };
}

const FILES: [(&str, &str); 13] = files![
    "energy-daily.toml",
    "energy-standby.toml",
    "energy-peak-shift.toml",
    "energy-solar.toml",
    "energy-unusual-day.toml",
    "climate-overheating.toml",
    "climate-mould.toml",
    "climate-co2.toml",
    "health-blood-pressure.toml",
    "health-body-temperature.toml",
    "devices-failing-sensor.toml",
    "devices-battery.toml",
    "entertainment-film-scene.toml",
];

// One that cannot be read is left out rather than to stop a box; the tests see to it that there is none.
static PACKS: LazyLock<Vec<Pack>> = LazyLock::new(|| {
    let parsed = FILES.iter().map(|(name, source)| Pack::parse(name, source));
    parsed.filter_map(Result::ok).collect()
});

/// The packs that come with the box.
#[must_use]
pub fn packs() -> &'static [Pack] {
    &PACKS
}

#[cfg(test)]
mod tests;
