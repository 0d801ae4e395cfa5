use serde::{Deserialize, Serialize};

/// Bytes of a class or unit that are kept at most; a longer one is none.
const WORD_BYTES_MAX: usize = 64;

/// What is known about a series. All of it may be unknown: then only its rhythm and impossible numbers are watched.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SeriesInfo<'a> {
    /// Home Assistant's device class, such as `temperature` or `battery`.
    pub class: Option<&'a str>,
    /// Unit of its values in Home Assistant's spelling (`°C`, `%`).
    pub unit: Option<&'a str>,
    /// Home Assistant's state class: `measurement`, `total` or `total_increasing`.
    pub state_class: Option<&'a str>,
    /// Whether it can be set: a switch, a set point. Such a series is what somebody wants, and is neither stuck nor out
    /// of range.
    pub settable: bool,
    /// The lowest value as announced, in its unit; takes the place of the class's.
    pub min: Option<f64>,
    /// The highest value as announced, in its unit; takes the place of the class's.
    pub max: Option<f64>,
}

/// What a class of measurements is like in one unit.
#[derive(Debug)]
struct Class {
    names: &'static [&'static str],
    units: &'static [&'static str],
    /// Beyond these a value is wrong if it is not alone.
    likely: (f64, f64),
    /// Beyond these one value is enough.
    possible: (f64, f64),
    /// Whether it is never the same for long.
    moves: bool,
    /// Whether zero is a value like any other; elsewhere it means that nothing is there to measure.
    zero_moves: bool,
    /// By how much the daily means of two neighbours may differ from what is usual without that being worth a thought.
    apart: Option<f64>,
}

const ANY: f64 = f64::INFINITY;

const PLAIN: Class = Class {
    names: &[],
    units: &[],
    likely: (-ANY, ANY),
    possible: (-ANY, ANY),
    moves: false,
    zero_moves: false,
    apart: None,
};

/// Classes, by Home Assistant's names, with the units in which something is known of them.
const CLASSES: [Class; 17] = [
    Class {
        names: &["temperature"],
        units: &["°C"],
        likely: (-60.0, 85.0),
        possible: (-273.15, 5_000.0),
        moves: true,
        zero_moves: true,
        apart: Some(0.3),
    },
    Class {
        names: &["temperature"],
        units: &["°F"],
        likely: (-76.0, 185.0),
        possible: (-459.67, 9_000.0),
        moves: true,
        zero_moves: true,
        apart: Some(0.54),
    },
    Class {
        names: &["temperature"],
        units: &["K"],
        likely: (213.15, 358.15),
        possible: (0.0, 5_273.15),
        moves: true,
        apart: Some(0.3),
        ..PLAIN
    },
    // A wet sensor may say a little more than all.
    Class {
        names: &["humidity"],
        units: &["%"],
        likely: (0.0, 100.0),
        possible: (-5.0, 105.0),
        moves: true,
        apart: Some(2.0),
        ..PLAIN
    },
    Class {
        names: &["moisture"],
        units: &["%"],
        likely: (0.0, 100.0),
        possible: (-5.0, 105.0),
        ..PLAIN
    },
    Class {
        names: &["battery"],
        units: &["%"],
        likely: (0.0, 100.0),
        possible: (-5.0, 105.0),
        ..PLAIN
    },
    Class {
        names: &["carbon_dioxide", "co2"],
        units: &["ppm"],
        likely: (300.0, 10_000.0),
        possible: (0.0, 1_000_000.0),
        moves: true,
        apart: Some(50.0),
        ..PLAIN
    },
    Class {
        names: &["carbon_monoxide"],
        units: &["ppm"],
        likely: (0.0, 10_000.0),
        possible: (0.0, 1_000_000.0),
        ..PLAIN
    },
    Class {
        names: &["atmospheric_pressure", "pressure"],
        units: &["hPa", "mbar"],
        likely: (300.0, 1_200.0),
        possible: (0.0, 1_000_000.0),
        moves: true,
        apart: Some(0.5),
        ..PLAIN
    },
    Class {
        names: &["pm1", "pm25", "pm10"],
        units: &["µg/m³"],
        likely: (0.0, 2_000.0),
        possible: (0.0, 1_000_000.0),
        moves: true,
        ..PLAIN
    },
    Class {
        names: &["illuminance"],
        units: &["lx"],
        likely: (0.0, 200_000.0),
        possible: (0.0, 10_000_000.0),
        ..PLAIN
    },
    Class {
        names: &["power"],
        units: &["W"],
        likely: (-100_000.0, 100_000.0),
        moves: true,
        ..PLAIN
    },
    Class {
        names: &["voltage"],
        units: &["V"],
        likely: (-1_500.0, 1_500.0),
        moves: true,
        ..PLAIN
    },
    Class {
        names: &["current"],
        units: &["A"],
        likely: (-500.0, 500.0),
        ..PLAIN
    },
    Class {
        names: &["frequency"],
        units: &["Hz"],
        possible: (0.0, ANY),
        ..PLAIN
    },
    Class {
        names: &["signal_strength"],
        units: &["dBm"],
        likely: (-200.0, 50.0),
        ..PLAIN
    },
    Class {
        names: &["sound_pressure"],
        units: &["dB", "dBA"],
        likely: (-20.0, 200.0),
        moves: true,
        ..PLAIN
    },
];

/// What a value is, taken by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Fine,
    /// Wrong, if it is not alone.
    Unlikely,
    /// Wrong.
    Impossible,
}

/// What is kept of a [`SeriesInfo`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Box<str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    counts: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    settable: bool,
    /// In thousandths: numbers with a fraction may come back from JSON a little different.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
}

impl Facts {
    pub(super) fn of(info: &SeriesInfo<'_>) -> Facts {
        let word = |word: Option<&str>| {
            word.filter(|word| word.len() <= WORD_BYTES_MAX)
                .map(Box::from)
        };
        let bound = |bound: Option<f64>| bound.filter(|bound| bound.is_finite()).map(thousandths);
        let (min, max) = (bound(info.min), bound(info.max));
        let makes_sense = min.zip(max).is_none_or(|(min, max)| min < max);
        Facts {
            class: word(info.class),
            unit: word(info.unit),
            counts: matches!(info.state_class, Some("total" | "total_increasing")),
            settable: info.settable,
            min: min.filter(|_| makes_sense),
            max: max.filter(|_| makes_sense),
        }
    }

    /// The unit behind a number, with a space before it.
    pub(super) fn suffix(&self) -> String {
        let unit = self.unit.as_deref();
        unit.map_or_else(String::new, |unit| format!(" {unit}"))
    }

    fn class(&self) -> &'static Class {
        let (Some(name), Some(unit)) = (self.class.as_deref(), self.unit.as_deref()) else {
            return &PLAIN;
        };
        let is_it = |class: &&Class| class.names.contains(&name) && class.units.contains(&unit);
        CLASSES.iter().find(is_it).unwrap_or(&PLAIN)
    }

    /// Lowest and highest value that are not unlikely.
    pub(super) fn likely(&self) -> (f64, f64) {
        let (min, max) = self.class().likely;
        let told = |bound: Option<i64>| bound.map(|bound| bound as f64 / 1_000.0);
        (told(self.min).unwrap_or(min), told(self.max).unwrap_or(max))
    }

    pub(super) fn judge(&self, value: f64) -> Judgement {
        if self.settable {
            return Judgement::Fine;
        }
        let within = |(min, max): (f64, f64)| (min..=max).contains(&value);
        if !value.is_finite() || !within(self.class().possible) {
            return Judgement::Impossible;
        }
        match within(self.likely()) {
            true => Judgement::Fine,
            false => Judgement::Unlikely,
        }
    }

    /// Whether the same value for long is a fault.
    pub(super) fn moves(&self) -> bool {
        !self.settable && !self.counts && self.class().moves
    }

    /// Whether this value is one that may be stuck.
    pub(super) fn may_stick_at(&self, value: f64) -> bool {
        self.moves() && (value != 0.0 || self.class().zero_moves)
    }

    /// How far apart neighbours may be, in thousandths; none where it cannot be said, or where they measure two things.
    pub(super) fn apart(&self, other: &Facts) -> Option<i64> {
        let is_same = self.class == other.class && self.unit == other.unit;
        let is_measured = self.moves() && other.moves();
        let apart = self.class().apart.filter(|_| is_same && is_measured);
        apart.map(thousandths)
    }

    /// Whether values are how full a battery is, in per cent.
    pub(super) fn is_charge(&self) -> bool {
        self.class.as_deref() == Some("battery") && self.unit.as_deref() == Some("%")
    }

    /// Whether it says yes or no, and yes is a low battery.
    pub(super) fn is_low_sign(&self, metric: &str) -> bool {
        let is_named = metric == "battery_low" || metric.ends_with(".battery_low");
        let is_class = self.class.as_deref() == Some("battery") && self.unit.is_none();
        is_named || is_class
    }
}

/// A number in thousandths; the nearest that there is where it is too large.
pub(super) fn thousandths(value: f64) -> i64 {
    (value * 1_000.0).round().clamp(-1e15, 1e15) as i64
}

/// A number for people: at most three places behind the point.
pub(super) fn rounded(value: f64) -> f64 {
    let rounded = (value * 1_000.0).round() / 1_000.0;
    if rounded.is_finite() { rounded } else { value }
}
